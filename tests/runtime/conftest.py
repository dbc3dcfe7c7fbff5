"""A model for tests of servers: it loads in a process of its own, and what it says means nothing."""

from pathlib import Path

import pytest

from edge_las.runtime.recognizer import Recognizer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of random matrices."""
    tiny_onnx = pytest.importorskip("tests.runtime.tiny_onnx")
    return tiny_onnx.write_artifact(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def recognizer(model: Path) -> Recognizer:
    """It in this process, as the servers of the tests search: a random model finds no end of a text."""
    return Recognizer.load(model, beam_size=1)
