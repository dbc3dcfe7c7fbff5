"""A tiny artifact of each precision, made once."""

from pathlib import Path

import pytest

from edge_las.artifact import Manifest
from tests.tiny_artifact import make_artifact


@pytest.fixture(scope="session")
def tiny_int8(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("artifacts") / "int8"
    return folder, make_artifact(folder)


@pytest.fixture(scope="session")
def tiny_float(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("artifacts") / "float"
    return folder, make_artifact(folder, "float")
