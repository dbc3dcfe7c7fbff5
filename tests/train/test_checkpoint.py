"""Checkpoints: what was saved comes back; what is damaged or foreign is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edge_las.errors import ArtifactError
from edge_las.train.checkpoint import load_checkpoint, load_training, recover, save_checkpoint, slim
from tests.tiny_artifact import tiny_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "last"
    model, tokens = tiny_model()
    training = ({"optim.x": torch.arange(3.0)}, {"step": 7})
    save_checkpoint(folder, model, tokens, model.state_dict(), training)
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_all_comes_back(saved) -> None:
    model, tokens = load_checkpoint(saved)
    before, before_tokens = tiny_model()
    assert not model.training and model.config == before.config and tokens.pieces == before_tokens.pieces
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    tensors, state = load_training(saved)
    assert tensors["optim.x"].tolist() == [0, 1, 2] and state == {"step": 7}


def test_slim_is_half_and_nearly_equal(saved, tmp_path) -> None:
    slim(saved, tmp_path / "slim")
    assert sorted(p.name for p in (tmp_path / "slim").iterdir()) == [
        "config.json",
        "tokens.txt",
        "weights.safetensors",
    ]
    assert {w.dtype for w in load_file(tmp_path / "slim/weights.safetensors").values()} == {torch.float16}
    small, _ = load_checkpoint(tmp_path / "slim")
    model, _ = load_checkpoint(saved)
    for a, b in zip(small.parameters(), model.parameters(), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["config.json", "tokens.txt", "weights.safetensors"])
def test_a_missing_file_is_named(copy, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["config.json", "tokens.txt", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_file_is_named(copy, name: str, damage: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(
        {"cut": data[: len(data) // 2], "empty": b"", "noise": b"\x93\xff" * 500}[damage]
    )
    with pytest.raises(ArtifactError, match=name if name != "tokens.txt" or damage != "cut" else "."):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["training.safetensors", "state.json"])
def test_damaged_training_state_is_named(copy, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:5])
    with pytest.raises(ArtifactError, match=name):
        load_training(copy)


def test_other_versions_are_refused(copy) -> None:
    config = json.loads((copy / "config.json").read_text())
    for version in (2, None, "1"):
        (copy / "config.json").write_text(json.dumps({**config, "format_version": version}))
        with pytest.raises(ArtifactError, match=r"config\.json: format_version"):
            load_checkpoint(copy)


def test_weights_of_another_model_are_refused(copy) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["model"]["compact"]["channels"] = 32
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: size mismatch"):
        load_checkpoint(copy)
    config["model"]["compact"]["chanels"] = 32
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"compact\.chanels is unknown"):
        load_checkpoint(copy)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_nothing_is_unpickled(copy, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Bomb(), copy / "weights.safetensors")
    with pytest.raises(ArtifactError, match=r"weights\.safetensors"):
        load_checkpoint(copy)
    assert not Path("exploded").exists()


def test_an_interrupted_replacement_is_finished(copy) -> None:
    old = copy.with_name("copy.old")
    copy.rename(old)
    recover(copy)
    assert load_checkpoint(copy) and not old.exists()
    recover(copy)
    assert copy.exists()


def test_a_kill_while_writing_leaves_the_old_one(copy, monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = (copy / "weights.safetensors").read_bytes()
    model, tokens = tiny_model(seed=1)
    monkeypatch.setattr("edge_las.train.checkpoint.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(copy, model, tokens, model.state_dict())
    assert (copy / "weights.safetensors").read_bytes() == before
