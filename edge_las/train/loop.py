"""The training loop: steps, schedule, evaluation, checkpoints; interrupted anywhere, it continues as if it were not."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.augment import Augmenter
from edge_las.train.checkpoint import load_checkpoint, load_training, recover, save_checkpoint
from edge_las.train.config import OptimConfig, Recipe
from edge_las.train.corpus import Corpus
from edge_las.train.data import Batch, BatchDataset, dev_clips, load_batches, plan_epoch, training_clips
from edge_las.train.evaluate import evaluate
from edge_las.train.frontend import LogMel
from edge_las.train.loss import JointLoss
from edge_las.train.model import LasModel
from edge_las.train.norm import commit_statistics


@dataclass
class Progress:
    """How far a run has come: plain numbers, saved with each checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # next batch of the epoch
    minutes: float = 0.0
    audio_hours: float = 0.0
    best_wer: float = math.inf
    worse_evaluations: int = 0


class Trainer:
    """One run in one folder: `last` is where it continues, `best` has the lowest mean dev WER."""

    def __init__(
        self, recipe: Recipe, corpus: Corpus, tokens: TokenTable, out: Path, noises: list[Tensor], base: str | None = None
    ) -> None:
        """Begin a run, or continue the one in `out`. `base` is a checkpoint to fine-tune from."""
        self.recipe, self.corpus, self.tokens, self.out = recipe, corpus, tokens, out
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if recipe.optim.accumulate % self.world:
            raise ConfigError(f"optim.accumulate is {recipe.optim.accumulate}, must be a multiple of {self.world} processes")
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it
        torch.manual_seed(recipe.loop.seed)
        self.model = LasModel(recipe.model, len(tokens))
        if base is not None:
            self.model.load_state_dict(_base_weights(base, recipe, tokens))
        self.model.to(self.device)
        self.loss: nn.Module = JointLoss(self.model, recipe.loss)
        self.optimizer = build_optimizer(self.model, recipe.optim, cuda)
        self.ema = {name: w.detach().clone() for name, w in self.model.state_dict().items()}
        self.front = LogMel(recipe.model.features).to(self.device)
        noises = [noise.to(self.device) for noise in noises]
        self.augmenter = Augmenter(recipe.augment, noises, recipe.model.features.sample_rate)
        self.progress = Progress()
        self.stop_asked = False
        recover(out / "last")
        if (out / "last").exists():
            self._resume(out / "last")
        if self.world > 1:
            self.loss = DistributedDataParallel(self.loss, broadcast_buffers=False)
        self._train_clips = training_clips(corpus, recipe.data)
        if not self._train_clips:
            raise ConfigError("no clip of the train split is left by data.exclude and data.max_seconds")

    def run(self) -> Progress:
        """Train until the recipe's end, early stopping, or an interrupt; then evaluate and save."""
        from torch.utils.tensorboard import SummaryWriter

        loop, progress = self.recipe.loop, self.progress
        log = SummaryWriter(self.out / "log", purge_step=progress.step) if self.rank == 0 else None
        began = saved = time.monotonic()
        before = progress.minutes
        bar = tqdm(
            total=self.recipe.optim.max_steps, initial=progress.step, unit="step", disable=self.rank != 0, mininterval=5
        )  # fmt: skip
        with self._signals():
            for batches in self._steps():
                if self._finished():
                    break
                losses, seconds = self._step(batches)
                progress.audio_hours += seconds / 3600
                progress.minutes = before + (time.monotonic() - began) / 60
                bar.update()
                if progress.step % loop.log_steps == 0:
                    self._report(log, bar, losses)
                if progress.step % loop.evaluate_steps == 0:
                    self._evaluate(log, bar)
                if time.monotonic() - saved > 60 * loop.checkpoint_minutes:
                    self.save("last")
                    saved = time.monotonic()
        bar.close()
        if not self.stop_asked and progress.step % loop.evaluate_steps:
            self._evaluate(log, bar)
        self.save("last")
        if log is not None:
            log.close()
        return progress

    def _finished(self) -> bool:
        optim, progress = self.recipe.optim, self.progress
        patience = self.recipe.loop.patience
        over = optim.max_minutes > 0 and progress.minutes >= optim.max_minutes
        done = over or progress.step >= optim.max_steps or 0 < patience <= progress.worse_evaluations
        if self.world > 1:  # one process's clock or signal must stop all in the same step
            flag = torch.tensor(float(done or self.stop_asked), device=self.device)
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            return bool(flag)
        return done or self.stop_asked

    def _steps(self) -> Iterator[list[Batch]]:
        """Yield, for each step, this process's share of its batches; the order is one, whatever the world's size."""
        recipe, progress = self.recipe, self.progress
        group = recipe.optim.accumulate
        seed = recipe.loop.seed
        while True:
            plan = plan_epoch(self.corpus.clips, self._train_clips, recipe.data, seed, progress.epoch)
            usable = len(plan) // group * group
            if usable == 0:
                raise ConfigError(f"an epoch has {len(plan)} batches, fewer than optim.accumulate ({group})")
            temperature = recipe.tokens.sampling_temperature
            dataset = BatchDataset(self.corpus, plan, self.tokens, temperature, (seed, progress.epoch))
            mine = [n for n in range(progress.batch, usable) if n % self.world == self.rank]
            share: list[Batch] = []
            for batch in load_batches(dataset, mine, recipe.data.workers):
                share.append(batch)
                if len(share) == group // self.world:
                    yield share
                    progress.batch += group
                    share = []
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def _step(self, batches: list[Batch]) -> tuple[Tensor, float]:
        optim, progress = self.recipe.optim, self.progress
        self.loss.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(optim, progress.step, progress.minutes)
        seconds, total = 0.0, torch.zeros(3, device=self.device)
        for k, batch in enumerate(batches):
            last = k == len(batches) - 1
            wait = contextlib.nullcontext() if last or self.world == 1 else self.loss.no_sync()  # type: ignore[operator]
            with wait:
                total += self._backward(batch, k * self.world + self.rank) / len(batches)
            seconds += batch.seconds * self.world
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        commit_statistics(self.model)
        progress.step += 1
        self._average()
        return total, seconds

    def _backward(self, batch: Batch, number: int) -> Tensor:
        recipe = self.recipe
        # Random numbers depend on the step and the batch alone: the same after a resume, and in any process.
        seed = (recipe.loop.seed * 1_000_003 + self.progress.step) * 1024 + number
        torch.manual_seed(seed)
        rng = torch.Generator(self.device).manual_seed(seed)
        batch = batch.to(self.device)
        with torch.no_grad():
            samples, lengths = self.augmenter.waveforms(batch.waveforms(), batch.lengths, rng)
            tail = recipe.model.tail_padding_samples
            features, frames = self.front(nn.functional.pad(samples, (0, tail)), lengths + tail)
            features = self.augmenter.features(features, frames, rng)
        bf16 = recipe.optim.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            loss, parts = self.loss(features, frames, batch.tokens, batch.token_lengths)
        (loss / (recipe.optim.accumulate // self.world)).backward()
        return parts

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.optim.ema_decay, self.progress.step / (self.progress.step + 10))
        now = self.model.state_dict()
        floats = [name for name in now if now[name].is_floating_point()]
        torch._foreach_lerp_([self.ema[n] for n in floats], [now[n] for n in floats], 1.0 - decay)

    def _evaluate(self, log: Any, bar: Any) -> None:
        """Evaluate the averaged weights; the other processes wait for the verdict."""
        verdict = torch.zeros(1, dtype=torch.float64)
        if self.rank == 0:
            # Restored bit by bit: evaluation must not move the run.
            now = {name: w.clone() for name, w in self.model.state_dict().items()}
            self.model.load_state_dict(self.ema)
            self.model.eval()
            result = evaluate(self.model, self.tokens, self.corpus, dev_clips(self.corpus, self.recipe.data))
            self.model.load_state_dict(now)
            verdict[0] = result["mean"]
            for name, value in result.items():
                log.add_scalar(f"dev_wer/{name}", value, self.progress.step)
            bar.write(f"step {self.progress.step} dev WER " + " ".join(f"{k} {v:.1f}" for k, v in result.items()))
        if self.world > 1:
            verdict = verdict.to(self.device)
            dist.broadcast(verdict, 0)
        better = float(verdict) < self.progress.best_wer
        self.progress.worse_evaluations = 0 if better else self.progress.worse_evaluations + 1
        if better:
            self.progress.best_wer = float(verdict)
            self.save("best")

    def _report(self, log: Any, bar: Any, losses: Tensor) -> None:
        if log is None:
            return
        progress = self.progress
        rate = progress.audio_hours / max(progress.minutes / 60, 1e-9)
        names = ("attention", "ctc", "inter_ctc")
        values = dict(zip(names, losses.tolist(), strict=True))
        for name, value in values.items():
            log.add_scalar(f"loss/{name}", value, progress.step)
        log.add_scalar("learning_rate", self.optimizer.param_groups[0]["lr"], progress.step)
        bar.set_postfix_str(
            " ".join(f"{k} {v:.3f}" for k, v in values.items()) + f" epoch {progress.epoch} {rate:.0f} h/h", refresh=False
        )

    def save(self, name: str) -> None:
        """Write checkpoint `name`; `last` also holds what continuing needs."""
        if self.rank != 0:
            return
        training = None
        if name == "last":
            tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
            for k, parameter in self.model.named_parameters():
                tensors |= {f"optim.{k}.{n}": torch.as_tensor(v) for n, v in self.optimizer.state[parameter].items()}
            training = (tensors, vars(self.progress))
        save_checkpoint(self.out / name, self.model, self.tokens, self.ema, training)

    def _resume(self, folder: Path) -> None:
        tensors, state = load_training(folder)
        model, _ = load_checkpoint(folder)
        self.ema = {name: w.to(self.device) for name, w in model.state_dict().items()}
        self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        for k, parameter in self.model.named_parameters():
            prefix = f"optim.{k}."
            moments = {n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)}
            if moments:
                device = {n: v if n == "step" and not self.optimizer.defaults["fused"] else v.to(self.device) for n, v in moments.items()}
                self.optimizer.state[parameter] = device
        self.progress = Progress(**state)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the run after the current step."""

        def ask(*_: object) -> None:
            self.stop_asked = True

        old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def build_optimizer(model: nn.Module, config: OptimConfig, cuda: bool) -> torch.optim.AdamW:
    """Make AdamW; biases and scales don't decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=cuda)


def learning_rate(config: OptimConfig, step: int, minutes: float) -> float:
    """Warm up linearly, then fall as a cosine to the final rate at max_steps or max_minutes."""
    done = step / config.max_steps
    if config.max_minutes > 0:
        done = max(done, minutes / config.max_minutes)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))
    rate = config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine
    return rate * min(1.0, (step + 1) / max(1, config.warmup_steps))


def _base_weights(base: str, recipe: Recipe, tokens: TokenTable) -> dict[str, Tensor]:
    model, base_tokens = load_checkpoint(base)
    if model.config != recipe.model:
        raise ConfigError(f"{base}: its model differs from the recipe's")
    if base_tokens.pieces != tokens.pieces:
        raise ConfigError(f"{base}: its tokens differ from the run's")
    return model.state_dict()
