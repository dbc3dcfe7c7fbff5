"""`python -m benchmarks.instructions`: instructions of each stage on emulated ARM CPUs, with a baseline."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.command import Results, execute, new_parser
from benchmarks.emulation.board import Board, board
from benchmarks.emulation.build import Unavailable, install_edge_las, program
from benchmarks.output import describe_model, read_json, write_json
from edge_las.artifact import load_manifest
from edge_las.errors import ConfigError, DeviceError
from edge_las.runtime.recognizer import model_folder

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")
HERE = Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
RECORDING = HERE.parent / "tests" / "data" / "clips" / "librispeech-12081.flac"
# Instructions per second of audio that features and Listener together may take on a cortex-a72.
MOST_PER_SECOND = 60e6
# Counts are alike to 0.5 % from run to run; C libraries of other point releases differ a little more.
TOLERANCE = 0.02

Counts = dict[str, int]


def build_counter(folder: Path) -> Path:
    """Compile the plug-in.

    Raises: Unavailable without a C compiler, DeviceError if it does not compile.
    """
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None) or program("cc")
    library = folder / "instruction_counter.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(HERE / "instruction_counter.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DeviceError(f"instruction_counter.c does not compile: {' '.join(done.stderr.split())[:200]}")
    return library


def count(target: Board, counter: Path, model: Path, engine: str) -> Counts:
    """Count each stage's instructions: per second of audio, for speller_step_N per step of N hypotheses."""
    with tempfile.TemporaryDirectory() as scratch:
        marks = Path(scratch) / "marks"
        command = [HERE / "instruction_stages.py", model.absolute(), engine, RECORDING]
        try:
            printed = target.run(list(map(str, command)), Path(scratch), f"{counter},out={marks}")
        except DeviceError as error:
            # qemu 8.2 has another version of the interface.
            if "plugin" in str(error):
                raise Unavailable(f"this qemu does not take the plug-in: {error}") from None
            raise
        lines = [tuple(map(int, line.split())) for line in marks.read_text(encoding="utf-8").splitlines()]
    stages = json.loads(printed)
    totals = [after - before for (_, before), (_, after) in zip(lines[::2], lines[1::2], strict=True)]
    markers = totals[0]
    return {
        name: round((total - markers) / units)
        for (name, units), total in zip(stages[1:], totals[1:], strict=True)
    }


def compare(found: Counts, expected: Mapping[str, int], tolerance: float = TOLERANCE) -> list[str]:
    """Tell of each stage that takes more or fewer instructions than the baseline's, beyond the tolerance."""
    told = [f"{name} is not in the baseline" for name in found.keys() - expected.keys()]
    for name, before in expected.items():
        if name not in found:
            told.append(f"{name} was not counted")
        elif abs(found[name] / before - 1.0) > tolerance:
            told.append(f"{name} takes {found[name]:,} instructions, {found[name] / before - 1.0:+.1%}")
    return told


def baseline(model: str, path: Path = BASELINE) -> dict[str, Counts]:
    """Return a model's counts by CPU, empty if there are none; model is the hash of its Listener's graph."""
    counts: dict[str, Counts] = read_json(path, "instructions")["models"].get(model, {}).get("cpus", {})
    return counts


def run(options: argparse.Namespace) -> Results:
    """Count on each CPU; --update keeps the result as the model's baseline."""
    folder = model_folder(options.model)
    manifest = load_manifest(folder)
    engine = options.engine or next(iter(manifest.engines))
    if engine not in manifest.engines:
        raise ConfigError(f"{folder}: has no graphs for engine {engine}")
    results: Results = {"kind": "instructions", "model": describe_model(folder, manifest, engine), "cpus": {}}
    with tempfile.TemporaryDirectory() as scratch:
        counter = build_counter(Path(scratch))
        edge_las = install_edge_las(Path(scratch) / "edge-las")
        for name in options.cpus.split(","):
            if name not in CPUS:
                raise ConfigError(f"--cpus {name}: must be of {', '.join(CPUS)}")
            results["cpus"][name] = count(board(name, edge_las, options.cache), counter, folder, engine)
    if options.update:
        _update(results)
    return results


def _update(results: Results) -> None:
    """Put a model into the baseline, in place of another of its name and engine."""
    model = results["model"]
    kept = read_json(BASELINE, "instructions")["models"] if BASELINE.is_file() else {}
    same = (model["name"], model["engine"])
    kept = {key: entry for key, entry in kept.items() if (entry["name"], entry["engine"]) != same}
    kept[model["graph_sha256"]] = {"name": same[0], "engine": same[1], "cpus": results["cpus"]}
    write_json(BASELINE, {"kind": "instructions", "models": kept})


def show(results: Results) -> None:
    """Print millions of instructions, and what has changed since the baseline."""
    known = baseline(results["model"]["graph_sha256"]) if BASELINE.is_file() else {}
    for cpu, counts in results["cpus"].items():
        print(f"{cpu}: millions of instructions per second of audio, for the Speller per step")
        for name, number in counts.items():
            print(f"  {name:16}{number / 1e6:9.3f}")
        for line in compare(counts, known[cpu]) if cpu in known else ["the baseline has no such model"]:
            print(f"  {line}")


def main(arguments: list[str] | None = None) -> int:
    """Count, print, and return the exit code."""
    parser = new_parser("instructions", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    add("--engine", metavar="NAME", help="onnx or tflite (default: the first that the model has)")
    add("--cpus", default=",".join(CPUS), metavar="LIST", help=f"of {', '.join(CPUS)} (default: all)")
    add("--cache", type=Path, metavar="DIR", help="of emulated systems: see benchmarks.emulation")
    add("--update", action="store_true", help=f"keep the counts as the model's baseline, in {BASELINE.name}")
    add("--json", type=Path, metavar="OUT", help="write the results here")
    # fmt: on
    return execute(parser, arguments, run, show)


if __name__ == "__main__":
    sys.exit(main())
