"""The bar: twenty real utterances learnt by heart, through train, export, int8 and the device's runtime."""

import csv
import time
from pathlib import Path

import pytest

from edge_las.artifact import load_manifest
from edge_las.audio import read_audio
from edge_las.cli import main as edge_las
from edge_las.metrics import wer
from edge_las.runtime.recognizer import Recognizer
from edge_las.tokens import normalize_text
from export.__main__ import main as export

COUNT = 20
COLUMNS = ("id", "path", "dataset", "speaker", "split", "seconds", "text")


def rows(manifest: Path) -> list[dict[str, str]]:
    with open(manifest, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def choose(manifest: Path) -> list[dict[str, str]]:
    """Choose short utterances of many speakers, all with different words."""
    chosen: dict[str, dict[str, str]] = {}
    speakers: dict[str, int] = {}
    for row in rows(manifest):
        taken = speakers.get(row["speaker"], 0)
        if float(row["seconds"]) < 1.7 and row["text"] not in chosen and taken < 4:
            chosen[row["text"]] = row
            speakers[row["speaker"]] = taken + 1
    # Spread over the whole list, or all would be of one data set; phrases before single words.
    ordered = sorted(chosen.values(), key=lambda row: -min(2, len(row["text"].split())))
    phrases = [row for row in ordered if " " in row["text"]]
    words = [row for row in ordered if " " not in row["text"]]
    half = COUNT // 2
    return [*phrases[:: max(1, len(phrases) // half)][:half], *words[:: max(1, len(words) // half)][:half]]


@pytest.fixture(scope="module")
def utterances(request, clips_dir) -> list[dict[str, str]]:
    speech = request.config.getoption("--speech")
    manifest = Path(speech).resolve() / "manifest.tsv" if speech else clips_dir / "transcripts.tsv"
    found = choose(manifest)
    if len(found) < COUNT:
        pytest.skip(f"needs {COUNT} short recordings, {manifest.name} has {len(found)}: pytest --speech=DIR")
    return [{**row, "path": str(manifest.parent / row["path"])} for row in found]


@pytest.fixture(scope="module")
def data(utterances, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("twenty")
    with open(folder / "manifest.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        writer.writeheader()
        for split in ("train", "dev"):
            writer.writerows({**row, "split": split, "id": f"{split}-{row['id']}"} for row in utterances)
    return folder


@pytest.mark.slow
def test_twenty_utterances_are_learnt_by_heart(utterances, data, tmp_path):
    began = time.monotonic()
    recipe = Path(__file__).with_name("overfit.toml")
    run, model = tmp_path / "run", tmp_path / "model"
    assert edge_las(["train", str(recipe), "--data", str(data), "--out", str(run)]) == 0
    trained_s = time.monotonic() - began
    options = ["--calibrate", str(data), "--out", str(model), "--min-speedup", "0"]
    assert export([str(run / "last"), *options]) == 0
    assert load_manifest(model).engines["onnx"].precision == "int8"
    recognizer = Recognizer.load(model)
    said = [normalize_text(row["text"]) for row in utterances]
    heard = [recognizer.transcribe(read_audio(row["path"])).text for row in utterances]
    print(f"{sum(float(row['seconds']) for row in utterances):.1f} s of speech learnt in {trained_s:.0f} s")
    assert wer(said, heard) == 0.0, [pair for pair in zip(said, heard, strict=True) if pair[0] != pair[1]]
