"""Fine-tunes a base checkpoint on a domain's speech, a little of everything else in between."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from edge_las.domain.mixing import NEGATIVE
from edge_las.domain.texts import COMMAND, NEAR, OTHER
from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.blocks import frame_mask
from edge_las.train.checkpoint import load_checkpoint, save_checkpoint
from edge_las.train.compiled import compile_training
from edge_las.train.config import Recipe
from edge_las.train.corpus import Corpus
from edge_las.train.data import BatchDataset, Item, load_batches
from edge_las.train.frontend import LogMel
from edge_las.train.model import LasModel
from edge_las.train.run import load_recipe, train

# Of the time, what is heard; real speech, where there is any, takes its part from all others.
SHARES = {COMMAND: 0.55, NEAR: 0.15, OTHER: 0.30}
# Of 0.3 (22 minutes, 2.2 M parameters) real voices saying other things were understood worse than before:
# 33 instead of 40 % of sentences with slots, 67 instead of 73 % of strings of digits.
REAL_SHARE = 0.4
# Of the way from the base to what was learnt. 199 real recordings of a domain's own sentences (10 minutes
# of fine-tuning), understood in kitchen noise at 9 dB at 0, 0.25, 0.5, 0.75, 1: 42, 44, 46, 47, 47 %; as
# recorded 76 to 77 % at all. Real voices saying other things: 81 % at 0, 76 at 0.75, 75 at 1.
TUNED_SHARE = 0.75
_DONE = "done.json"
# Recordings that a head of phones is refitted on, heard in 17 s, and how often some are looked at: 9 s.
_REFIT_CLIPS = 600
_REFIT_STEPS, _REFIT_BATCH, _REFIT_RATE = 300, 12, 1e-3


def domain_recipe(base: Path, overrides: Sequence[str], seed: int, tell: Callable[[str], None]) -> Recipe:
    """Load the recipe `domain` for a base checkpoint's model; tell where it must do without compiling.

    Raises: ConfigError, ArtifactError.
    """
    recipe = load_recipe("domain", overrides)
    model, _ = load_checkpoint(base)
    if recipe.optim.compiled:
        try:
            compile_training(model)
        except ConfigError as reason:
            tell(f"training takes longer: {reason}")
            recipe = replace(recipe, optim=replace(recipe.optim, compiled=False))
    return replace(recipe, model=model.config, loop=replace(recipe.loop, seed=seed))


def teach(
    recipe: Recipe, speech: Sequence[Path], base: Path, out: Path, minutes: float, noise: Path | None = None
) -> Path:
    """Train for so many minutes and return the best checkpoint; goes on from where an earlier call was ended.

    Given more minutes than before, it trains for the rest of them.
    """
    done = out / _DONE
    if done.exists() and json.loads(done.read_text())["minutes"] >= minutes:
        return out / "best"
    data = replace(
        recipe.data,
        repeat={**repeats(Corpus(speech)), **recipe.data.repeat},
        # What rejection is chosen by is no measure of the text.
        exclude=(*recipe.data.exclude, NEGATIVE),
    )
    recipe = replace(recipe, data=data, optim=replace(recipe.optim, max_minutes=minutes))
    progress = train(recipe, speech, out, noise, base=str(base))
    state = {"minutes": minutes, "steps": progress.step, "audio_hours": round(progress.audio_hours, 3)}
    done.write_text(json.dumps(state))
    return out / "best"


def blend(base: Path, tuned: Path, out: Path, share: float, heard: Sequence[Path]) -> Path:
    """Write the checkpoint that lies between two, `share` of the way from base to tuned; return its folder.

    A head of frames' phones is fitted to it anew, on the corpora `heard`.
    Source: Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv:2109.01903.
    """
    (model, tokens), (moved, _) = load_checkpoint(base), load_checkpoint(tuned)
    weights, tuned_weights = model.state_dict(), moved.state_dict()
    between = {
        name: torch.lerp(old, tuned_weights[name], share) if old.is_floating_point() else tuned_weights[name]
        for name, old in weights.items()
    }
    moved.load_state_dict(between)
    refit_phones(model, moved, Corpus(heard), tokens)
    save_checkpoint(out, moved, tokens, moved.state_dict())
    return out


def refit_phones(base: LasModel, moved: LasModel, corpus: Corpus, tokens: TokenTable, seed: int = 0) -> None:
    """Let the head of a Listener that has moved say of clips what the base's says, whose it then begins as.

    A build's speech has no alignments to teach the head by, and has counted nothing but pauses. A Listener
    moved by a tenth, on other orders: 0.113 nats a frame from the base by the base's head, 0.042 refitted.
    """
    head, wanted = moved.frame_phone_head, base.frame_phone_head
    if head is None or wanted is None:
        return
    head.load_state_dict(wanted.state_dict())
    clips = list(_heard_by_both(base, moved, corpus, tokens))
    if not clips:
        return
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=_REFIT_RATE)
    # In evaluation mode: the normalisation stays, and nothing is left out.
    head.eval().requires_grad_(True)
    for step in range(_REFIT_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _REFIT_RATE * (1.0 - step / _REFIT_STEPS)
        chosen = [clips[i] for i in torch.randint(len(clips), (_REFIT_BATCH,), generator=rng).tolist()]
        encoded, middle, said = (
            pad_sequence(list(part), batch_first=True) for part in zip(*chosen, strict=True)
        )
        lengths = torch.tensor([len(clip.said) for clip in chosen])
        valid = frame_mask(lengths, said.shape[1])[:, 0] > 0
        found = torch.log_softmax(head(encoded, middle, lengths), dim=2)
        loss = F.kl_div(found[valid], said[valid], reduction="batchmean", log_target=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class _Clip(NamedTuple):
    """What the moved Listener makes of a clip, (L, E) and (L, M), and what is to be said of it, (L, P)."""

    encoded: Tensor
    middle: Tensor
    said: Tensor


@torch.no_grad()
def _heard_by_both(base: LasModel, moved: LasModel, corpus: Corpus, tokens: TokenTable) -> Iterator[_Clip]:
    """Hear clips by both models; what is to be said are the log probs of the base's head."""
    wanted = base.frame_phone_head
    assert wanted is not None
    front, tail = LogMel(base.config.features), base.config.tail_padding_samples
    numbers = [i for i, clip in enumerate(corpus.clips) if clip.split == "train"]
    if not numbers:
        return
    numbers = sorted(numbers[:: -(-len(numbers) // _REFIT_CLIPS)], key=lambda i: corpus.clips[i].num_samples)
    plan: list[list[Item]] = [[(i,) for i in numbers[k : k + 16]] for k in range(0, len(numbers), 16)]
    for batch in load_batches(BatchDataset(corpus, plan, tokens, 0.0, (0, 0)), range(len(plan)), 0):
        features, frames = front(F.pad(batch.waveforms(), (0, tail)), batch.lengths + tail)
        before, before_middle, lengths = base.eval().hear(features, frames)
        after, after_middle, _ = moved.eval().hear(features, frames)
        assert before_middle is not None and after_middle is not None
        said = torch.log_softmax(wanted(before, before_middle, lengths), dim=2)
        for parts in zip(after, after_middle, said, lengths.tolist(), strict=True):
            # Copies: the batch itself is not kept.
            yield _Clip(*(part[: parts[3]].clone() for part in parts[:3]))


def repeats(corpus: Corpus) -> dict[str, float]:
    """Give how often each data set is heard in an epoch, so that each has its share of the time."""
    hours: dict[str, float] = {}
    for clip in corpus.clips:
        if clip.split == "train":
            hours[clip.dataset] = hours.get(clip.dataset, 0.0) + clip.seconds / 3600
    spoken = _times({name: hours[name] for name in SHARES if name in hours})
    real = [name for name in hours if name not in SHARES]
    if not real:
        return spoken
    heard = sum(hours[name] * times for name, times in spoken.items())
    times = heard * REAL_SHARE / (1.0 - REAL_SHARE) / sum(hours[name] for name in real)
    return {**spoken, **dict.fromkeys(real, times)}


def _times(hours: dict[str, float]) -> dict[str, float]:
    """Commands are heard once, the others as often as their share asks."""
    unit = hours[COMMAND] / SHARES[COMMAND]
    return {name: SHARES[name] * unit / hours[name] for name in hours}
