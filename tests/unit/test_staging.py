from pathlib import Path

import pytest

from edge_las.errors import ArtifactError
from edge_las.manifest import MANIFEST_NAME
from edge_las.staging import staged


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    with pytest.raises(RuntimeError), staged(out) as part:
        (part / "file").touch()
        raise RuntimeError
    assert not out.exists() and list(out.parent.iterdir()) == []
    with staged(out) as part:
        (part / MANIFEST_NAME).write_text("1")
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_a_failed_replacement_keeps_the_old_artifact(tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / MANIFEST_NAME).write_text("old")
    with pytest.raises(RuntimeError), staged(out) as part:
        (part / MANIFEST_NAME).write_text("new")
        raise RuntimeError
    assert (out / MANIFEST_NAME).read_text() == "old"


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with pytest.raises(ArtifactError, match="model: exists and is no artifact"), staged(tmp_path / "model"):
        pass
    assert (tmp_path / "model").is_file()


def test_the_old_artifact_comes_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / MANIFEST_NAME).write_text("old")
    with pytest.raises(FileNotFoundError), staged(out) as part:
        part.rmdir()
    assert (out / MANIFEST_NAME).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtifactError, match="file/model: not a directory"),
        staged(tmp_path / "file" / "model"),
    ):
        pass
