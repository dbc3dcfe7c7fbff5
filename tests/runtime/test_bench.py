"""`edge-las bench`: what it measures, where it was measured, and what counts as a regression."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from edge_las.cli import main
from edge_las.runtime import bench, fresh, host, stages
from edge_las.runtime.recognizer import Recognizer
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import model, write_wav  # noqa: F401


@pytest.fixture(autouse=True)
def quick_processes(monkeypatch):
    """New processes are slow, and know nothing of the tone engine: the real ones have a test of their own."""
    asked = []

    def run_fresh(files, folder, beam, threads, engine):
        asked.append((len(files), beam, threads, engine))
        return fresh.FreshRun(0.5, 0.4, 0.1, 0.3, 60.0 + len(files), 50.0 + len(files), ())

    monkeypatch.setattr("edge_las.runtime.fresh.run_fresh", run_fresh)
    return asked


def measured(model, tmp_path, *options):  # noqa: F811
    files = [write_wav(tmp_path / f"{name}.wav", tones.say(name)) for name in ("one two", "three")]
    out = tmp_path / "report.json"
    assert main(["bench", *files, "--model", model, "--repeats", "2", "--json", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_every_stage_is_measured_and_warm_ups_do_not_count(model):  # noqa: F811
    recognizer = Recognizer.load(model, beam_size=2)
    clip = tones.say("one two three")
    times = stages.measure_stages(recognizer, [clip, clip], repeats=3, warm_ups=2)
    summary = times.summary()
    assert list(summary) == list(stages.STAGES)
    assert summary["delay"]["count"] == summary["end_to_end"]["count"] == summary["search"]["count"] == 6
    assert times.audio_s == pytest.approx(6 * clip.size / 16000)
    chunks = -(-clip.size // (32 * 160))
    assert summary["features"]["count"] == 6 * chunks <= summary["listener_chunk"]["count"]
    for stage in summary.values():
        assert 0.0 <= stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"]
    # Parts are not longer than the whole that they are parts of.
    assert sum(times.ms["delay"]) <= sum(times.ms["end_to_end"])
    assert sum(times.ms["listener_chunk"]) + sum(times.ms["speller_step"]) <= sum(times.ms["end_to_end"])


def test_silence_has_no_search(model):  # noqa: F811
    times = stages.measure_stages(Recognizer.load(model), [np.zeros(16000, np.float32)], repeats=1)
    assert "speller_step" not in times.summary() and "search" not in times.summary()


def test_the_report_says_what_was_measured_on_what(model, tmp_path, quick_processes, capsys):  # noqa: F811
    report = measured(model, tmp_path, "--threads", "2", "--beam", "3", "--engine", "onnx")
    assert set(report) == {"kind", "host", "before", "after", "model", "runs"}
    assert {"board", "cpu", "governor", "python"} <= set(report["host"])
    assert {"temperature_c", "throttled", "load_1min"} <= set(report["before"]) & set(report["after"])
    assert report["model"]["name"] == "tones" and report["model"]["files_sha256"]
    assert [(run["engine"], run["threads"], run["beam"]) for run in report["runs"]] == [
        ("onnx", 1, 3),
        ("onnx", 2, 3),
    ]
    for run in report["runs"]:
        assert run["rtf"] > 0 and run["cpu_s_per_audio_s"] > 0 and run["precision"]
        # The process that shows the steady memory hears the files once, and twice again.
        assert (run["fresh"]["peak_mb"], run["fresh"]["steady_mb"]) == (66.0, 56.0)
        assert "numpy" in run["fresh"]["versions"]
    assert quick_processes == [(n, 3, threads, "onnx") for threads in (1, 2) for n in (1, 1, 1, 6)]
    printed = capsys.readouterr().out
    assert "peak 66 MB, steady 56 MB" in printed and all(stage in printed for stage in stages.STAGES)


def test_a_slower_run_is_flagged_and_told_by_the_exit_status(model, tmp_path, capsys):  # noqa: F811
    report = measured(model, tmp_path)
    files = [str(tmp_path / "three.wav"), "--model", model, "--repeats", "1"]

    def compared(factor):
        old = copy.deepcopy(report)
        run = old["runs"][0]
        # Whatever this machine does meanwhile: each earlier figure is far from what is measured now.
        for stage in run["stages"].values():
            stage["p50_ms"] *= factor
        run["rtf"], run["cpu_s_per_audio_s"] = factor * run["rtf"], factor * run["cpu_s_per_audio_s"]
        run["fresh"] = {key: value * factor for key, value in run["fresh"].items() if key != "versions"}
        (tmp_path / "old.json").write_text(json.dumps(old))
        capsys.readouterr()
        return main(["bench", *files, "--compare", str(tmp_path / "old.json")]), capsys.readouterr().out

    status, printed = compared(1000.0)
    assert (status, printed.count("WORSE")) == (0, 0)
    status, printed = compared(0.001)
    assert status == 1
    for figure in ("stages end_to_end p50_ms", "rtf", "fresh cold_start_s", "fresh steady_mb"):
        assert any(figure in line and "WORSE" in line for line in printed.splitlines())


def report_of(**changes):
    stage = {"count": 9, "p50_ms": 2.0, "p95_ms": 3.0, "p99_ms": 4.0}
    run = {
        "engine": "onnx", "precision": "int8", "threads": 1, "beam": 4, "rtf": 0.01,
        "cpu_s_per_audio_s": 0.01, "stages": {"features": stage},
        "fresh": {"cold_start_s": 0.4, "import_s": 0.1, "peak_mb": 80.0, "steady_mb": 70.0},
    }  # fmt: skip
    heat = {"temperature_c": 48.0, "frequency_mhz": 1800.0, "throttled": []}
    report = {
        "host": {"board": "Raspberry Pi 4", "cpus": 4, "governor": "ondemand"},
        "before": heat,
        "after": {**heat, "temperature_c": 81.5, "throttled": ["soft temperature limit"]},
        "model": {"name": "m", "files_sha256": {"a": "1"}},
        "runs": [run],
    }
    return {**report, **changes}


def test_the_tolerance_is_ten_percent():
    old, new = report_of(), copy.deepcopy(report_of())
    new["runs"][0]["rtf"] = 0.0109
    new["runs"][0]["stages"]["features"]["p50_ms"] = 2.3
    lines = list(bench.comparison(dict(bench.compare(old, new))))
    assert [line.split()[0:4] for line in lines if "WORSE" in line] == [["onnx", "1", "stages", "features"]]
    assert any(line.startswith("onnx 1 rtf") and line.endswith("x 1.09") for line in lines)


def test_what_is_not_alike_is_told():
    other = {"board": "Raspberry Pi 5", "cpus": 4, "governor": None}
    new = report_of(host=other, model={"name": "n", "files_sha256": {"a": "2"}}, runs=[])
    assert list(bench.differences(report_of(), new)) == [
        "note: the earlier run was on another machine: Raspberry Pi 4",
        "note: the earlier run was of another model: m",
        "note: not measured this time: onnx int8, 1 thread(s), beam 4",
    ]
    assert list(bench.differences(report_of(), report_of())) == []
    assert list(bench.comparison({})) == [
        "nothing to compare: no run of the same engine, precision, threads and beam"
    ]


def test_the_table_tells_of_heat_and_throttling():
    lines = list(bench.table(report_of()))
    assert lines[:5] == [
        "m on Raspberry Pi 4, 4 CPUs",
        "governor: ondemand",
        "48 degrees C before, 81.5 after",
        "1800 MHz before, 1800 after",
        "throttling: soft temperature limit",
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "latency"}', None])
def test_a_file_that_bench_did_not_write_is_an_error(tmp_path, capsys, text):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    assert main(["bench", "x.wav", "--compare", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_the_host_is_read_from_its_files(tmp_path):
    written = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd08\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = host.describe_host(tmp_path)
    assert (found["board"], found["cpu"], found["governor"]) == (
        "Raspberry Pi 4 Model B Rev 1.4", "ARM part 0xd08", "ondemand",
    )  # fmt: skip
    heat = host.describe_heat(tmp_path)
    assert (heat["temperature_c"], heat["frequency_mhz"]) == (48.312, 1500.0)
    assert heat["throttled"] == ["under-voltage since boot", "throttled since boot"]
    nothing = host.describe_heat(Path(tmp_path / "nowhere"))
    assert nothing["temperature_c"] is None and nothing["throttled"] is None
