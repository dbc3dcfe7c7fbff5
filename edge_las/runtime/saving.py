"""Keeps utterances as files: a WAV and a JSON each, whole or not at all."""

import json
import os
import time
import wave
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from edge_las.audio import float_to_pcm
from edge_las.errors import AudioError, system_reason

FloatArray = npt.NDArray[np.float32]


class Saver:
    """Writes utterances into a folder; their JSON, which comes last, tells that both are complete."""

    def __init__(self, folder: str | Path, sample_rate: int) -> None:
        self._folder = Path(folder)
        self._sample_rate = sample_rate
        self._count = 0
        self._prefix = time.strftime("%Y%m%d-%H%M%S")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AudioError(f"{folder}: {system_reason(error)}") from None

    def save(self, samples: FloatArray, record: Mapping[str, Any]) -> str:
        """Write an utterance to the disk itself; return the path of its WAV.

        Raises: AudioError if it cannot be written; nothing of it is left then.
        """
        wav, described = self._free_names()
        text = json.dumps({**record, "saved": str(wav)}, ensure_ascii=False, indent=2) + "\n"
        try:
            _write(wav, lambda file: self._write_wav(file, samples))
            _write(described, lambda file: file.write(text.encode()))
            _sync(self._folder)
        except OSError as error:
            for path in (wav, described):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise AudioError(f"{wav}: {system_reason(error)}") from None
        return str(wav)

    def _free_names(self) -> tuple[Path, Path]:
        while True:
            self._count += 1
            stem = self._folder / f"{self._prefix}-{self._count:05}"
            wav, described = stem.with_suffix(".wav"), stem.with_suffix(".json")
            if not wav.exists() and not described.exists():
                return wav, described

    def _write_wav(self, file: BinaryIO, samples: FloatArray) -> None:
        with wave.open(file, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(self._sample_rate)
            wav.writeframes(float_to_pcm(samples).astype("<i2").tobytes())


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Fill a file under another name, and give it its own when it is on the disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        # Unbuffered, so that a full disk shows while writing and not while closing after an error.
        with open(part, "wb", buffering=0) as raw:
            fill(_WholeWrites(raw))  # type: ignore[arg-type]
            os.fsync(raw.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


class _WholeWrites:
    """Writes everything or raises: an unbuffered file may write less than asked."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.seek, self.tell, self.flush = raw.seek, raw.tell, raw.flush

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += self._raw.write(view[done:])
        return done


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
