"""YAML as written: every text with its line, no `on` that turns into True, nothing twice."""

from pathlib import Path
from typing import Any

from edge_las.errors import ConfigError, one_line, system_reason

_MAX_DEPTH = 30


class Text(str):
    """A scalar as written, and its line, counted from 1."""

    line: int = 0
    # False for what is quoted, which then is no number either.
    plain: bool = True


class Place:
    """A file, for errors that name it and a line."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)

    def error(self, where: Any, message: str) -> ConfigError:
        """Make the error for a Text, a line number, or the file as a whole."""
        line = where if isinstance(where, int) else getattr(where, "line", 0)
        return ConfigError(f"{self.path}: line {line}: {message}" if line else f"{self.path}: {message}")


def read_yaml(path: Path) -> Any:
    """Read a file as dicts, lists and Text.

    Raises: ConfigError naming file and line.
    """
    import yaml

    place = Place(path)
    try:
        written = path.read_text(encoding="utf-8")
    except OSError as error:
        raise place.error(0, system_reason(error)) from None
    except UnicodeDecodeError:
        raise place.error(0, "not UTF-8") from None
    try:
        node = yaml.compose(written, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise place.error(line, f"not valid YAML: {one_line(error.problem or error)}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise place.error(0, f"not valid YAML: {one_line(error)}") from None
    if node is None:
        raise place.error(0, "the file is empty")
    return _plain(node, place, 0)


def _plain(node: Any, place: Place, depth: int) -> Any:
    line = node.start_mark.line + 1
    if depth > _MAX_DEPTH:
        raise place.error(line, "nested too deeply, or in itself")
    if node.id == "scalar":
        text = Text(node.value)
        text.line, text.plain = line, node.style is None
        return text
    if node.id == "sequence":
        return [_plain(item, place, depth + 1) for item in node.value]
    values: dict[Text, Any] = {}
    for key_node, value_node in node.value:
        key = _plain(key_node, place, depth + 1)
        if not isinstance(key, Text):
            raise place.error(line, "a key is not a text")
        if key in values:
            raise place.error(key, f"{key!s} is there twice")
        values[key] = _plain(value_node, place, depth + 1)
    return values
