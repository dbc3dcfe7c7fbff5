from pathlib import Path

from export.package import checkpoint_hash, measured, tool_versions


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
