import json
import resource
from pathlib import Path

import numpy as np
import pytest

from edge_las.audio import read_audio
from edge_las.errors import AudioError
from edge_las.runtime import saving
from edge_las.runtime.saving import Saver

SAMPLES = (0.1 * np.sin(np.arange(16000))).astype(np.float32)


def test_wav_and_json_are_written(tmp_path):
    saver = Saver(tmp_path / "a" / "b", 16000)
    paths = [saver.save(SAMPLES, {"text": "dvě"}) for _ in range(2)]
    assert len(set(paths)) == 2
    for path in paths:
        np.testing.assert_allclose(read_audio(path), SAMPLES, atol=2e-5)
        record = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
        assert record == {"text": "dvě", "saved": path}
    assert len(list((tmp_path / "a" / "b").iterdir())) == 4


def test_a_disk_that_fills_up_leaves_nothing_and_is_told(tmp_path):
    saver = Saver(tmp_path, 16000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(AudioError, match=r"00001\.wav: file too large"):
            saver.save(SAMPLES, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    saver.save(SAMPLES, {})


def test_a_wav_without_its_json_is_taken_back(tmp_path, monkeypatch):
    saver = Saver(tmp_path, 16000)
    real = saving.os.replace

    def replace(part, path):
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        real(part, path)

    monkeypatch.setattr(saving.os, "replace", replace)
    with pytest.raises(AudioError, match="no space left on device"):
        saver.save(SAMPLES, {})
    assert list(tmp_path.iterdir()) == []


def test_the_folder_must_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioError, match="file"):
        Saver(tmp_path / "file", 16000)
