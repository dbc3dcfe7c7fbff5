"""The training loop: steps, evaluation, checkpoints; interrupted anywhere, it goes on as if it were not."""

import contextlib
import gc
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_las.artifact import sha256_file
from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import WEIGHTS, load_checkpoint, recover
from edge_las.train.compiled import compile_training
from edge_las.train.config import Recipe
from edge_las.train.corpus import Corpus
from edge_las.train.data import ahead, dev_clips, training_clips
from edge_las.train.evaluate import evaluate
from edge_las.train.hearing import Heard, Hearing, Share
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.model import LasModel, without_heads
from edge_las.train.norm import commit_statistics
from edge_las.train.optim import BESIDE_LISTENER, build_optimizer, learning_rate, move_average
from edge_las.train.processes import FirstAlone, Processes
from edge_las.train.progress import Progress, RunLog
from edge_las.train.quantize_aware import simulate_int8
from edge_las.train.resume import load_run, save_run


class Trainer:
    """One run in one folder: `last` is where it continues, `best` has the lowest mean dev WER."""

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        tokens: TokenTable,
        out: Path,
        noises: Sequence[Tensor] = (),
        larger: str | Path | None = None,
    ) -> None:
        """Begin a run, or continue the one in `out`."""
        self.recipe, self.corpus, self.tokens, self.out = recipe, corpus, tokens, out
        self.processes = Processes.current()
        self.device = self.processes.device
        self._check()
        torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it
        torch.manual_seed(recipe.loop.seed)
        self.model = LasModel(recipe.model, len(tokens)).to(self.device)
        if recipe.optim.compiled:
            compile_training(self.model)
        self.int8 = simulate_int8(self.model, recipe.optim.quantize_aware)
        self.loss: nn.Module = JointLoss(self.model, recipe.loss, self._larger(larger))
        if recipe.optim.listener_share == 0.0:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(name.startswith(BESIDE_LISTENER))
        self.optimizer = build_optimizer(self.model, recipe.optim, self.device.type == "cuda")
        self.ema = {name: w.detach().clone() for name, w in self.model.state_dict().items()}
        subsampling = self.model.listener.subsampling
        self.hearing = Hearing(recipe, corpus, tokens, self._train_clips, subsampling, noises, self.processes)
        self.progress = Progress()
        self._asked = False  # this process was asked to stop
        self.interrupted = False  # all have agreed to
        self._resume()
        if self.processes.world > 1:
            # The Speller beside a Listener that learns alone, and heads without targets, get no gradients.
            idle = recipe.loss.ctc_weight >= 1.0 or recipe.model != without_heads(recipe.model)
            self.loss = DistributedDataParallel(
                self.loss, broadcast_buffers=False, find_unused_parameters=idle
            )

    def _larger(self, folder: str | Path | None) -> LasModel | None:
        if (folder is None) != (self.recipe.loss.larger_weight == 0.0):
            raise ConfigError("--larger and loss.larger_weight above 0 go together")
        if folder is None:
            return None
        model, tokens = load_checkpoint(folder)
        if tokens.pieces != self.tokens.pieces:
            raise ConfigError(f"{folder}: its tokens differ from the run's")
        if model.listener.subsampling != self.model.listener.subsampling:
            raise ConfigError(f"{folder}: its Listener has other encoded frames than the run's")
        return model.to(self.device)

    def start_from(self, base: str | Path) -> None:
        """Fine-tune from a checkpoint, unless the run has begun already.

        Raises: ConfigError if its model or tokens differ from the run's.
        """
        if self.progress.step > 0:
            return
        model, tokens = load_checkpoint(base)
        if without_heads(model.config) != without_heads(self.recipe.model):
            raise ConfigError(f"{base}: its model differs from the recipe's")
        if tokens.pieces != self.tokens.pieces:
            raise ConfigError(f"{base}: its tokens differ from the run's")
        own = self.model.state_dict()
        fitting = {k: w for k, w in model.state_dict().items() if k in own and w.shape == own[k].shape}
        self.model.load_state_dict(own | fitting)
        self.progress.seed_of_base = int(sha256_file(Path(base) / WEIGHTS)[:5], 16)
        self.ema = {name: w.detach().clone() for name, w in self.model.state_dict().items()}

    def run(self) -> Progress:
        """Train until the recipe's end, early stopping, or an interrupt; then evaluate and save."""
        loop, progress = self.recipe.loop, self.progress
        log = RunLog(self.out / "log", progress, self.recipe.optim.max_steps, self.processes.first)
        began = saved = time.monotonic()
        before = progress.minutes
        recent: list[Tensor] = []
        with contextlib.closing(log), self._signals():
            for share in ahead(self.hearing.shares(self.progress)):
                if self._finished():
                    break
                recent.append(self._step(share))
                progress.minutes = before + (time.monotonic() - began) / 60
                log.advance()
                if progress.step % loop.log_steps == 0:
                    # Batches of words and of sentences differ much: one step's losses tell nothing.
                    mean = torch.stack(recent).mean(dim=0).tolist()
                    # The last group is the Speller's, which learns at the whole rate (optim.listener_share).
                    log.losses(dict(zip(LOSSES, mean, strict=True)), self.optimizer.param_groups[-1]["lr"])
                    recent = []
                if progress.step % loop.evaluate_steps == 0:
                    self._evaluate(log)
                if time.monotonic() - saved > 60 * loop.checkpoint_minutes:
                    self.save("last")
                    saved = time.monotonic()
            if not self.interrupted and progress.step % loop.evaluate_steps:
                self._evaluate(log)
        self.save("last")
        return progress

    def part(self) -> None:
        """Let go of what exchanges gradients, while the processes are still joined.

        Freed after them, it waits with Python's lock held for a thread that wants it: at times for ever.
        """
        if isinstance(self.loss, DistributedDataParallel):
            self.loss = self.loss.module
            gc.collect()

    def save(self, name: str) -> None:
        """Write checkpoint `name`; `last` also holds what continuing needs."""
        if self.processes.first:
            optimizer = self.optimizer if name == "last" else None
            save_run(self.out / name, self.model, self.tokens, self.ema, self.progress, optimizer)

    def _check(self) -> None:
        recipe, world = self.recipe, self.processes.world
        if recipe.optim.accumulate % world:
            raise ConfigError(
                f"optim.accumulate is {recipe.optim.accumulate}, must be a multiple of {world} processes"
            )
        self._train_clips = training_clips(self.corpus, recipe.data)
        self._dev_clips = dev_clips(self.corpus, recipe.data)
        if not self._train_clips:
            raise ConfigError("no clip of the train split is left by data.exclude and data.max_seconds")
        if not self._dev_clips:
            raise ConfigError("no clip of the dev split is there: the best checkpoint is chosen by them")

    def _resume(self) -> None:
        with FirstAlone():
            for name in ("last", "best"):
                recover(self.out / name)
        if (self.out / "last").exists():
            self.ema, self.progress = load_run(self.out / "last", self.model, self.tokens, self.optimizer)

    def _finished(self) -> bool:
        optim, progress, patience = self.recipe.optim, self.progress, self.recipe.loop.patience
        over = optim.max_minutes > 0 and progress.minutes >= optim.max_minutes
        done = over or progress.step >= optim.max_steps or 0 < patience <= progress.worse_evaluations
        # One process's clock or signal must stop all in the same step.
        done, self.interrupted = self.processes.any(done, self._asked)
        return done or self.interrupted

    def _step(self, share: Share) -> Tensor:
        """Take one step, and count it: a checkpoint written at any time after it continues with the next."""
        optim, progress = self.recipe.optim, self.progress
        if share.epoch != progress.epoch:
            progress.epoch, progress.batch = share.epoch, 0
        self.loss.train()
        if optim.listener_share == 0.0:
            self.model.listener.eval()  # its normalisations stand still, too
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(optim, progress.step, progress.minutes) * group["share"]
        losses = torch.zeros(len(LOSSES), device=self.device)
        with self.int8():
            for k, heard in enumerate(share.parts):
                with self._gradients_stay(k < len(share.parts) - 1):
                    losses += self._backward(heard) / len(share.parts)
                progress.audio_hours += heard.batch.seconds * self.processes.world / 3600
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        commit_statistics(self.model)
        progress.step += 1
        progress.batch += optim.accumulate
        move_average(self.ema, self.model.state_dict(), progress.step, optim.ema_decay)
        return losses

    def _gradients_stay(self, more: bool) -> contextlib.AbstractContextManager[None]:
        """Let processes exchange gradients only with the last batch of a step."""
        if more and isinstance(self.loss, DistributedDataParallel):
            return self.loss.no_sync()
        return contextlib.nullcontext()

    def _backward(self, heard: Heard) -> Tensor:
        recipe, batch = self.recipe, heard.batch
        torch.manual_seed(heard.seed)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.optim.precision == "bf16"):
            loss, parts = self.loss(
                heard.features, heard.frames, batch.tokens, batch.token_lengths, heard.targets, heard.aligned
            )
        # A head that learns alone has nothing to learn from a batch that is not aligned.
        if loss.requires_grad:
            (loss / (recipe.optim.accumulate // self.processes.world)).backward()
        return parts

    def _evaluate(self, log: RunLog) -> None:
        """Evaluate the averaged weights; the other processes wait for the verdict."""
        mean = 0.0
        if self.processes.first:
            # Restored bit by bit: evaluation must not move the run.
            now = {name: w.clone() for name, w in self.model.state_dict().items()}
            self.model.eval().load_state_dict(self.ema)
            with self.int8():
                spells = self.recipe.loss.ctc_weight < 1.0
                error_rates = evaluate(self.model, self.tokens, self.corpus, self._dev_clips, spells)
            self.model.load_state_dict(now)
            log.evaluation(error_rates)
            mean = error_rates.mean
        if self.progress.judge(self.processes.from_first(mean)):
            self.save("best")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the run after the current step; a second one ends it at once."""
        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in old.items():
                signal.signal(number, handler)

        def ask(*_: object) -> None:
            self._asked = True
            restore()

        for number in old:
            signal.signal(number, ask)
        try:
            yield
        finally:
            restore()
