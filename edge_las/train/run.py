"""`edge-las train`: from a recipe and folders of speech to a checkpoint."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_las.audio import read_audio
from edge_las.config import from_dict, read_toml
from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.config import AugmentConfig, Recipe
from edge_las.train.corpus import SAMPLE_RATE, Corpus
from edge_las.train.data import training_clips
from edge_las.train.decode import open_corpus
from edge_las.train.loop import Trainer
from edge_las.train.processes import FirstAlone, join_processes, leave_processes
from edge_las.train.progress import Progress
from edge_las.train.record import write_record
from edge_las.train.subwords import train_tokens

RECIPES = Path(__file__).parent / "recipes"
_AUDIO = {".wav", ".flac", ".opus", ".ogg"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-las train`."""
    add = parser.add_argument
    # fmt: off
    add("recipe", help="a TOML file, or the name of a shipped recipe")
    add("--data", action="append", required=True, metavar="DIR",
        help="folder with manifest.tsv, lhotse's cuts.jsonl.gz, or index.tsv and audio.i16; repeatable")
    add("--noise", metavar="DIR", help="folder of noise recordings to mix in")
    add("--out", required=True, metavar="DIR", help="folder of the run; an interrupted run continues")
    add("--cache", metavar="DIR", help="where decoded audio is kept (default: OUT/cache)")
    add("--base", metavar="CHECKPOINT", help="fine-tune from this checkpoint, with its tokens")
    add("--larger", metavar="CHECKPOINT", help="learn a larger model's posteriors too (loss.larger_weight)")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="override a value of the recipe, in TOML's notation")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Train as the command line says."""
    recipe = load_recipe(args.recipe, args.set)
    result = train(recipe, args.data, Path(args.out), args.noise, args.cache, args.base, args.larger)
    heard = f"{result.step} steps, {result.audio_hours:.1f} hours heard"
    print(f"{heard}, best mean dev WER {result.best_wer:.2f} %")
    return 0


def train(
    recipe: Recipe,
    data: Sequence[str | Path],
    out: Path,
    noise: str | Path | None = None,
    cache: str | Path | None = None,
    base: str | None = None,
    larger: str | None = None,
) -> Progress:
    """Run a recipe on folders of speech; `out` gets checkpoints `best` and `last`, and what made them.

    Raises: KeyboardInterrupt after Ctrl-C or SIGTERM, when all is saved.
    """
    join_processes()
    try:
        with FirstAlone():  # one process decodes the audio and trains the tokens, the others wait for it
            corpus = open_corpus(data, cache or out / "cache")
            tokens = _tokens(recipe, corpus, out, base)
        noises = load_noises(noise, recipe.augment)
        trainer = Trainer(recipe, corpus, tokens, out, noises, larger)
        if base is not None:
            trainer.start_from(base)
        if trainer.processes.first:
            heard = (corpus.clips[i] for i in training_clips(corpus, recipe.data))
            write_record(out, recipe, heard, {"noise": noise, "base": base, "larger": larger})
        try:
            progress = trainer.run()
        finally:
            trainer.part()
    finally:
        leave_processes()
    if trainer.interrupted:
        raise KeyboardInterrupt
    return progress


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by file name or shipped name, with `section.key=value` overrides.

    Raises: ConfigError naming the file and key.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.exists():
        shipped = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise ConfigError(f"{path}: no such recipe; shipped are {shipped}")
    values = read_toml(path)
    for override in overrides:
        _override(values, override)
    return from_dict(Recipe, values, path.name)


def load_noises(folder: str | Path | None, config: AugmentConfig) -> list[Tensor]:
    """Read the noise recordings of a folder, but for the held-back ones."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise ConfigError(f"{folder}: no such folder of noise recordings")
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix in _AUDIO)
    kept = [p for p in paths if not p.name.startswith(config.held_back_noise)]
    if not kept:
        raise ConfigError(f"{folder}: no noise recording is there")
    return [torch.from_numpy(read_audio(path, SAMPLE_RATE)) for path in kept]


def _tokens(recipe: Recipe, corpus: Corpus, out: Path, base: str | None) -> TokenTable:
    path = out / "tokens.txt"
    if base is not None:
        return TokenTable.load(Path(base) / "tokens.txt")
    if not path.exists():
        texts = (corpus.clips[i].text for i in training_clips(corpus, recipe.data))
        table = train_tokens(texts, recipe.tokens)
        out.mkdir(parents=True, exist_ok=True)
        table.save(path)
    return TokenTable.load(path)


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if equals else None
    except tomllib.TOMLDecodeError:
        value = text
    if value is None:
        raise ConfigError(f"--set {override}: must be section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} is not a section")
    values[last] = value
