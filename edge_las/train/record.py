"""What a run was made of, kept in its folder: the recipe, which runs again, and what it heard."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import tomli_w

from edge_las.config import to_dict
from edge_las.staging import whole_file
from edge_las.train.config import Recipe
from edge_las.train.corpus import Clip

RECIPE, INPUTS = "recipe.toml", "inputs.json"


def write_record(
    out: Path, recipe: Recipe, heard: Iterable[Clip], others: Mapping[str, str | Path | None]
) -> None:
    """Write the recipe with every value, and the inputs: hours of each data set to train on, other paths.

    Raises: ConfigError naming the file that cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    hours: dict[str, float] = {}
    for clip in heard:
        # What is repeated 0 times is evaluated at most.
        if recipe.data.repeat.get(clip.dataset, 1.0) > 0.0:
            hours[clip.dataset] = hours.get(clip.dataset, 0.0) + clip.seconds / 3600
    inputs = {
        "hours": {name: round(hours[name], 3) for name in sorted(hours)},
        **{name: path and str(path) for name, path in others.items()},
    }
    for name, text in (
        (RECIPE, tomli_w.dumps(to_dict(recipe))),
        (INPUTS, json.dumps(inputs, indent=1, ensure_ascii=False) + "\n"),
    ):
        with whole_file(out / name) as file:
            file.write(text.encode())
