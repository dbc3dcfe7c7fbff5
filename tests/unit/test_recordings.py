from pathlib import Path

import numpy as np
import pytest

from edge_las.audio import float_to_pcm
from edge_las.errors import ConfigError
from edge_las.train.corpus import AUDIO_FILE, write_index
from export.recordings import Recording, load_recordings, spread


def made(name: str, dataset: str, speaker: str) -> Recording:
    return Recording(name, dataset, speaker, "train", "yes", lambda: np.zeros(1, dtype=np.float32))


def test_spread_takes_data_sets_then_speakers_in_turn() -> None:
    rows = [made(f"a{i}", "a", "loud") for i in range(20)] + [made("a-rare", "a", "rare")]
    rows += [made(f"b{i}", "b", f"s{i}") for i in range(2)]
    chosen = spread(rows, 6)
    assert [r.dataset for r in chosen] == ["a", "b", "a", "b", "a", "a"]
    assert {r.speaker for r in chosen[:4] if r.dataset == "a"} == {"loud", "rare"}
    assert spread(reversed(rows), 6) == chosen
    assert len(spread(rows, 100)) == len(rows)


def test_a_flat_corpus_is_read(tmp_path: Path) -> None:
    samples = np.linspace(-0.5, 0.5, 1000, dtype=np.float32)
    (tmp_path / AUDIO_FILE).write_bytes(float_to_pcm(samples).tobytes())
    write_index(tmp_path, [("x", 100, 900, "set", "who", "dev", "yes no")])
    (recording,) = load_recordings(tmp_path, 16000)
    assert (recording.id, recording.split, recording.text) == ("x", "dev", "yes no")
    np.testing.assert_allclose(recording.samples(), samples[100:], atol=1 / 32768)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("id\tpath\tdataset\tspeaker\ttext\n")
    with pytest.raises(ConfigError, match="the column split is missing"):
        load_recordings(tmp_path, 16000)
    with pytest.raises(ConfigError, match="neither manifest.tsv nor index.tsv"):
        load_recordings(tmp_path / "no", 16000)
