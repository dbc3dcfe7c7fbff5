from pathlib import Path

import pytest

from edge_las.artifact import MANIFEST_NAME
from edge_las.errors import ArtifactError
from export.package import checkpoint_hash, measured, staged, tool_versions


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


def test_the_checkpoint_hash_covers_all_its_files(tmp_path: Path) -> None:
    names = ("config.json", "tokens.txt", "weights.safetensors")
    for name in names:
        (tmp_path / name).write_text(name)
    before = checkpoint_hash(tmp_path)
    for name in names:
        (tmp_path / name).write_text("other")
        assert checkpoint_hash(tmp_path) != before
        (tmp_path / name).write_text(name)
    assert checkpoint_hash(tmp_path) == before


def test_small_things() -> None:
    assert measured({"a": 0.123456, "b": 12345.6}) == {"a": 0.123, "b": 12300.0}
    assert {"edge-las", "torch", "onnxruntime"} <= tool_versions().keys()
