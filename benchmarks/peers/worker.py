"""`python -m benchmarks.peers.worker JOB RESULT`: one system hears one set, in its own process."""

import importlib.metadata
import json
import os
import sys
import time
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.systems import SAMPLE_RATE_HZ, SYSTEMS, Entry, Pcm, Setting, System
from edge_las.errors import EdgeLasError

# As long as what a microphone hands over at once.
_BLOCK_SAMPLES = SAMPLE_RATE_HZ // 4


def read_pcm(path: str) -> Pcm:
    """Read a WAV file that the comparison wrote: (S,)."""
    with wave.open(path, "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def hear(system: System, pcm: Pcm) -> dict[str, Any]:
    """Recognize samples (S,); delays are from handing over the last block to the text.

    delay_cpu_ms is what of it this process worked: with one thread all of it, on a machine with nothing else.
    """
    blocks = [pcm[start : start + _BLOCK_SAMPLES] for start in range(0, pcm.size, _BLOCK_SAMPLES)]
    began = time.process_time()
    for block in blocks[:-1]:
        system.accept(block)
    ended, worked = time.perf_counter(), time.process_time()
    system.accept(blocks[-1])
    text = system.finish()
    delay_s, done = time.perf_counter() - ended, time.process_time()
    return {
        "text": text,
        "delay_ms": round(1000.0 * delay_s, 3),
        "delay_cpu_ms": round(1000.0 * (done - worked), 3),
        "cpu_s": round(done - began, 6),
    }


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Load the system, let it hear one recording that does not count, then all of them."""
    entry = SYSTEMS[job["system"]]
    grammar, fsg = (Path(job[name]) if job[name] else None for name in ("grammar", "fsg"))
    setting = Setting(Path(job["model"]), job["engine"], grammar, fsg)
    load_before = os.getloadavg()[0]
    started, used = time.perf_counter(), time.process_time()
    system = entry.load(setting)
    hear(system, read_pcm(job["clips"][0]["path"]))
    loaded = {"load_s": time.perf_counter() - started, "load_cpu_s": time.process_time() - used}
    ready_mb = _status_mb("VmRSS")
    heard = {clip["id"]: hear(system, read_pcm(clip["path"])) for clip in job["clips"]}
    return {
        **{name: round(value, 3) for name, value in loaded.items()},
        "ready_mb": ready_mb,
        "peak_mb": _status_mb("VmHWM"),
        "load_1min": round(load_before, 2),
        "threads": len(os.listdir("/proc/self/task")),
        "disk": _disk(entry, setting),
        "unknown_words": getattr(system, "unknown_words", []),
        "clips": heard,
    }


def _disk(entry: Entry, setting: Setting) -> dict[str, Any]:
    """Weigh the model's files, and all that is installed: they, the packages, and what those need."""
    model = {path.resolve() for path in entry.model_files(setting)}
    files = model.union(*map(_installed_files, _closure(entry.packages, set())))
    return {
        "model_bytes": _bytes(model),
        "all_bytes": _bytes(files),
        "packages": {name: importlib.metadata.version(name) for name in entry.packages},
    }


def _closure(names: Iterable[str], found: set[str]) -> set[str]:
    """Find the packages that these need, extras not counted, of those that are installed."""
    from packaging.requirements import Requirement

    for name in names:
        if name in found:
            continue
        try:
            needs = map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        _closure(
            [need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})], found
        )
    return found


def _installed_files(package: str) -> set[Path]:
    files = importlib.metadata.files(package) or []
    # What Python compiled is not what was installed.
    return {Path(str(file.locate())).resolve() for file in files if file.suffix != ".pyc"}


def _bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files if path.is_file())


def _status_mb(field: str) -> float:
    """Read a figure of this process alone, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise ValueError(f"/proc/self/status: has no {field}")


def main(arguments: list[str]) -> int:
    """Read the job, write the result."""
    job, result = map(Path, arguments)
    try:
        measured = measure(json.loads(job.read_text(encoding="utf-8")))
    except EdgeLasError as error:
        print(error, file=sys.stderr)
        return 2
    result.write_text(json.dumps(measured, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
