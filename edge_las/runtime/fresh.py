"""What a process costs that starts, recognizes files and ends: time, CPU, memory; measured from outside."""

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_las.errors import DeviceError

# VmHWM counts this process alone; ru_maxrss would start from the size of the process that forked it.
_CHILD = """
import sys, time
started = time.perf_counter()
import edge_las.runtime.recognizer
imported = time.perf_counter() - started
from edge_las.cli import main
status = main(sys.argv[1:])
sys.stdout.flush()
try:
    status_kb = {line.split()[0]: int(line.split()[1]) for line in open("/proc/self/status") if " kB" in line}
    peak_kb, steady_kb = status_kb["VmHWM:"], status_kb["VmRSS:"]
except OSError:
    import resource
    peak_kb = steady_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = time.process_time()
print(f'{{"peak_kb": {peak_kb}, "steady_kb": {steady_kb}, "import_s": {imported}, "cpu_s": {used}}}',
      file=sys.stderr)
sys.exit(status)
"""


@dataclass(frozen=True)
class FreshRun:
    """One process from start to end; wall_s is what a user waits, cold_s up to the first text.

    peak_mb is the most memory it had, steady_mb what it had after the last text.
    """

    wall_s: float
    cold_s: float
    import_s: float
    cpu_s: float
    peak_mb: float
    steady_mb: float
    texts: tuple[str, ...]


def run_fresh(
    files: Sequence[str | Path],
    model: str | Path,
    beam: int | None = None,
    threads: int = 1,
    engine: str = "auto",
) -> FreshRun:
    """Run `edge-las transcribe` in a new process and measure it.

    Raises: DeviceError with what the process printed if it fails.
    """
    options = ["--json", "--model", str(model), "--threads", str(threads), "--engine", engine]
    options += ["--beam", str(beam)] if beam else []
    command = [sys.executable, "-c", _CHILD, "transcribe", *options, *map(str, files)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": _search_path()}
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        cold_s = time.perf_counter() - started
        rest, errors = process.communicate()
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise DeviceError(f"transcribing in a new process failed: {' '.join(errors.split())[-300:]}")
    found = json.loads(errors.strip().splitlines()[-1])
    texts = tuple(json.loads(line)["text"] for line in (first + rest).splitlines())
    peak_mb, steady_mb = (found[name] * 1024 / 1e6 for name in ("peak_kb", "steady_kb"))
    return FreshRun(wall_s, cold_s, found["import_s"], found["cpu_s"], peak_mb, steady_mb, texts)


def versions() -> dict[str, str]:
    """List the versions of what recognition runs on, of those that are installed."""
    found = {}
    for name in ("edge-las", "numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _search_path() -> str:
    """Let the process find this very package, also where it is not installed."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
