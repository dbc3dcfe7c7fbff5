"""The domain `home`: Home Assistant's English sentences (package home-assistant-intents) as templates.

What its users name themselves (devices, areas, floors) and what may be any words is taken from our own lists.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge_las.domain.corpora_lists import load_lists
from edge_las.domain.numbers import spell_number
from edge_las.errors import ConfigError
from edge_las.staging import whole_file

# Lists that the package leaves to its users, or open to any words, and ours in their place.
_OURS = {
    "name": "name", "area": "area", "floor": "floor", "shopping_list_item": "grocery",
    "todo_list_item": "task", "search_query": "song", "message": "task", "timer_command": "task",
}  # fmt: skip
_OWN = {
    "zone": ("home", "work", "school", "the gym"),
    "timer_name": ("pizza", "pasta", "egg", "rice", "laundry", "tea", "cake", "nap", "homework", "workout"),
}
_RANGE_KEYS = ("from", "to", "step")
_BEFORE, _AFTER = "[(please|can you|could you|would you)] ", " [please]"
_HEADER = """\
# Made by `edge-las domain home` from home-assistant-intents {version}: change what you like, and build it.
# Sentences: the Home Assistant contributors, CC BY 4.0 (https://github.com/home-assistant/intents).
# Changes: in this program's format; device names, areas, items and the like are lists of our own.
"""


def write_home(path: Path) -> None:
    """Write the domain `home` as a file of sentence templates.

    Raises: ConfigError if the installed package holds no English sentences, or `path` exists or can't
    be written.
    """
    import yaml

    if path.exists():
        raise ConfigError(f"{path}: exists, it is not replaced: it may hold your own lists")
    header = _HEADER.format(version=version("home-assistant-intents"))
    body = yaml.safe_dump(home_templates(), allow_unicode=True, sort_keys=False, width=110)
    with whole_file(path) as file:
        file.write((header + body).encode())


def home_templates() -> dict[str, Any]:
    """Give the domain as plain values, in the format of a file of templates."""
    import home_assistant_intents  # type: ignore[import-not-found, import-untyped, unused-ignore]

    published = home_assistant_intents.get_intents("en")
    if published is None:
        raise ConfigError("home-assistant-intents: this version holds no English sentences")
    return {
        "language": "en",
        "intents": {
            name: {"data": [_block(block) for block in intent["data"]]}
            for name, intent in published["intents"].items()
        },
        "lists": {**{name: _list(entry) for name, entry in published["lists"].items()}, **_own_lists()},
        "expansion_rules": _as_said(published["expansion_rules"]),
    }


def _as_said(value: Any) -> Any:
    """Write the one number that is not read by its digits as it is said, wherever it is."""
    if isinstance(value, dict):
        return {key: _as_said(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_as_said(part) for part in value]
    return value.replace("1/2", "half") if isinstance(value, str) else value


def _block(block: dict[str, Any]) -> dict[str, Any]:
    kept = {"sentences": [_as_said(f"{_BEFORE}({sentence}){_AFTER}") for sentence in block["sentences"]]}
    return {**kept, **{key: block[key] for key in ("slots", "expansion_rules") if block.get(key)}}


def _list(entry: dict[str, Any]) -> dict[str, Any]:
    if "range" not in entry:
        kept = {key: value for key, value in entry.items() if key in ("values", "wildcard")}
        return _as_said(kept)
    span = entry["range"]
    if "multiplier" not in span:
        return {"range": {key: span[key] for key in _RANGE_KEYS if key in span}}
    numbers = range(span["from"], span["to"] + 1, span.get("step", 1))
    return {"values": [{"in": spell_number(n), "out": n * span["multiplier"]} for n in numbers]}


def _own_lists() -> dict[str, Any]:
    lists = load_lists()
    ours = {name: [text for text in lists[of] if not set(text) & set("{([|")] for name, of in _OURS.items()}
    return {name: {"values": list(values)} for name, values in {**ours, **_OWN}.items()}
