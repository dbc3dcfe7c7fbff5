"""How well a domain's artifact understands recordings: intents, slots, confusions, false accepts."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_las.audio import stream_audio
from edge_las.errors import ConfigError
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.automaton import Automaton
from edge_las.textfiles import read_json, read_lines

OUTSIDE = "(outside)"


@dataclass(frozen=True)
class Case:
    """A recording and what it means; intent None = no command of the domain."""

    path: Path
    intent: str | None
    slots: dict[str, Any]


def read_cases(path: Path, automaton: Automaton, only: Mapping[str, str] | None = None) -> list[Case]:
    """Read manifest.tsv (path, text, maybe intent and slots) or label.json; `only` rows with these values.

    The latter is a list of such objects, or an object of them by path; an intent of null is no command.
    Without an intent the grammar reads it from the text; a text that it does not know is no command.
    Raises: ConfigError naming the file, and the row that is wrong.
    """
    cases, wanted = [], (only or {}).items()
    for number, row in enumerate(_rows(path), start=1):
        if any(str(row.get(column)) != value for column, value in wanted):
            continue
        name = row.get("path") or row.get("file")
        if not name or not (row.get("intent") or "text" in row):
            raise ConfigError(f"{path}: row {number}: has no path, or neither text nor intent")
        try:
            slots = row.get("slots") or {}
            cases.append(
                _case(
                    path.parent / name, row, json.loads(slots) if isinstance(slots, str) else slots, automaton
                )
            )
        except ValueError:
            raise ConfigError(f"{path}: row {number}: slots is not JSON") from None
    if not cases:
        raise ConfigError(f"{path}: holds no recording" + "".join(f" with {k}={v}" for k, v in wanted))
    return cases


def read_negatives(path: Path, automaton: Automaton, only: Mapping[str, str] | None = None) -> list[Case]:
    """Read a table of recordings and leave out those whose text is a command after all.

    Raises: as `read_cases`; ConfigError if none is left.
    """
    cases = [case for case in read_cases(path, automaton, only) if case.intent is None]
    if not cases:
        raise ConfigError(f"{path}: every text is a command of the domain")
    return cases


def _case(path: Path, row: dict[str, Any], slots: dict[str, Any], automaton: Automaton) -> Case:
    if row.get("intent"):
        return Case(path, str(row["intent"]), slots)
    match = automaton.interpret(str(row["text"]))
    return Case(path, match.intent, match.slots) if match else Case(path, None, {})


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if path.suffix != ".json":
        return list(csv.DictReader(read_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = read_json(path)
    if isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values()):
        rows = [{"path": name, **row} for name, row in rows.items()]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: not a list of objects, nor an object of them by path")
    # Known to be no command, whatever was said.
    return [{"text": "", **row} if row.get("intent", "") is None else row for row in rows]


def understand(recognizer: Recognizer, cases: Sequence[Case]) -> list[dict[str, Any] | None]:
    """Recognize every recording."""
    return [recognizer.transcribe(stream_audio(case.path, recognizer.sample_rate)).intent for case in cases]


def report(cases: Sequence[Case], found: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Count what was right; rates are None where there is nothing to count."""
    commands = outside = right = exact = accepted = rejected = slot_errors = slots = 0
    confusions: Counter[tuple[str, str]] = Counter()
    for case, intent in zip(cases, found, strict=True):
        name = intent["intent"] if intent else None
        if name != case.intent:
            confusions[case.intent or OUTSIDE, name or OUTSIDE] += 1
        if case.intent is None:
            outside += 1
            accepted += name is not None
            continue
        commands += 1
        slots += len(case.slots)
        rejected += name is None
        right += name == case.intent
        if intent and name == case.intent:
            wrong = _slot_errors(case.slots, intent["slots"])
            slot_errors += wrong
            exact += wrong == 0
    return {
        "recordings": len(cases), "commands": commands, "outside": outside,
        "intent_accuracy": _rate(right, commands), "exact": _rate(exact, commands),
        "false_rejects": _rate(rejected, commands), "false_accepts": _rate(accepted, outside),
        "slots": slots, "slot_errors": slot_errors,
        "confusions": [[*pair, count] for pair, count in confusions.most_common()],
    }  # fmt: skip


def _slot_errors(expected: dict[str, Any], found: dict[str, Any]) -> int:
    return sum(str(expected.get(name)) != str(found.get(name)) for name in expected.keys() | found.keys())


def _rate(count: int, total: int) -> float | None:
    return round(count / total, 4) if total else None
