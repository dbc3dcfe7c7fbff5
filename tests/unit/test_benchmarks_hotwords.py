import json

import numpy as np
import pytest

from benchmarks import hotwords
from benchmarks.recordings import Recording
from edge_las.runtime.recognizer import default_model
from tests.runtime.test_cli import write_wav


def recording(text: str) -> Recording:
    return Recording(text, "read", "dev", 1.0, text, lambda: np.zeros(16000, np.float32))


def test_rare_words_are_counted_as_said_found_and_unsaid() -> None:
    rows = [recording(text) for text in ("we saw lynde and lynde", "it was late")]
    found = hotwords.score(rows, ["we saw lynde", "it was arvid"], {"lynde", "arvid"})
    assert found == {"count": 2, "wer": pytest.approx(3 / 8), "said": 2, "found": 1, "unsaid": 1}


def test_recordings_are_heard_unannounced_and_with_hotwords(tmp_path, capsys) -> None:
    pytest.importorskip("onnxruntime")
    if not default_model().is_dir():
        pytest.skip("no model is bundled")
    write_wav(tmp_path / "quiet.wav", np.zeros(16000, np.float32))
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for number, text in enumerate(("see zzyx", "see it")):
        rows.append(f"{number}\tread\ts\tdev\t{text}\tquiet.wav\t1")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out.json"
    options = ["--speech", str(tmp_path), "--sets", "read", "--boost", "3", "--json", str(out)]
    assert hotwords.main(options) == 0
    results = json.loads(out.read_text())
    assert results["rare_words"] == ["zzyx"] and results["kind"] == "hotwords"
    assert [(row["boost"], row["recordings"], row["said"]) for row in results["scores"]] == [
        (None, "with", 1), (None, "without", 0), (3.0, "with", 1), (3.0, "without", 0),
    ]  # fmt: skip
    assert "boost 3" in capsys.readouterr().out
    known = tmp_path / "manifest.tsv"
    known.write_text(known.read_text().replace("zzyx", "it"))
    assert hotwords.main(options) == 2
    assert "no dev recording of read has a word that is rare" in capsys.readouterr().err
