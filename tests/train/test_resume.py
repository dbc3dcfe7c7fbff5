"""A run that is interrupted, in any way, goes on as if it were not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from edge_las.errors import ArtifactError, ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import load_checkpoint
from edge_las.train.config import OptimConfig, Recipe
from edge_las.train.evaluate import ErrorRates
from edge_las.train.loop import Trainer
from edge_las.train.optim import learning_rate
from edge_las.train.resume import load_run
from tests.train.synthetic import flat_corpus, make_corpus, recipe, toml

TOKENS = TokenTable.characters()
STEPS = 12
RUN = {
    "optim": {"max_steps": STEPS, "accumulate": 2},
    "data": {"batch_seconds": 3.0},
    "loop": {"checkpoint_minutes": 0.0, "log_steps": 2},
}


class Watched(Trainer):
    """Records each step's losses; after step `stop_at`, Ctrl-C is pressed."""

    stop_at = -1

    def _step(self, batches):
        losses = super()._step(batches)
        self.__dict__.setdefault("losses", []).append(losses.tolist())
        if self.progress.step == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        return losses


def trained(made: Recipe, corpus, out: Path, stop_at: int = -1) -> Watched:
    trainer = Watched(made, corpus, TOKENS, out)
    trainer.stop_at = stop_at
    trainer.run()
    return trainer


def assert_same_weights(a: Path, b: Path, tolerance: float = 1e-6) -> None:
    from safetensors.torch import load_file

    for name in ("weights.safetensors", "training.safetensors"):
        ours, theirs = load_file(a / name), load_file(b / name)
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], atol=tolerance, rtol=1e-5, msg=key)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"), 24)


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory) -> tuple[Path, list]:
    out = tmp_path_factory.mktemp("whole")
    trainer = trained(recipe(**RUN), corpus, out)
    assert trainer.progress.step == STEPS and trainer.progress.epoch >= 1
    return out, trainer.losses


@pytest.mark.parametrize("stop_at", [1, 3, 7])
def test_ctrl_c_and_resume_give_the_same_run(corpus, whole, tmp_path, stop_at: int) -> None:
    first = trained(recipe(**RUN), corpus, tmp_path, stop_at)
    assert first.interrupted and first.progress.step == stop_at
    second = trained(recipe(**RUN), corpus, tmp_path)
    torch.testing.assert_close(torch.tensor(first.losses + second.losses), torch.tensor(whole[1]))
    assert_same_weights(tmp_path / "last", whole[0] / "last")


def test_kill_9_and_resume_give_the_same_run(whole, tmp_path) -> None:
    data, out = flat_corpus(tmp_path / "data", 24), tmp_path / "run"
    file = toml(recipe(**RUN), tmp_path / "tiny.toml")
    command = [sys.executable, "-m", "edge_las", "train", str(file), "--data", str(data), "--out", str(out)]
    # One thread, as the run that it is compared with: sums of two are rounded otherwise.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    until = time.monotonic() + 300
    while not (out / "last/state.json").exists() and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    last = out / "last" if (out / "last").exists() else out / "last.old"
    assert 1 <= json.loads((last / "state.json").read_text())["step"] < STEPS
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{STEPS} steps")
    assert_same_weights(out / "last", whole[0] / "last")


def test_a_corpus_in_memory_gives_the_same_run(corpus, whole, tmp_path) -> None:
    found = trained(recipe(**{**RUN, "data": {**RUN["data"], "resident": True}}), corpus, tmp_path)
    torch.testing.assert_close(torch.tensor(found.losses), torch.tensor(whole[1]))


def test_a_finished_run_is_left_as_it_is(corpus, whole) -> None:
    again = trained(recipe(**RUN), corpus, whole[0])
    assert again.progress.step == STEPS and "losses" not in vars(again)


def test_early_stopping(corpus, tmp_path, monkeypatch) -> None:
    error_rates = iter((50.0, 40.0, 45.0, 40.0, 60.0, 10.0))
    monkeypatch.setattr(
        "edge_las.train.loop.evaluate", lambda *_: ErrorRates({"a": next(error_rates)}, {}, {})
    )
    made = recipe(optim={"max_steps": 40}, loop={"evaluate_steps": 2, "patience": 3})
    progress = Trainer(made, corpus, TOKENS, tmp_path).run()
    assert progress.step == 10 and progress.best_wer == 40.0 and progress.worse_evaluations == 3
    assert (tmp_path / "best").exists()


