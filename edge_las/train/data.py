"""From a corpus to batches: what is heard in an epoch, in which order, joined and bucketed by length."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_las.audio import PCM_SCALE
from edge_las.tokens import TokenTable
from edge_las.train.alignment import UNKNOWN
from edge_las.train.config import DataConfig
from edge_las.train.corpus import SAMPLE_RATE, Clip, Corpus
from edge_las.train.sound import stretch_rows
from edge_las.train.utterances import Utterance, by_voice, join_clips, splice, token_spans

T = TypeVar("T")
Item = tuple[int, ...]  # clips that are heard one after the other


@dataclass(frozen=True)
class Batch:
    """Padded utterances. A worker makes it; `to` brings it to the device of training."""

    samples: Tensor  # (N, S) int16; (N, 0) where the corpus lies on the device of training
    stretches: Tensor  # (M, 6) of `stretch_rows`: what `edge_las.train.sound` lays there instead
    lengths: Tensor  # (N,)
    tokens: Tensor  # (N, U) without <sos> and <eos>, padded with <blank>
    token_lengths: Tensor  # (N,)
    phones: Tensor  # (N, F) uint8, of each 10 ms; UNKNOWN where nothing was aligned
    spans: Tensor  # (N, U + 1, 2) in 10 ms: where each token and <eos> is said; negative = unknown
    taught: Tensor  # (N, F, D) int8, of each 20 ms; zeros where no teacher heard it, D = 0 without one
    texts: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return float(self.lengths.sum()) / SAMPLE_RATE

    def to(self, device: torch.device) -> "Batch":
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def waveforms(self) -> Tensor:
        """Samples as floats in [-1, 1), (N, S)."""
        return self.samples.float() / PCM_SCALE

    def with_samples(self, samples: Tensor) -> "Batch":
        """Give the same batch with its samples (N, S) int16."""
        return replace(self, samples=samples)


def training_clips(corpus: Corpus, config: DataConfig) -> list[int]:
    """List the clips of the train split that a recipe lets in."""
    barred = set(config.exclude_words)
    return [
        i
        for i, clip in enumerate(corpus.clips)
        if clip.split == "train"
        and clip.dataset not in config.exclude
        and 0.1 <= clip.seconds <= config.max_seconds
        and clip.text
        and not holds(clip.text, barred)
    ]


def holds(text: str, words: Collection[str]) -> bool:
    """Whether a text has one of these words, as it is or as in "one's"."""
    return any(word in words or word.removesuffix("'s") in words for word in text.split())


def dev_clips(corpus: Corpus, config: DataConfig) -> list[int]:
    """List the clips of the dev split, at most `dev_clips` of each data set, evenly spread."""
    by_set: dict[str, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        if clip.split == "dev" and clip.dataset not in config.exclude:
            by_set.setdefault(clip.dataset, []).append(i)
    most = config.dev_clips
    return [i for ids in by_set.values() for i in (ids if most == 0 else ids[:: -(-len(ids) // most)])]


def plan_epoch(
    clips: Sequence[Clip], chosen: Sequence[int], config: DataConfig, seed: int, epoch: int
) -> list[list[Item]]:
    """Decide the batches of an epoch; by its arguments alone, so a resumed run goes on the same way."""
    rng = np.random.default_rng([seed, epoch])
    heard = _repeat(clips, chosen, config, rng)
    if epoch < config.easy_epochs:
        items: list[Item] = [(i,) for i in heard if clips[i].seconds < config.easy_below_seconds]
    else:
        items = _join_short(clips, heard, config, rng)
    seconds = np.array([sum(clips[i].seconds for i in item) for item in items])
    # A little noise on the length, or the same clips would always share a batch.
    order = np.argsort(seconds * rng.uniform(0.9, 1.1, len(items)))
    batches: list[list[Item]] = [[]]
    longest = 0.0
    for i in order:
        longest = max(longest, seconds[i])
        full = longest * (len(batches[-1]) + 1) > config.batch_seconds
        if batches[-1] and (full or len(batches[-1]) >= config.max_batch_clips):
            batches.append([])
            longest = seconds[i]
        batches[-1].append(items[i])
    return [batches[i] for i in rng.permutation(len(batches))] if items else []


def _repeat(
    clips: Sequence[Clip], chosen: Sequence[int], config: DataConfig, rng: np.random.Generator
) -> list[int]:
    heard = []
    for i in chosen:
        times = config.repeat.get(clips[i].dataset, 1.0)
        heard += [i] * int(times + rng.random())
    return [heard[i] for i in rng.permutation(len(heard))]


def _join_short(
    clips: Sequence[Clip], heard: list[int], config: DataConfig, rng: np.random.Generator
) -> list[Item]:
    items: list[Item] = []
    pending: list[int] = []
    wanted = 0
    for i in heard:
        if clips[i].seconds >= config.join_below_seconds or (
            not pending and rng.random() >= config.join_probability
        ):
            items.append((i,))
            continue
        if not pending:
            wanted = int(rng.integers(2, config.join_max_clips + 1))
        pending.append(i)
        if len(pending) == wanted:
            items.append(tuple(pending))
            pending = []
    return [*items, tuple(pending)] if pending else items


class BatchDataset(Dataset):
    """Makes the batches of a plan; each depends on its number alone, not on the worker that makes it."""

    def __init__(
        self,
        corpus: Corpus,
        plan: list[list[Item]],
        tokens: TokenTable,
        temperature: float,
        seed: tuple[int, ...],
        teacher_dim: int = 0,
        config: DataConfig | None = None,
    ) -> None:
        """Take a plan's batches; by `config` phrases replace clips, and samples are read or only told."""
        self._corpus, self._plan, self._tokens = corpus, plan, tokens
        self._temperature, self._seed, self._teacher_dim = temperature, seed, teacher_dim
        self._resident = config is not None and config.resident
        self._splicing = config if config is not None and config.splice_probability > 0.0 else None
        if self._splicing is not None:
            self._voices = by_voice(corpus, sorted({i for items in plan for item in items for i in item}))

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([*self._seed, number])
        heard = [self._utterance(item, rng) for item in self._plan[number]]
        waves = [np.zeros(0, np.int16) if self._resident else u.wave(self._corpus) for u in heard]
        texts = tuple(u.text for u in heard)
        ids = [self._tokens.sample(text, rng, self._temperature) for text in texts]
        spans = [token_spans(self._tokens, row, u) for row, u in zip(ids, heard, strict=True)]
        return Batch(
            _pad([torch.from_numpy(wave) for wave in waves]),
            stretch_rows(self._corpus, heard if self._resident else []),
            torch.tensor([u.num_samples for u in heard]),
            _pad([torch.tensor(row, dtype=torch.long) for row in ids]),
            torch.tensor([len(row) for row in ids]),
            _pad([torch.from_numpy(u.phones) for u in heard], UNKNOWN),
            _pad([torch.from_numpy(rows) for rows in spans], -1),
            _pad([torch.from_numpy(u.taught) for u in heard]),
            texts,
        )

    def _utterance(self, item: Item, rng: np.random.Generator) -> Utterance:
        config, first = self._splicing, self._corpus.clips[item[0]]
        if config is not None and len(item) == 1 and first.seconds >= config.join_below_seconds:
            clips = self._voices.get((first.dataset, first.speaker), [])
            if len(clips) > 1 and rng.random() < config.splice_probability:
                return splice(self._corpus, clips, first.seconds, rng, self._teacher_dim)
        return join_clips(self._corpus, item, rng, self._teacher_dim)


def load_batches(dataset: BatchDataset, numbers: Sequence[int], workers: int) -> Iterator[Batch]:
    """Make the numbered batches in order, ahead of time where there are workers."""
    loader = DataLoader(
        dataset, batch_size=None, sampler=list(numbers), num_workers=workers,
        pin_memory=torch.cuda.is_available(), prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # the global one belongs to the model
    )  # fmt: skip
    yield from loader


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Make each item in a second thread while the one before is used."""
    source = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, source, None)
            yield item


def _pad(rows: list[Tensor], value: float = 0) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
