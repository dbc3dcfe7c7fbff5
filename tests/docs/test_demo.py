"""`make demo` shows recordings that the bundled model hears as they were spoken."""

import importlib.util
import re
from pathlib import Path

import pytest

from edge_las.audio import read_audio
from edge_las.runtime.recognizer import Recognizer, default_model

ROOT = Path(__file__).resolve().parents[2]
DEMO = re.search(r"^DEMO \?= (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()


@pytest.mark.skipif(not default_model().is_dir(), reason="no model is bundled")
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_demo_recordings_are_heard_as_spoken(transcripts: dict[str, str], clips_dir: Path) -> None:
    recognizer = Recognizer.load()
    heard = {name: recognizer.transcribe(read_audio(clips_dir / name)).text for name in DEMO}
    assert heard == {name: transcripts[name] for name in DEMO}


def test_recordings_are_what_the_transcripts_say(transcripts: dict[str, str], clips_dir: Path) -> None:
    audio = {path.name for path in clips_dir.iterdir() if path.suffix in (".opus", ".flac", ".wav")}
    assert audio == set(transcripts) and set(DEMO) <= audio
    assert sum(path.stat().st_size for path in clips_dir.iterdir()) < 300_000
