"""Greedy transcription of the dev split in batches, and its error rate for each data set."""

import torch
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
def greedy(model: LasModel, features: Tensor, lengths: Tensor) -> list[list[int]]:
    """Spell the likeliest token each step: features (N, T, n_mels), lengths (N,) -> ids of each utterance."""
    encoded, encoded_lengths = model.listener(features, lengths)
    mask = frame_mask(encoded_lengths, encoded.shape[1])[:, 0]
    keys = model.speller.attention.precompute(encoded)
    state = model.speller.initial_state(len(features), encoded.shape[1])
    token = torch.full((len(features),), TokenTable.sos_id, device=features.device)
    most = (encoded_lengths * _MOST_TOKENS_PER_FRAME).long() + 2
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


@torch.inference_mode()
def ctc_greedy(model: LasModel, features: Tensor, lengths: Tensor) -> list[list[int]]:
    """Take the likeliest CTC path: features (N, T, n_mels), lengths (N,) -> token ids of each utterance."""
    encoded, encoded_lengths = model.listener(features, lengths)
    best = model.ctc_log_probs(encoded).argmax(dim=2)
    rows = [torch.unique_consecutive(row[:n]).tolist() for row, n in zip(best, encoded_lengths, strict=True)]
    return [[token for token in row if token != TokenTable.blank_id] for row in rows]


def evaluate(
    model: LasModel, tokens: TokenTable, corpus: Corpus, chosen: list[int], batch_seconds: float = 600.0
) -> dict[str, float]:
    """Transcribe clips: WER in percent by data set, `mean` over the sets, `ctc` = the mean of CTC's own."""
    device = next(model.parameters()).device
    front = LogMel(model.config.features).to(device)
    tail = model.config.tail_padding_samples
    clips = corpus.clips
    heard: dict[str, tuple[list[str], list[str], list[str]]] = {}
    dataset = BatchDataset(corpus, _batches(corpus, chosen, batch_seconds), tokens, 0.0, (0,))
    plan = _batches(corpus, chosen, batch_seconds)
    for batch, items in zip(load_batches(dataset, range(len(plan)), 0), plan, strict=True):
        batch = batch.to(device)
        waves = torch.nn.functional.pad(batch.waveforms(), (0, tail))
        features, frames = front(waves, batch.lengths + tail)
        spelled, partial = greedy(model, features, frames), ctc_greedy(model, features, frames)
        for (i,), ids, ctc_ids, text in zip(items, spelled, partial, batch.texts, strict=True):
            rows = heard.setdefault(clips[i].dataset, ([], [], []))
            for row, value in zip(rows, (text, tokens.decode(ids), tokens.decode(ctc_ids)), strict=True):
                row.append(value)
    result = {name: 100.0 * wer(said, final) for name, (said, final, _) in sorted(heard.items())}
    partials = [100.0 * wer(said, partial) for said, _, partial in heard.values()]
    result["mean"] = sum(result.values()) / max(1, len(heard))
    result["ctc"] = sum(partials) / max(1, len(heard))
    return result


def _batches(corpus: Corpus, chosen: list[int], batch_seconds: float) -> list[list[Item]]:
    batches: list[list[Item]] = [[]]
    for i in sorted(chosen, key=lambda i: corpus.clips[i].seconds):
        if batches[-1] and corpus.clips[i].seconds * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
        batches[-1].append((i,))
    return batches
