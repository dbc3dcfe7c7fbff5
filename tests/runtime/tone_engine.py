"""A recognizer of known answers: each word is a pure tone, and both networks are a few lines of numpy."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_las.artifact import (
    CalibrationEntry,
    EngineEntry,
    FileEntry,
    GraphEntry,
    ListenerEntry,
    Manifest,
    ProvenanceEntry,
    SpellerEntry,
    TensorSpec,
    TokensEntry,
    describe_files,
    write_manifest,
)
from edge_las.features import FeatureConfig, mel_filterbank
from edge_las.runtime.gate import GateConfig
from edge_las.runtime.setup import Setup
from edge_las.search.config import BeamConfig
from edge_las.tokens import TokenTable

RATE = 16000
TONES_HZ = {"one": 400.0, "two": 800.0, "three": 1500.0, "four": 2800.0}
# "three" is spelled in two tokens, both during its tone.
TABLE = TokenTable.from_subwords(["▁one", "▁two", "▁thr", "ee", "▁four"], [-1.0] * 5)
WORD_TOKENS = [[4], [5], [6, 7], [8]]
VOCABULARY = len(TABLE)
DELAY, CHUNK, SUBSAMPLING, BANDS = 3, 32, 4, len(TONES_HZ)
FEATURES = FeatureConfig()


def say(text: str, word_s: float = 0.3, gap_s: float = 0.16, level: float = 0.2) -> np.ndarray:
    """Speak words as tones between gaps: the first begins at gap_s."""
    time = np.arange(int(word_s * RATE)) / RATE
    gap = np.zeros(int(gap_s * RATE))
    parts = [gap]
    for word in text.split():
        parts += [level * np.sin(2 * np.pi * TONES_HZ[word] * time), gap]
    return np.concatenate(parts).astype(np.float32)


class ToneEngine:
    """Encoded frames hold the energy at each tone; the Speller spells one run of a tone after the other."""

    name = "onnx"

    def __init__(
        self,
        folder: Path | None = None,
        entry: EngineEntry | None = None,
        threads: int = 1,
        providers: tuple[str, ...] = (),
    ) -> None:
        bank = mel_filterbank(FEATURES)
        self._bands = [int(bank[round(hz / RATE * FEATURES.n_fft)].argmax()) for hz in TONES_HZ.values()]
        self.chunks = 0
        self.speller_calls = 0

    def encode(self, features):
        """Features (t, n_mels) -> (t / 4, BANDS), without any delay."""
        energy = np.exp(features[:, self._bands]).reshape(-1, SUBSAMPLING, BANDS).mean(axis=1)
        return np.where(energy > 1.0, energy, 0.0).astype(np.float32)

    def listener_chunk(self, features, states):
        assert features.shape == (1, CHUNK, FEATURES.n_mels) and features.dtype == np.float32
        self.chunks += 1
        (held,) = states
        frames = np.concatenate([held[0], self.encode(features[0])])
        encoded = frames[: CHUNK // SUBSAMPLING]
        next_state = frames[-DELAY:][None]
        return encoded[None], encoded[None], ctc_log_probs(encoded)[None], None, [next_state]

    def speller_step(self, token, encoded, keys, mask, state):
        self.speller_calls += 1
        assert mask.shape == encoded.shape[:2] and mask.all()
        loudest = np.where(encoded[0].max(axis=1) > 0, encoded[0].argmax(axis=1), -1)
        log_probs = np.full((len(token), VOCABULARY), np.log(0.01), dtype=np.float32)
        hidden, alignment = state["hidden"].copy(), np.zeros((len(token), len(loudest)), dtype=np.float32)
        for row, (position, part) in enumerate(state["hidden"].astype(int).tolist()):
            starts = np.flatnonzero(loudest[position:] >= 0)
            if not starts.size:
                log_probs[row, TABLE.eos_id] = np.log(0.9)
                alignment[row, -1] = 1.0
                continue
            start = position + starts[0]
            band = loudest[start]
            run = np.flatnonzero(loudest[start:] != band)
            end = start + (run[0] if run.size else len(loudest) - start)
            spelled = WORD_TOKENS[band]
            log_probs[row, spelled[part]] = np.log(0.9)
            alignment[row, start + part] = 1.0
            hidden[row] = (end, 0) if part + 1 == len(spelled) else (start, part + 1)
        return log_probs, {**state, "hidden": hidden, "alignment": alignment}


def ctc_log_probs(encoded):
    """A tone's tokens in turn while it sounds, else blank: (t, BANDS) -> (t, V)."""
    probs = np.full((len(encoded), VOCABULARY), 1e-4, dtype=np.float32)
    for row, energy in zip(probs, encoded, strict=True):
        row[WORD_TOKENS[int(energy.argmax())][0] if energy.max() > 0 else TABLE.blank_id] = 1.0
    return np.log(probs / probs.sum(axis=1, keepdims=True))


