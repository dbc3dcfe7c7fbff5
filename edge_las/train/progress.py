"""How far a run has come, and what a user sees of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edge_las.errors import ArtifactError
from edge_las.train.evaluate import ErrorRates


@dataclass
class Progress:
    """Where a run stands between two steps: plain numbers, saved with each checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # next batch of the epoch
    minutes: float = 0.0
    audio_hours: float = 0.0
    # Added to the run's seed: what its base was trained on must not come again in the same batches.
    seed_of_base: int = 0
    best_wer: float = math.inf
    worse_evaluations: int = 0

    @classmethod
    def from_saved(cls, values: Mapping[str, Any], path: Path) -> "Progress":
        """Take what a checkpoint holds.

        Raises: ArtifactError naming the file and the number.
        """
        for field in fields(cls):
            kinds = (int,) if field.type is int else (int, float)
            if type(values.get(field.name)) not in kinds:
                raise ArtifactError(f"{path}: {field.name} is missing or not a number")
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    @property
    def speed(self) -> float:
        """Hours of audio heard in an hour."""
        return self.audio_hours / max(self.minutes / 60, 1e-9)

    def judge(self, error_rate: float) -> bool:
        """Take in an evaluation, in percent; tell whether it was the best so far."""
        better = error_rate < self.best_wer
        self.worse_evaluations = 0 if better else self.worse_evaluations + 1
        if better:
            self.best_wer = error_rate
        return better


class RunLog:
    """TensorBoard's numbers and the progress bar of one process; only the first one's are seen."""

    def __init__(self, folder: Path, progress: Progress, steps: int, shown: bool) -> None:
        self._progress, self._log = progress, None
        if shown:
            from torch.utils.tensorboard import SummaryWriter

            self._log = SummaryWriter(folder, purge_step=progress.step)
        self._bar = tqdm(total=steps, initial=progress.step, unit="step", disable=not shown, mininterval=5)

    def advance(self) -> None:
        """Count a step."""
        self._bar.update()

    def losses(self, values: Mapping[str, float], learning_rate: float) -> None:
        """Report the mean losses since the last report."""
        if self._log is None:
            return
        progress = self._progress
        for name, value in values.items():
            self._log.add_scalar(f"loss/{name}", value, progress.step)
        self._log.add_scalar("learning_rate", learning_rate, progress.step)
        self._log.add_scalar("audio_hours_per_hour", progress.speed, progress.step)
        shown = " ".join(f"{name} {value:.3f}" for name, value in values.items())
        self._bar.set_postfix_str(f"{shown} epoch {progress.epoch} {progress.speed:.0f} h/h", refresh=False)

    def evaluation(self, error_rates: ErrorRates) -> None:
        """Report word error rates in percent and losses of dev, and log the hours heard by then."""
        if self._log is None:
            return
        scalars = error_rates.scalars() | {"audio_hours": self._progress.audio_hours}
        for name, value in scalars.items():
            self._log.add_scalar(name, value, self._progress.step)
        shown = " ".join(
            f"{name.removeprefix('dev_wer/')} {value:.1f}"
            for name, value in scalars.items()
            if name.startswith("dev_wer/")
        )
        self._bar.write(f"step {self._progress.step} dev WER {shown}")

    def close(self) -> None:
        self._bar.close()
        if self._log is not None:
            self._log.close()
