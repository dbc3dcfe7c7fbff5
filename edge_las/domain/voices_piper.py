"""Voices of piper: a neural network each, loaded once by a process that then speaks line after line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_las.domain.voices_engines import parse_wave
from edge_las.errors import DeviceError

if TYPE_CHECKING:
    from edge_las.domain.voices import Prosody

# Folders of voices, each an .onnx file with its .onnx.json; as in PATH.
FOLDERS_VARIABLE = "PIPER_VOICES"
FOLDERS = ("~/.local/share/piper-voices", "/usr/share/piper-voices")
# Of a model that knows hundreds of speakers, so many: each needs a process of its own.
MAX_SPEAKERS = 8
# A process keeps its pace, so there are only these; training varies the speed further.
_LENGTHS = (0.85, 1.0, 1.2)
_MAX_PROCESSES = 3
_WROTE = re.compile(r"(\S.*\.wav)\s*$")


def piper_voices() -> list[tuple[str, float]]:
    """English voices in the folders of PIPER_VOICES; a speaker of a model is NAME#NUMBER."""
    named = []
    for name, (_, speakers) in _models().items():
        chosen = sorted({round(i * (speakers - 1) / MAX_SPEAKERS) for i in range(MAX_SPEAKERS + 1)})
        named += [(f"{name}#{number}" if speakers > 1 else name, 1.0) for number in chosen[:MAX_SPEAKERS]]
    return named


@lru_cache(maxsize=1)
def _models() -> dict[str, tuple[Path, int]]:
    folders = os.environ.get(FOLDERS_VARIABLE, os.pathsep.join(FOLDERS)).split(os.pathsep)
    found = {}
    for path in sorted(p for folder in folders if folder for p in Path(folder).expanduser().glob("*.onnx")):
        try:
            described = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # no voice of piper's
        if str(described.get("espeak", {}).get("voice", "")).startswith("en"):
            found[path.stem] = path, int(described.get("num_speakers", 1))
    return found


def speak_piper(name: str, text: str, prosody: Prosody) -> tuple[np.ndarray, int]:
    """Its voices take no pitch: that moves with the vocal tract only."""
    length = min(_LENGTHS, key=lambda length: abs(length - 1.0 / prosody.pace))
    return parse_wave(_process(name, length).say(text), "piper")


class _Process:
    """A piper that waits for lines on its standard input."""

    def __init__(self, name: str, length: float) -> None:
        model, _, number = name.partition("#")
        self._folder = tempfile.TemporaryDirectory(prefix="edge-las-piper-")
        # Without noise the same text gives the same sound.
        command = ["piper", "--model", str(_models()[model][0]), "--output_dir", self._folder.name]
        command += ["--length_scale", str(length), "--noise_scale", "0", "--noise_w", "0"]
        self._piper = subprocess.Popen(
            command + (["--speaker", number] if number else []), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def say(self, text: str) -> bytes:
        """Give the WAV file of a text."""
        assert self._piper.stdin and self._piper.stdout
        line = ""
        try:
            self._piper.stdin.write(text + "\n")
            self._piper.stdin.flush()
            for line in self._piper.stdout:
                if found := _WROTE.search(line):
                    path = Path(self._folder.name) / Path(found[1]).name
                    data = path.read_bytes()
                    path.unlink()
                    return data
        except OSError:
            pass  # told below: the process has ended
        close_all()
        raise DeviceError(f"piper: ended without a sound: {line.strip() or 'no message'}")

    def close(self) -> None:
        """End the process."""
        assert self._piper.stdin and self._piper.stdout
        with contextlib.suppress(OSError):  # it may have ended with a line unread
            self._piper.stdin.close()
        self._piper.wait()
        self._piper.stdout.close()
        self._folder.cleanup()


_processes: OrderedDict[tuple[str, float], _Process] = OrderedDict()


def _process(name: str, length: float) -> _Process:
    key = name, length
    if key not in _processes:
        while len(_processes) >= _MAX_PROCESSES:
            _processes.popitem(last=False)[1].close()
        _processes[key] = _Process(name, length)
    _processes.move_to_end(key)
    return _processes[key]


def close_all() -> None:
    """End all processes."""
    while _processes:
        _processes.popitem()[1].close()
