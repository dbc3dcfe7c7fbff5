"""Fine-tunes a base checkpoint on a domain's speech, a little of everything else in between."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

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
# Recordings that a head of phones is refitted on: 600 take 20 s.
_REFIT_CLIPS = 800


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


@torch.no_grad()
def refit_phones(base: LasModel, moved: LasModel, corpus: Corpus, tokens: TokenTable) -> None:
    """Let the head of a Listener that has moved say of clips what the base's says: a linear regression.

    A build's speech has no alignments to teach the head by. Orders, real voices saying other things: cross
    entropy of a frame's phone 0.92 by the base, 1.13 by its head on the moved Listener, 1.00 refitted.
    """
    head, wanted = moved.frame_phone_head, base.frame_phone_head
    numbers = [i for i, clip in enumerate(corpus.clips) if clip.split == "train"]
    if head is None or wanted is None or not numbers:
        return
    front, tail = LogMel(base.config.features), base.config.tail_padding_samples
    numbers = sorted(numbers[:: -(-len(numbers) // _REFIT_CLIPS)], key=lambda i: corpus.clips[i].num_samples)
    plan: list[list[Item]] = [[(i,) for i in numbers[k : k + 16]] for k in range(0, len(numbers), 16)]
    size = head.in_features + 1
    squares, products = (torch.zeros(size, n, dtype=torch.float64) for n in (size, head.out_features))
    for batch in load_batches(BatchDataset(corpus, plan, tokens, 0.0, (0, 0)), range(len(plan)), 0):
        features, frames = front(F.pad(batch.waveforms(), (0, tail)), batch.lengths + tail)
        (before, lengths), (after, _) = (model.eval().listener(features, frames) for model in (base, moved))
        valid = frame_mask(lengths, before.shape[1])[:, 0] > 0
        rows = F.pad(after[valid], (0, 1), value=1.0).double()
        squares += rows.T @ rows
        products += rows.T @ wanted(before[valid]).double()
    squares += 1e-5 * squares.trace() / size * torch.eye(size)
    fitted = torch.linalg.solve(squares, products).float()
    head.weight.copy_(fitted[:-1].T)
    head.bias.copy_(fitted[-1])
    # Without alignments the build has counted nothing but pauses.
    head.prior.copy_(wanted.prior)


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
