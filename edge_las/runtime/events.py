"""How live events are shown: JSON lines, or text with a live line on a terminal."""

import json
import shutil
from typing import Any, TextIO

from edge_las.runtime.live import Event

_METER = 10
_METER_FLOOR_DBFS = -60.0


class JsonLines:
    """Every event as a line of JSON, at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        """Write an event."""
        self._out.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is left to write."""


class TextLines:
    """Final texts on `out`; on a terminal `line` shows level and partial text, else only what is wrong."""

    def __init__(self, out: TextIO, line: TextIO) -> None:
        self._out = out
        self._line = line
        self._live = line.isatty()
        self._partial = ""
        self._dbfs = _METER_FLOOR_DBFS

    def __call__(self, event: Event) -> None:
        """Show an event."""
        kind = event["event"]
        if kind == "level":
            self._dbfs = event["dbfs"]
        elif kind in ("partial", "speech_start"):
            self._partial = event.get("text", "")
        elif kind == "wake":
            self._partial = f"({event['word']})"
        elif kind == "final":
            self._partial = ""
            if event["text"]:
                self._print(self._out, event["text"])
        elif kind == "notice":
            self._print(self._line, f"edge-las: {event['text']}")
        elif kind == "overflow":
            lost = f"{event['lost_s']:g} s of sound lost so far"
            self._print(self._line, f"edge-las: overflow {event['count']}: too slow, {lost}")
        self._draw()

    def close(self) -> None:
        """Leave a clean line."""
        self._clear()

    def _print(self, out: Any, text: str) -> None:
        self._clear()
        out.write(text + "\n")
        out.flush()

    def _clear(self) -> None:
        if self._live:
            self._line.write("\r\x1b[K")
            self._line.flush()

    def _draw(self) -> None:
        if not self._live:
            return
        width = shutil.get_terminal_size().columns - _METER - 4
        text = self._partial if len(self._partial) <= width else "…" + self._partial[-max(0, width - 1) :]
        self._line.write(f"\r\x1b[K[{meter(self._dbfs)}] {text}")
        self._line.flush()


def meter(dbfs: float) -> str:
    """Draw a level as a bar of fixed width."""
    filled = round(_METER * (1.0 - dbfs / _METER_FLOOR_DBFS))
    filled = min(_METER, max(0, filled))
    return "#" * filled + "-" * (_METER - filled)
