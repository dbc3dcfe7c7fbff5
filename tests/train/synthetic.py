"""Speech for tests: each letter is a tone, so a tiny model can learn to spell within seconds."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import tomli_w

from edge_las.config import from_dict, to_dict
from edge_las.features import FloatArray
from edge_las.train.config import Recipe
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index

LETTERS = "abcdefgh"
MODEL = {
    "compact": {
        "stem_channels": 8, "stem_kernel_size": 5, "channels": 12, "blocks": 2, "kernel_size": 5,
        "encoded_dim": 12, "inter_ctc_block": 1,
    },
    "pyramid": {"hidden": 8, "encoded_dim": 12},
    "speller": {
        "embedding_dim": 8, "hidden": 16, "attention_dim": 8, "location_channels": 2,
        "location_kernel_size": 5,
    },
}  # fmt: skip


def tones(text: str, sample_rate: int = 16000) -> FloatArray:
    """Say letters as tones of 100 ms, spaces as pauses: (S,)."""
    t = np.arange(sample_rate // 10) / sample_rate
    parts = [
        np.sin(2 * np.pi * (300 + 250 * LETTERS.index(letter)) * t) * np.hanning(len(t))
        if letter in LETTERS
        else np.zeros(len(t))
        for letter in text
    ]
    return (0.3 * np.concatenate(parts)).astype(np.float32)


def texts(count: int, seed: int = 0) -> list[str]:
    """Make texts of two to eight letters and a space here and there."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        letters = rng.choice(list(LETTERS), rng.integers(2, 9)).tolist()
        if len(letters) > 4:
            letters[2] = " "
        made.append("".join(letters))
    return made


def split_of(number: int) -> str:
    return "dev" if number % 6 == 5 else "train"


def flat_corpus(folder: Path, count: int = 24) -> Path:
    """Write a flat corpus; every sixth clip is of split dev."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, offset = [], 0
    with open(folder / AUDIO_FILE, "wb") as file:
        for number, text in enumerate(texts(count)):
            pcm = np.rint(tones(text) * 32767).astype(np.int16)
            file.write(pcm.tobytes())
            rows.append((f"t{number}", offset, len(pcm), "tones", f"s{number % 3}", split_of(number), text))
            offset += len(pcm)
    write_index(folder, rows)
    return folder


def make_corpus(folder: Path, count: int = 24) -> Corpus:
    return Corpus([flat_corpus(folder, count)])


def recordings(folder: Path, count: int = 24) -> Path:
    """Write WAV files and manifest.tsv."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "manifest.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("id", "path", "dataset", "speaker", "split", "seconds", "text"))
        for number, text in enumerate(texts(count)):
            samples, path = tones(text), f"t{number}.wav"
            soundfile.write(folder / path, samples, 16000)
            seconds = f"{len(samples) / 16000:.3f}"
            writer.writerow((f"t{number}", path, "tones", f"s{number % 3}", split_of(number), seconds, text))
    return folder


def recipe(**sections: dict) -> Recipe:
    """Make a recipe for a tiny model; `optim={"max_steps": 4}` and so on change it."""
    values: dict = {
        "name": "tiny",
        "model": MODEL,
        "tokens": {"kind": "characters"},
        "data": {"batch_seconds": 4.0, "join_probability": 0.2},
        "augment": {"room_rt60_max_s": 0.1},
        "optim": {"max_steps": 6, "warmup_steps": 2, "precision": "float32"},
        "loop": {"evaluate_steps": 100},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return from_dict(Recipe, values, "tiny.toml")


def toml(made: Recipe, path: Path) -> Path:
    """Write a recipe as a file."""
    path.write_text(tomli_w.dumps(to_dict(made)), encoding="utf-8")
    return path
