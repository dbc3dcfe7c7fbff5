"""Greedy transcription of the dev split in batches, and its error rate and loss for each data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_las.metrics import wer
from edge_las.tokens import TokenTable
from edge_las.train.blocks import frame_mask
from edge_las.train.corpus import Corpus
from edge_las.train.data import BatchDataset, Item, load_batches
from edge_las.train.frontend import LogMel
from edge_las.train.model import LasModel

_MOST_TOKENS_PER_FRAME = 1.0


@torch.inference_mode()
def greedy(model: LasModel, encoded: Tensor, lengths: Tensor) -> list[list[int]]:
    """Spell the likeliest token each step: encoded (N, T, E), lengths (N,) -> token ids of each utterance."""
    mask = frame_mask(lengths, encoded.shape[1])[:, 0]
    keys = model.speller.attention.precompute(encoded)
    state = model.speller.initial_state(len(encoded), encoded.shape[1])
    token = torch.full((len(encoded),), TokenTable.sos_id, device=encoded.device)
    most = (lengths * _MOST_TOKENS_PER_FRAME).long() + 2
    done = torch.zeros_like(token, dtype=torch.bool)
    spelled = []
    for step in range(int(most.max())):
        log_probs, state = model.speller.step(token, state, encoded, keys, mask)
        token = log_probs.argmax(dim=1)
        done |= (token == TokenTable.eos_id) | (step >= most)
        spelled.append(torch.where(done, TokenTable.eos_id, token))
        if bool(done.all()):
            break
    rows = torch.stack(spelled, dim=1).tolist()
    return [row[: row.index(TokenTable.eos_id)] if TokenTable.eos_id in row else row for row in rows]


def best_path(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Take the likeliest CTC path: log_probs (N, T, V), lengths (N,) -> token ids of each utterance."""
    best = log_probs.argmax(dim=2)
    rows = [torch.unique_consecutive(row[:n]).tolist() for row, n in zip(best, lengths, strict=True)]
    return [[token for token in row if token != TokenTable.blank_id] for row in rows]


@dataclass
class _Heard:
    """What was made of a data set's clips."""

    said: list[str] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)
    ctc: list[str] = field(default_factory=list)
    ctc_loss: float = 0.0
    tokens: int = 0


@dataclass(frozen=True)
class ErrorRates:
    """How well a model does on each data set: WER in percent, CTC loss a token."""

    spelled: Mapping[str, float]  # by the Speller alone; empty if it was not asked
    ctc: Mapping[str, float]  # by the CTC head's best path
    ctc_loss: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean WER over data sets: the Speller's, or CTC's where it was not asked."""
        return _mean(self.spelled or self.ctc)

    def scalars(self) -> dict[str, float]:
        """Name them for a log."""
        named = {f"dev_wer/{name}": value for name, value in self.spelled.items()}
        named |= {f"dev_wer/ctc_{name}": value for name, value in self.ctc.items()}
        named |= {f"dev_loss/ctc_{name}": value for name, value in self.ctc_loss.items()}
        return named | {"dev_wer/mean": self.mean, "dev_wer/ctc": _mean(self.ctc)}


@torch.inference_mode()
def evaluate(
    model: LasModel,
    tokens: TokenTable,
    corpus: Corpus,
    chosen: Sequence[int],
    spells: bool = True,
    batch_seconds: float = 600.0,
) -> ErrorRates:
    """Transcribe clips greedily, by the Speller if it `spells`, and by the CTC head."""
    device = next(model.parameters()).device
    front = LogMel(model.config.features).to(device)
    tail = model.config.tail_padding_samples
    heard: dict[str, _Heard] = {}
    plan = _batches(corpus, chosen, batch_seconds)
    dataset = BatchDataset(corpus, plan, tokens, 0.0, (0,))
    for batch, items in zip(load_batches(dataset, range(len(plan)), 0), plan, strict=True):
        batch = batch.to(device)
        waves = F.pad(batch.waveforms(), (0, tail))
        features, frames = front(waves, batch.lengths + tail)
        encoded, lengths = model.listener(features, frames)
        log_probs = model.ctc_log_probs(encoded)
        losses = F.ctc_loss(
            log_probs.transpose(0, 1), batch.tokens, lengths, batch.token_lengths,
            blank=TokenTable.blank_id, reduction="none", zero_infinity=True,
        ).tolist()  # fmt: skip
        paths = best_path(log_probs, lengths)
        spelled = greedy(model, encoded, lengths) if spells else [[] for _ in paths]
        for k, (i,) in enumerate(items):
            row = heard.setdefault(corpus.clips[i].dataset, _Heard())
            row.said.append(batch.texts[k])
            row.spelled.append(tokens.decode(spelled[k]))
            row.ctc.append(tokens.decode(paths[k]))
            row.ctc_loss += losses[k]
            row.tokens += int(batch.token_lengths[k])
    sets = sorted(heard.items())
    return ErrorRates(
        {name: 100.0 * wer(row.said, row.spelled) for name, row in sets if spells},
        {name: 100.0 * wer(row.said, row.ctc) for name, row in sets},
        {name: row.ctc_loss / max(1, row.tokens) for name, row in sets},
    )


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / max(1, len(values))


def _batches(corpus: Corpus, chosen: Sequence[int], batch_seconds: float) -> list[list[Item]]:
    batches: list[list[Item]] = [[]]
    for i in sorted(chosen, key=lambda i: corpus.clips[i].seconds):
        if batches[-1] and corpus.clips[i].seconds * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
        batches[-1].append((i,))
    return batches
