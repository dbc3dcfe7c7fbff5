"""What the measuring commands share, and that each of them says what is wrong in one line."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.command import execute, measuring_parser
from benchmarks.output import read_json
from edge_las.errors import ConfigError


def test_results_are_written_whole_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    parser = measuring_parser("probe", None)
    arguments = ["--speech", str(tmp_path), "--json", str(out)]
    status = execute(
        parser, arguments, lambda options: {"kind": "probe"}, lambda results: print(results["kind"])
    )
    assert (status, capsys.readouterr().out) == (0, "probe\n")
    assert read_json(out, "probe") == {"kind": "probe"} and list(tmp_path.iterdir()) == [out]
    out.write_text(json.dumps({"kind": "other"}))
    with pytest.raises(ConfigError, match="is not the result of benchmarks.probe"):
        read_json(out, "probe")


@pytest.mark.parametrize("name", ["accuracy", "latency", "memory", "tune", "confidence", "live", "commands"])
def test_an_error_is_one_line_and_status_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"benchmarks.{name}").main
    noise = ["--noise", str(tmp_path)] if name in ("commands", "confidence") else []
    missing = str(tmp_path / "nowhere")
    assert main(["--speech", missing, "--model", missing, *noise]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"benchmarks.{name}: error: {missing}") and captured.err.count("\n") == 1
    assert captured.out == ""
