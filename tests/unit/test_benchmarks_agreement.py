import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement
from benchmarks.agreement import compare, drawn, main, misses
from benchmarks.recordings import Recording


def recordings(count: int) -> list[Recording]:
    silence = np.zeros(16000, dtype=np.float32)
    return [Recording(f"r{i}", "words", "dev", 1.0, "yes no", lambda: silence) for i in range(count)]


def texts(count: int, wrong: int = 0) -> dict[str, str]:
    return {f"r{i}": "yes" if i < wrong else "yes no" for i in range(count)}


def test_forms_that_hear_the_same_miss_nothing() -> None:
    found = compare({"words": recordings(200)}, {"float": texts(200), "int8": texts(200)})
    assert found["sets"]["words"]["int8"] == {
        "utterances": 200,
        "wer": 0.0,
        "wer_error": 0.0,
        "accuracy": 1.0,
    }
    assert found["equal_texts"] == {"float = int8": 1.0}
    assert misses(found) == []


def test_what_differs_too_much_is_named() -> None:
    forms = {"float": texts(200), "onnx": texts(200), "tflite": texts(200, wrong=5)}
    assert misses(compare({"words": recordings(200)}, forms)) == [
        "words: wer of tflite is 1.25% +- 0.55% worse than of float",
        "words: accuracy of tflite is 2.50% worse than of float",
        "float = tflite: 97.5% of the texts",
        "onnx = tflite: 97.5% of the texts",
    ]
    # To be better than the first is no miss.
    better = {"float": texts(2000, wrong=20), "int8": texts(2000)}
    assert misses(compare({"words": recordings(2000)}, better)) == []


def test_draws_of_a_recording_are_a_little_louder_and_softer() -> None:
    wave = np.full(4, 0.5, dtype=np.float32)
    one = Recording("r", "words", "dev", 1.0, "yes no", lambda: wave)
    rows = drawn([one], 4)
    assert [row.id for row in rows] == ["r", "r@1", "r@2", "r@3"] and rows[0] is one
    levels = [20 * np.log10(row.samples()[0] / 0.5) for row in rows]
    assert levels == pytest.approx([0.0, 0.03, -0.03, 0.06], abs=1e-4)


def test_draws_are_no_new_recordings() -> None:
    """The error of what differs follows from how many were recorded, however often each is heard."""
    once, often = recordings(8), drawn(recordings(8), 5)
    wrong = {"r0": "yes", "r3": "yes"}
    errors = []
    for rows in (once, often):
        heard = {row.id: wrong.get(row.id.partition("@")[0], "yes no") for row in rows}
        right = {row.id: "yes no" for row in rows}
        found = compare({"words": rows}, {"float": right, "int8": heard})["sets"]["words"]["int8"]
        assert found["wer"] == 0.125
        errors.append(found["wer_error"])
    assert errors[0] == errors[1] > 0.05


def test_texts_heard_elsewhere_take_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(agreement, "load_recordings", lambda folder: recordings(4))
    monkeypatch.setattr(agreement, "listen", lambda form, rows, beam, progress: texts(len(rows)))
    out = tmp_path / "legacy.json"
    assert main(["model:tflite", "--speech", "x", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["texts"] == {"model:tflite": texts(4)}
    assert main(["model:onnx", "--speech", "x", "--heard", str(out)]) == 0
    assert "legacy model:tflite = model:onnx: 100.00% of the texts" in capsys.readouterr().out
    assert main(["model:onnx", "--speech", "x", "--heard", str(out), "--limit", "3"]) == 2
    assert "legacy.json: model:tflite heard other recordings" in capsys.readouterr().err


def test_a_form_is_a_folder_and_an_engine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text(
        "id\tdataset\tsplit\ttext\tpath\tseconds\nx\ts\tdev\tyes\tx.wav\t1\n"
    )
    assert main(["model", "--speech", str(tmp_path)]) == 2
    assert "benchmarks.agreement: error: model: is not DIR:ENGINE" in capsys.readouterr().err
