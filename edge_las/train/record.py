"""What a run was made of, kept in its folder: the recipe, which runs again, and what it heard."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_las.config import to_dict
from edge_las.staging import whole_file
from edge_las.train.config import Recipe
from edge_las.train.corpus import Clip

RECIPE, INPUTS = "recipe.toml", "inputs.json"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


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
        (RECIPE, "\n".join(to_toml(to_dict(recipe)))),
        (INPUTS, json.dumps(inputs, indent=1, ensure_ascii=False)),
    ):
        with whole_file(out / name) as file:
            file.write(f"{text}\n".encode())


def to_toml(values: Mapping[str, Any], table: str = "") -> Iterator[str]:
    """Write strings, numbers, truths, lists of them and tables as lines of TOML."""
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in tables:
            yield f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in tables.items():
        path = f"{table}.{_key(key)}" if table else _key(key)
        yield from ("", f"[{path}]", *to_toml(value, path))


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
