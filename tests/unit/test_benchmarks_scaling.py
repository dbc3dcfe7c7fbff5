import json

import pytest

from benchmarks import scaling
from benchmarks.scaling import Law, Point, fit
from edge_las.errors import ConfigError

TRUE = Law(6.0, 180.0, 0.5, 9.0e3, 0.4)
SIZES, HOURS = (1e6, 3e6, 6e6), (5.0, 20.0, 80.0, 320.0)


def test_the_law_that_made_the_points_is_found() -> None:
    points = [Point(size, hours, TRUE.wer(size, hours)) for size in SIZES for hours in HOURS]
    found = fit(points)
    for size, hours in ((2e6, 50.0), (2e7, 3000.0)):
        assert found.wer(size, hours) == pytest.approx(TRUE.wer(size, hours), rel=0.02)
    assert found.by_hours == pytest.approx(0.5)


def test_one_size_says_nothing_of_size() -> None:
    found = fit([Point(2e6, hours, 10.0 + 100.0 * hours**-0.3) for hours in HOURS])
    assert found.of_parameters == 0.0
    assert found.wer(2e6, 1000.0) == pytest.approx(10.0 + 100.0 * 1000.0**-0.3, rel=0.02)


def test_too_little_is_not_fitted() -> None:
    with pytest.raises(ConfigError, match="4 measurements: at least 4 are needed, at three different hours"):
        fit([Point(1e6, 1.0, 50.0)] * 4)


def test_a_table_becomes_a_prediction_and_a_plot(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    rows = [f"{size}\t{hours}\t{TRUE.wer(size, hours)}" for size in SIZES for hours in HOURS]
    table, plot, out = tmp_path / "runs.tsv", tmp_path / "plot.svg", tmp_path / "out.json"
    table.write_text("\n".join(["parameters\thours\twer", *rows]) + "\n")
    assert scaling.main([str(table), "--plot", str(plot), "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["hours"]["4x"] == pytest.approx(TRUE.wer(6e6, 1280.0), abs=0.3)
    assert found["parameters"]["4x"] == pytest.approx(TRUE.wer(24e6, 320.0), abs=0.3)
    assert "hours^-0.50" in capsys.readouterr().out
    assert plot.read_text().startswith("<?xml")


def test_bad_tables_and_folders_are_named(tmp_path, capsys) -> None:
    (tmp_path / "bad.tsv").write_text("hours\twer\n1\t2\n")
    for name, message in (
        ("bad.tsv", "every row needs numbers"),
        ("none.tsv", "no such file"),
        ("", "no run"),
    ):
        assert scaling.main([str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("benchmarks.scaling: error: ") and message in error


def test_sizes_that_do_not_help_are_told_from_one_size(tmp_path, capsys) -> None:
    for sizes, told in ((SIZES, "parameters: of no use here"), ((1e6,), "of one size of model")):
        rows = [f"{size}\t{h}\t{10 + size / 1e6 + 100 * h**-0.3}" for size in sizes for h in HOURS]
        (tmp_path / "runs.tsv").write_text("\n".join(["parameters\thours\twer", *rows]) + "\n")
        assert scaling.main([str(tmp_path / "runs.tsv")]) == 0
        assert told in capsys.readouterr().out
