"""`python -m benchmarks.report`: measurements into a model card and a manifest."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import fill_in, main
from edge_las.artifact import load_manifest
from edge_las.errors import ConfigError
from tests.runtime import tone_engine

CARD = (
    "# Card\n\n<!-- generated: by the report -->\nof before\n<!-- end of the generated part -->\n\nBy hand.\n"
)


def accuracy() -> dict[str, Any]:
    scores = {"utterances": 4, "wer": 0.25, "cer": 0.1, "accuracy": 0.75, "snapped_accuracy": 1.0}
    found = {
        "sets": {"fsdd": scores},
        "examples": {"fsdd": [{"reference": "nine", "heard": "five"}, {"reference": "two", "heard": ""}]},
    }
    noise = {
        "noise": "dishes",
        "beam": 4,
        "snr_db": {"clean": {"fsdd": scores}, "10": {"fsdd": {**scores, "wer": 0.5}}},
        "only": {"pieces": 8, "empty_rate": 0.875, "empty_rate_by_noise": {"dishes": 0.875}},
    }
    return {
        "kind": "accuracy",
        "model": {
            "name": "tones", "precision": "int8", "bytes": 1_640_000, "parent_checkpoint_sha256": "ab" * 32,
            "graph_sha256": "cd" * 32,
        },
        "measured_on": {"date": "2026-01-02", "machine": "x86_64", "cpu": "Some CPU", "python": "3.11"},
        "hours": {"fsdd": {"train": 1.5, "dev": 0.25}},
        "beams": {"1": found, "4": found},
        "noise": noise,
    }  # fmt: skip


def latency() -> dict[str, Any]:
    stage = {"count": 9, "p50_ms": 1.25, "p95_ms": 2.5, "p99_ms": 3.0}
    return {**accuracy(), "kind": "latency", "beams": {"4": {"stages": {"speller_step": stage}}}}


def memory() -> dict[str, Any]:
    files = {"60": {"seconds": 60.0, "peak_mb": 81.0, "times_real_time": 150.0}}
    figures = {"beam": 4, "cold_start_s": 0.4, "import_s": 0.1, "peak_mb_2_s": 75.0, "files": files}
    return {**accuracy(), "kind": "memory", **figures}


def confidence() -> dict[str, Any]:
    curve = [{"from": 0.9, "count": 80, "predicted": 0.95, "true": 0.94}]
    rejection = [
        {"threshold": number / 20, "false_accepts": 1 - number / 20, "false_rejects": number / 40}
        for number in range(20)
    ]
    found = {"count": 90, "right": 0.5, "expected_calibration_error": 0.019, "reliability": curve}
    gate = {"right_refused": 0.015, "mostly_right_refused_by_set": {"fsdd": 0.012, "librispeech": 0.0}}
    parts = {"text": {**found, "rejection": rejection}, "word": found, "gate": gate}
    return {**accuracy(), "kind": "confidence", **parts}


def live() -> dict[str, Any]:
    found = {
        "utterances": 30, "wer": 0.2, "delay_ms_p50": 0.0, "delay_ms_p95": 4.5, "partial_words": 50,
        "partial_words_taken_back": 1,
    }  # fmt: skip
    noise = {"seconds": 459.5, "utterances": 2, "with_text": 0}
    return {**accuracy(), "kind": "live", "sets": {"fsdd": found}, "noise": noise}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Results as the other benchmarks write them, a card and an artifact."""
    reference = accuracy()
    reference["model"]["precision"] = "float"
    made = {"accuracy": accuracy(), "float": reference, "memory": memory(), "latency": latency()}
    made |= {"confidence": confidence(), "live": live()}
    paths = {}
    for name, values in made.items():
        paths[name] = tmp_path / f"{name}.json"
        paths[name].write_text(json.dumps(values))
    paths["card"] = tmp_path / "card.md"
    paths["card"].write_text(CARD)
    paths["model"] = tone_engine.write_artifact(tmp_path / "model")
    return paths


def arguments(files: dict[str, Path]) -> list[str]:
    options = {"accuracy": "accuracy", "float-accuracy": "float", "memory": "memory", "latency": "latency"}
    options |= {"confidence": "confidence", "live": "live", "card": "card", "manifest": "model"}
    return [word for option, name in options.items() for word in (f"--{option}", str(files[name]))]


def test_the_card_has_the_figures_and_keeps_the_rest(files: dict[str, Path]) -> None:
    assert main(arguments(files)) == 0
    card = files["card"].read_text()
    assert card.startswith("# Card\n\n<!-- generated: by the report -->\n\n`tones`, int8, 1.64 MB on disk")
    assert card.endswith("<!-- end of the generated part -->\n\nBy hand.\n") and "of before" not in card
    rows = {line.strip("| ").replace(" | ", "|") for line in card.splitlines() if line.startswith("|")}
    assert "fsdd|4|beam 4|25.0 %|10.0 %|75.0 %|100.0 %" in rows
    assert "fsdd|25.0 %|50.0 %" in rows  # clean and in noise
    assert "speller step|beam 4|1.25|2.50" in rows
    assert "fsdd|two|(nothing)" in rows
    assert "0.9 to 1.0|80|94.0 %" in rows and "0.5|50.0 %|25.0 %" in rows
    assert "calibration error 0.019 for whole texts (90, 50.0 % right)" in card
    assert "fsdd|30|20.0 %|0.0|4.5|1 of 50" in rows and "2 stretches were taken for speech, 0 gave" in card
    assert "150 times faster than real time" in card and "81 MB with 60 s" in card
    assert main(arguments(files)) == 0 and files["card"].read_text() == card


def test_the_manifest_has_the_accuracy(files: dict[str, Path]) -> None:
    assert main(arguments(files)) == 0
    found = load_manifest(files["model"]).accuracy
    assert found["beam_4"]["fsdd"]["snapped_accuracy"] == 1.0 and found["float_greedy"]["fsdd"]["wer"] == 0.25
    assert found["no_text_from_noise"] == 0.875


@pytest.mark.parametrize("other", ["memory", "latency", "float", "confidence", "live"])
def test_results_of_another_model_are_refused(files: dict[str, Path], other: str, capsys) -> None:
    values = json.loads(files[other].read_text())
    values["model"] |= {"graph_sha256": "0", "parent_checkpoint_sha256": "0"}
    files[other].write_text(json.dumps(values))
    assert main(arguments(files)) == 2
    assert "are of another model" in capsys.readouterr().err
    assert files["card"].read_text() == CARD


def test_what_was_not_measured_is_left_out(files: dict[str, Path]) -> None:
    less = copy.deepcopy(accuracy())
    del less["noise"]
    files["accuracy"].write_text(json.dumps(less))
    assert main(["--accuracy", str(files["accuracy"]), "--card", str(files["card"])]) == 0
    card = files["card"].read_text()
    assert "In noise" not in card and "Speed and memory" not in card and "Known failures" in card


def test_a_card_without_marks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no part between"):
        fill_in("# Card\n", "text")