def manifest(max_utterance_s: float = 8.0) -> Manifest:
    """The manifest of the tone recognizer."""

    def tensor(name, shape, dtype="float32"):
        return TensorSpec(name, dtype, shape, None, None)

    listener = GraphEntry(
        "listener.onnx",
        (tensor("features", (1, CHUNK, FEATURES.n_mels)), tensor("state_0", (1, DELAY, BANDS))),
        (
            tensor("encoded", (1, CHUNK // SUBSAMPLING, BANDS)),
            tensor("keys", (1, CHUNK // SUBSAMPLING, BANDS)),
            tensor("ctc_log_probs", (1, CHUNK // SUBSAMPLING, VOCABULARY)),
            tensor("next_state_0", (1, DELAY, BANDS)),
        ),
    )
    states = {"hidden": 2, "cell": 1, "context": BANDS, "alignment": None}
    speller = GraphEntry(
        "speller.onnx",
        (
            tensor("token", (None,), "int64"),
            tensor("encoded", (1, None, BANDS)),
            tensor("keys", (1, None, BANDS)),
            tensor("mask", (1, None)),
            *(tensor(name, (None, size)) for name, size in states.items()),
        ),
        (
            tensor("log_probs", (None, VOCABULARY)),
            *(tensor(f"next_{name}", (None, size)) for name, size in states.items()),
        ),
    )
    nothing = hashlib.sha256(b"").hexdigest()
    names = ("tokens.txt", "listener.onnx", "speller.onnx")
    return Manifest(
        format_version=1,
        name="tones",
        language="en",
        features=FEATURES,
        tokens=TokensEntry("tokens.txt", VOCABULARY, 0, 1, 2, 3),
        listener=ListenerEntry(CHUNK, SUBSAMPLING, DELAY, 3200, BANDS),
        speller=SpellerEntry(8.0, max_utterance_s),
        search={"beam_size": 4, "ctc_weight": 0.3, "gate_min_confidence": 0.2, "grammar_max_loss": 2.0},
        engines={"onnx": EngineEntry("float", listener, speller)},
        files={name: FileEntry(0, nothing) for name in names},
        provenance=ProvenanceEntry(nothing, {"numpy": "2"}, CalibrationEntry(nothing, 3), "2026-01-01"),
        parity={"token_agreement": 1.0},
        accuracy={"tones": {"wer": 0.0}},
    )


def setup(max_utterance_s: float = 8.0, beam_size: int = 4) -> Setup:
    """What a recognizer of tones shares."""
    entry = manifest(max_utterance_s)
    return Setup(entry, TABLE, ToneEngine(), BeamConfig(beam_size=beam_size), GateConfig())


def write_artifact(folder: Path) -> Path:
    """Write an artifact folder whose graphs are empty files: ToneEngine needs none."""
    folder.mkdir()
    TABLE.save(folder / "tokens.txt")
    for name in ("listener.onnx", "speller.onnx"):
        (folder / name).write_bytes(b"")
    described = manifest()
    write_manifest(folder, replace(described, files=describe_files(folder, described.files)))
    return folder


def loadable_artifact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write an artifact folder that loads as the recognizer of tones."""
    engines = {"onnx": (f"{ToneEngine.__module__}:{ToneEngine.__name__}", "onnx")}
    monkeypatch.setattr("edge_las.runtime.engine._ENGINES", engines)
    return write_artifact(folder)
