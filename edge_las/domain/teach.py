"""Fine-tunes a base checkpoint on a domain's speech, a little of everything else in between."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edge_las.domain.mixing import NEGATIVE
from edge_las.domain.texts import COMMAND, NEAR, OTHER
from edge_las.errors import ConfigError
from edge_las.train.checkpoint import load_checkpoint, save_checkpoint
from edge_las.train.compiled import compile_training
from edge_las.train.config import Recipe
from edge_las.train.corpus import Corpus
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


def blend(base: Path, tuned: Path, out: Path, share: float) -> Path:
    """Write the checkpoint that lies between two, `share` of the way from base to tuned; return its folder.

    Source: Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv:2109.01903.
    """
    model, tokens = load_checkpoint(base)
    weights, tuned_weights = model.state_dict(), load_checkpoint(tuned)[0].state_dict()
    between = {
        name: torch.lerp(old, tuned_weights[name], share) if old.is_floating_point() else tuned_weights[name]
        for name, old in weights.items()
    }
    save_checkpoint(out, model, tokens, between)
    return out


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
