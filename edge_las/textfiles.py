"""Texts that users write, whose errors name the file, and compressed ones of artifacts."""

import gzip
import json
from pathlib import Path
from typing import Any

from edge_las.errors import ConfigError, one_line, system_reason


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises: ConfigError naming the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {one_line(error)}") from None


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text that a user wrote, with or without a byte order mark.

    Raises: ConfigError naming the file.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().split("\n")
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None


def read_gzipped(path: str | Path, most_bytes: int) -> bytes:
    """Read a gzipped file.

    Raises: ValueError if it unpacks to more bytes; OSError, EOFError if it cannot be read.
    """
    with gzip.open(path, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError("too large")
    return data
