"""How soon a new process recognizes: in modules and CPU seconds, which a busy machine does not change."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import write_wav
from edge_las.audio import read_audio
from edge_las.runtime.fresh import run_fresh
from edge_las.runtime.recognizer import default_model

# Bars of the project: start of the process to the first text of a 2-second file, and `import edge_las`.
COLD_START_S, IMPORT_S = 1.0, 0.15

IMPORT = """
import json, sys, time
before, started = set(sys.modules), time.process_time()
import numpy
of_numpy = time.process_time() - started
import {module}
new = sorted(set(sys.modules) - before)
print(json.dumps({{"modules": new, "numpy_s": of_numpy, "cpu_s": time.process_time() - started}}))
"""


def imported(module: str) -> dict:
    """Import in a new process, which has no test runner's modules."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout)


def test_the_package_itself_loads_nothing() -> None:
    program = (
        "import sys, time; before = set(sys.modules); used = time.process_time(); import edge_las;"
        "print(*sorted(set(sys.modules) - before), time.process_time() - used)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    *modules, cpu_s = done.stdout.split()
    assert modules == ["edge_las"] and float(cpu_s) < IMPORT_S / 10


def test_the_runtime_loads_numpy_and_no_other_package() -> None:
    found = imported("edge_las.runtime.recognizer")
    packages = {name.partition(".")[0] for name in found["modules"]} - set(sys.stdlib_module_names)
    assert {name for name in packages if not name.startswith("_")} == {"edge_las", "numpy"}
    # Parts of numpy and of the standard library that only other commands use.
    heavy = {
        "numpy.random",
        "numpy.testing",
        "asyncio",
        "argparse",
        "subprocess",
        "multiprocessing",
        "unittest",
    }
    assert heavy & set(found["modules"]) == set()


def test_the_runtime_costs_little_more_than_numpy() -> None:
    runs = [imported("edge_las.runtime.recognizer") for _ in range(5)]
    # 2.3 here. Of the quickest runs, against each other: whatever the speed of the machine.
    assert min(run["cpu_s"] for run in runs) < 3.0 * min(run["numpy_s"] for run in runs)


@pytest.mark.skipif(not default_model().is_dir(), reason="no model is bundled")
def test_a_cold_start_takes_less_than_a_second(clips_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    word = read_audio(clips_dir / "speech_commands-13060.wav")
    file = write_wav(tmp_path / "two.wav", np.resize(word, 32000), 16000)
    runs = [run_fresh([file], default_model(), engine="onnx") for _ in range(3)]
    assert all(run.texts[0] for run in runs)
    # 0.26 s of CPU here; what it waits for a busy machine besides is not its own.
    assert min(run.cpu_s for run in runs) < COLD_START_S / 2
    for run in runs:
        assert run.import_s < run.cold_s <= run.wall_s and run.cpu_s <= run.wall_s * 1.5
        assert 20.0 < run.steady_mb <= run.peak_mb < 200.0
