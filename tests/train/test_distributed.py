"""Two processes of torchrun (gloo, CPU) do what one does."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from edge_las.errors import ConfigError
from edge_las.train.loop import Trainer
from edge_las.train.run import train
from edge_las.train.subwords import train_tokens
from tests.train.synthetic import MODEL, flat_corpus, make_corpus, recipe, toml

RUN = {"optim": {"max_steps": 4, "accumulate": 4}, "data": {"batch_seconds": 2.0}}


@pytest.mark.parametrize(("listener", "aware"), [("compact", False), ("compact", True), ("pyramid", False)])
def test_two_processes_equal_one(tmp_path, listener: str, aware: bool) -> None:
    data = flat_corpus(tmp_path / "data", 30)
    # With int8, one step: after it the noise of summing in another order may lift a value to the next of 256.
    steps = 1 if aware else 4
    optim = {**RUN["optim"], "max_steps": steps, "quantize_aware": aware}
    # Heads that nothing here is heard for get no gradients.
    heads = {} if aware else {"phone_head": True, "teacher_dim": 4}
    made = recipe(data=RUN["data"], optim=optim, model={**MODEL, "listener": listener, **heads})
    alone = train(made, [data], tmp_path / "one")
    file = toml(made, tmp_path / "tiny.toml")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "edge_las", "train", str(file), "--data", str(data), "--out", str(tmp_path / "two"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert alone.step == steps and f"{steps} steps" in done.stdout
    for name in ("best/weights", "last/training"):
        ours = load_file(tmp_path / f"one/{name}.safetensors")
        theirs = load_file(tmp_path / f"two/{name}.safetensors")
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], atol=1e-5, rtol=1e-5, msg=key)


def test_accumulation_must_suit_the_processes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    made = recipe(**RUN)
    tokens = train_tokens([], made.tokens)
    with pytest.raises(ConfigError, match=r"optim\.accumulate is 4, must be a multiple of 3"):
        Trainer(made, make_corpus(tmp_path, 24), tokens, tmp_path)
