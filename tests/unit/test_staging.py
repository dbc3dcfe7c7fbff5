from pathlib import Path

import pytest

from edge_las.errors import ArtifactError, ConfigError
from edge_las.manifest import MANIFEST_NAME
from edge_las.staging import staged, whole_file


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


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none/file: no such file"), whole_file(tmp_path / "none" / "file"):
        pass
    with pytest.raises(ArtifactError, match="is a directory"), whole_file(tmp_path, ArtifactError):
        pass
    if Path("/dev/full").exists():
        with pytest.raises(ConfigError, match="/dev/full: no space left"), whole_file("/dev/full") as file:
            file.write(b"x")
        assert Path("/dev/full").is_char_device()