def test_another_model_or_damage_is_refused(corpus, whole, tmp_path) -> None:
    with pytest.raises(ConfigError, match="its model differs"):
        other = recipe(model={"speller": {"hidden": 20}})
        Trainer(other, corpus, TOKENS, whole[0])
    trainer = Trainer(recipe(**RUN), corpus, TOKENS, tmp_path / "new")
    trainer.save("last")
    state = tmp_path / "new/last/state.json"
    state.write_text('{"step": "many"}')
    with pytest.raises(ArtifactError, match=r"state\.json: step"):
        load_run(tmp_path / "new/last", trainer.model, TOKENS, trainer.optimizer)


def test_fine_tuning_starts_from_the_base(corpus, whole, tmp_path) -> None:
    trainer = Trainer(recipe(**RUN), corpus, TOKENS, tmp_path)
    trainer.start_from(whole[0] / "last")
    base, _ = load_checkpoint(whole[0] / "last")
    assert torch.equal(trainer.model.ctc_head.weight, base.ctc_head.weight)
    assert torch.equal(trainer.ema["ctc_head.weight"], base.ctc_head.weight)
    with pytest.raises(ConfigError, match="its model differs"):
        other = recipe(model={"speller": {"hidden": 20}})
        Trainer(other, corpus, TOKENS, tmp_path / "other").start_from(whole[0] / "last")


def test_what_the_base_heard_does_not_come_again_in_the_same_batches(corpus, whole, tmp_path) -> None:
    def first_batch(trainer: Trainer) -> torch.Tensor:
        return next(iter(trainer.hearing.shares(trainer.progress))).parts[0].features

    fresh, again = (Trainer(recipe(**RUN), corpus, TOKENS, tmp_path / name) for name in ("fresh", "again"))
    again.start_from(whole[0] / "last")
    other = first_batch(again)
    assert first_batch(fresh).shape != other.shape or not torch.equal(first_batch(fresh), other)
    again.save("last")
    resumed = Trainer(recipe(**RUN), corpus, TOKENS, tmp_path / "again")
    resumed.start_from(whole[0] / "last")
    assert torch.equal(first_batch(resumed), other)


def test_heads_for_training_alone_may_differ_from_the_base(whole, corpus, tmp_path) -> None:
    trainer = Trainer(
        recipe(**RUN, model={"phone_head": True, "teacher_dim": 3}), corpus, TOKENS, tmp_path / "more"
    )
    own = trainer.model.teacher_head.weight.clone()
    trainer.start_from(whole[0] / "last")
    base, _ = load_checkpoint(whole[0] / "last")
    assert torch.equal(trainer.model.ctc_head.weight, base.ctc_head.weight)
    assert torch.equal(trainer.model.teacher_head.weight, own)
    trainer.save("last")
    fewer = Trainer(recipe(**RUN), corpus, TOKENS, tmp_path / "fewer")
    fewer.start_from(tmp_path / "more/last")
    assert torch.equal(fewer.model.ctc_head.weight, base.ctc_head.weight)


def test_runs_without_clips_say_so(corpus, tmp_path) -> None:
    with pytest.raises(ConfigError, match="train split"):
        Trainer(recipe(data={"max_seconds": 0.1}), corpus, TOKENS, tmp_path)
    with pytest.raises(ConfigError, match=r"fewer than optim\.accumulate \(64\)"):
        Trainer(recipe(optim={"accumulate": 64}), corpus, TOKENS, tmp_path).run()


def test_learning_rate_warms_up_and_falls() -> None:
    config = OptimConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10, max_steps=100)
    rates = [learning_rate(config, step, 0.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(max(rates[8:12]))
    assert rates[100] == pytest.approx(0.1) and rates[10:] == sorted(rates[10:], reverse=True)
    by_time = OptimConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=0, max_minutes=10.0)
    assert learning_rate(by_time, 1, 10.0) == pytest.approx(0.1)
