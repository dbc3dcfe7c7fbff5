"""What a run hears, step by step: batches read, augmented and made into features and targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.augment import Augmenter, Moved
from edge_las.train.config import Recipe
from edge_las.train.corpus import Corpus
from edge_las.train.data import Batch, BatchDataset, load_batches, plan_epoch
from edge_las.train.frontend import LogMel
from edge_las.train.loss import aligned_share
from edge_las.train.processes import Processes
from edge_las.train.progress import Progress
from edge_las.train.sound import Sound
from edge_las.train.targets import Targets, make_targets


@dataclass(frozen=True)
class Heard:
    """A batch as the model hears it, augmented."""

    seed: int
    batch: Batch
    features: Tensor  # (N, T, n_mels)
    frames: Tensor  # (N,)
    targets: Targets | None
    aligned: float  # what is left of the weights of the aligned losses


@dataclass(frozen=True)
class Share:
    """What one process hears in one step."""

    epoch: int
    parts: list[Heard]


class Hearing:
    """Makes one process's shares, on the device of training."""

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        tokens: TokenTable,
        clips: Sequence[int],
        subsampling: int,
        noises: Sequence[Tensor],
        processes: Processes,
    ) -> None:
        """Take the clips of the corpus to be heard, and feature frames per encoded frame."""
        self.recipe, self.corpus, self.tokens, self.clips = recipe, corpus, tokens, clips
        self.subsampling, self.processes, self.device = subsampling, processes, processes.device
        features = recipe.model.features
        self.front = LogMel(features).to(self.device)
        noises = [noise.to(self.device) for noise in noises]
        self.sound = Sound(corpus, self.device) if recipe.data.resident else None
        self.augmenter = Augmenter(recipe.augment, noises, features)
        self.teacher_dim = recipe.model.teacher_dim if recipe.loss.teacher_weight > 0.0 else 0
        if self.teacher_dim:
            corpus.check_teachers(self.teacher_dim)

    def shares(self, progress: Progress) -> Iterator[Share]:
        """Make this process's share of each step to come; batches don't depend on the number of processes."""
        recipe = self.recipe
        group, world = recipe.optim.accumulate, self.processes.world
        seed = recipe.loop.seed + progress.seed_of_base
        step, epoch, first = progress.step, progress.epoch, progress.batch
        while True:
            plan = plan_epoch(self.corpus.clips, self.clips, recipe.data, seed, epoch)
            usable = len(plan) // group * group
            if usable == 0:
                raise ConfigError(
                    f"an epoch has {len(plan)} batches, fewer than optim.accumulate ({group}); "
                    f"data.batch_seconds is {recipe.data.batch_seconds:g}"
                )
            temperature = recipe.tokens.sampling_temperature
            dataset = BatchDataset(
                self.corpus, plan, self.tokens, temperature, (seed, epoch), self.teacher_dim, recipe.data
            )
            mine = [n for n in range(first, usable) if n % world == self.processes.rank]
            parts: list[Heard] = []
            for batch in load_batches(dataset, mine, recipe.data.workers):
                parts.append(self._hear(batch, self._seed(seed, step, len(parts)), step))
                if len(parts) == group // world:
                    yield Share(epoch, parts)
                    step, parts = step + 1, []
            epoch, first = epoch + 1, 0

    def _seed(self, seed: int, step: int, number: int) -> int:
        # Random numbers depend on step and batch alone: the same after a resume, and in any process.
        number = number * self.processes.world + self.processes.rank
        return (seed * 1_000_003 + step) * 1024 + number

    @torch.no_grad()
    def _hear(self, batch: Batch, seed: int, step: int) -> Heard:
        """Augment a batch on the device of training and make its features and targets."""
        recipe = self.recipe
        rng = torch.Generator(self.device).manual_seed(seed)
        if self.sound is not None:
            batch = batch.with_samples(self.sound.lay(batch.stretches, batch.lengths))
        batch = batch.to(self.device)
        samples, lengths, moved = self.augmenter.waveforms(batch.waveforms(), batch.lengths, rng)
        tail = recipe.model.tail_padding_samples
        features, frames = self.front(nn.functional.pad(samples, (0, tail)), lengths + tail)
        features = self.augmenter.features(features, frames, rng)
        aligned = aligned_share(recipe.loss, step)
        wanted = aligned > 0.0 or batch.taught.shape[2] > 0 or recipe.model.frame_phones
        targets = self._targets(batch, moved, features) if wanted else None
        return Heard(seed, batch, features, frames, targets, aligned)

    def _targets(self, batch: Batch, moved: Moved, features: Tensor) -> Targets:
        config, subsampling = self.recipe.model.features, self.subsampling
        frames, hop_samples = -(-features.shape[1] // subsampling), subsampling * config.hop_length
        return make_targets(
            batch.phones, batch.spans, batch.taught, moved, frames, hop_samples, config.sample_rate
        )
