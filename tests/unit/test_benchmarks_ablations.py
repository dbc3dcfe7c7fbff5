import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from benchmarks import ablations, figures, scaling
from benchmarks.ablations_page import PLOTS
from benchmarks.runs import differences, read_run
from edge_las.errors import ConfigError
from edge_las.train.run import train
from tests.train.synthetic import MODEL, flat_corpus, recipe

QUICK = {"optim": {"max_steps": 4, "warmup_steps": 1, "precision": "float32"}, "loop": {"evaluate_steps": 2}}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "large": {"model": MODEL | {"compact": MODEL["compact"] | {"channels": 24}}},
    "bare": {
        "augment": {"room_probability": 0.0, "noise_probability": 0.0, "speed_min": 1.0, "speed_max": 1.0},
        "loss": {"ctc_weight": 1.0},
        "data": {"exclude_words": ["a"], "exclude": ["songs"]},
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of a tiny model: as it is; larger; without augmentation and Speller."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = flat_corpus(folder / "corpus")
    for name, changed in CHANGES.items():
        train(recipe(**QUICK | changed), [corpus], folder / name)
    return [folder / name for name in CHANGES]


def test_a_run_tells_its_size_its_recipe_and_its_curves(runs) -> None:
    plain, large, bare = map(read_run, runs)
    assert plain.name == "plain" and plain.spells and not bare.spells
    assert plain.listener == bare.listener < large.listener and plain.listener < plain.spelling
    (curve,) = plain.ctc_wer.values()
    heard = json.loads((runs[0] / "last" / "state.json").read_text())["audio_hours"]
    assert [hours for hours, _ in curve] == pytest.approx([heard / 2, heard], rel=0.3)
    assert curve[-1][0] == pytest.approx(heard)
    assert differences(plain, plain) == {} == differences(read_run(runs[0], "other"), plain)
    found = differences(bare, plain)
    assert found["loss.ctc_weight"] == (1.0, 0.3) and found["data.exclude_words"] == (["a"], [])
    assert not any(key in found for key in ("data.exclude", "loop.evaluate_steps", "name"))


def test_weights_need_not_be_there_a_log_must(runs, tmp_path) -> None:
    for name in ("config.json", "tokens.txt", "state.json"):
        (tmp_path / "last").mkdir(exist_ok=True)
        (tmp_path / "last" / name).write_bytes((runs[0] / "last" / name).read_bytes())
    with pytest.raises(ConfigError, match="log: holds no dev WER"):
        read_run(tmp_path)
    for events in (runs[0] / "log").glob("events*"):
        (tmp_path / "log").mkdir(exist_ok=True)
        (tmp_path / "log" / events.name).write_bytes(events.read_bytes())
    old = read_run(tmp_path)
    assert old.curves == read_run(runs[0]).curves and old.listener == read_run(runs[0]).listener
    with pytest.raises(ConfigError, match="holds no recipe.toml"):
        differences(read_run(runs[1]), old)


def test_the_page_tells_what_differs_and_what_came_of_it(runs, tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    page, out, plots = tmp_path / "docs" / "a.md", tmp_path / "a.json", tmp_path / "docs" / "plots"
    options = [*map(str, runs), "--label", f"as it is={runs[0]}"]
    written = ["--markdown", str(page), "--plots", str(plots), "--json", str(out)]
    assert ablations.main([*options, *written]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3 and shown[0].startswith("as it is: 0.01 M parameters")
    first, large, bare = json.loads(out.read_text())["runs"]
    assert first["differs"] == {} and large["differs"] == {"model.compact.channels": [24, 12]}
    assert first["wer"].keys() == {"tones"} and first["curve"][-1][1] == first["wer"]["tones"]
    assert first["loss"] > 0.5 and bare["differs"]["augment.noise_probability"] == [0.0, 0.6]
    text = page.read_text()
    assert "| large | `model.compact.channels` 24 (12) |" in text and "4 of `augment`" in text
    assert "- bare: `augment.speed_min` 1.0 (0.85)" in text and "with a" in text
    links = re.findall(r"\((plots/\S+)\)", text)
    assert links == [f"plots/{name}" for name in PLOTS]
    drawn = [(page.parent / link).read_bytes() for link in links]
    assert all(b"as it is" in svg and len(svg) < 60_000 for svg in drawn)
    assert ablations.main([*options, *written]) == 0
    assert [(page.parent / link).read_bytes() for link in links] == drawn


def test_without_matplotlib_plots_are_refused_in_a_line(runs, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert ablations.main([str(runs[0]), "--plots", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == "benchmarks.ablations: error: plots need matplotlib: pip install matplotlib\n"
    )


def test_losses_of_other_tokens_are_not_put_beside_each_other(runs) -> None:
    plain, other = read_run(runs[0]), read_run(runs[1])
    settings = {**(other.settings or {}), "tokens.kind": "unigram"}
    changed = type(other)(**{**vars(other), "settings": settings})
    first, second = ablations.compare([plain, changed])["runs"]
    assert first["loss"] is not None and second["loss"] is None


def test_means_are_over_what_all_runs_were_measured_on(runs) -> None:
    plain = read_run(runs[0])
    more = {
        f"dev_wer/ctc_{name}": [(1.0, 10.0), (2.0, wer)] for name, wer in (("tones", 8.0), ("books", 50.0))
    }
    other = type(plain)(**{**vars(plain), "name": "more", "curves": more})
    results = ablations.compare([plain, other])
    assert results["sets"] == ["tones"] and results["runs"][1]["curve"] == [[1.0, 10.0], [2.0, 8.0]]
    assert results["runs"][1]["wer"] == {"books": 50.0, "tones": 8.0}
    with pytest.raises(ConfigError, match="no data set's dev_wer"):
        ablations.compare([plain, type(plain)(**{**vars(plain), "curves": {"dev_wer/ctc_books": []}})])


def test_labels_are_of_runs_and_names_are_their_own(runs, capsys) -> None:
    for extra, message in (
        (["--label", "x=nowhere"], "--label x=nowhere: is not NAME=RUN of one of the runs"),
        (["--label", f"plain={runs[1]}"], "several runs are called plain"),
        ([str(runs[0].parent)], "no run of edge-las train is there"),
    ):
        assert ablations.main([*map(str, runs), *extra]) == 2
        assert message in capsys.readouterr().err


def test_the_law_takes_the_spellers_wer_only_where_all_have_it(runs) -> None:
    plain, large, bare = map(read_run, runs)
    by, points = scaling.read_points(runs[:2])
    assert by == "speller" and [point.wer for point in points[0]] == [
        w for _, w in plain.curves["dev_wer/mean"]
    ]
    assert {point.parameters for point in points[1]} == {large.spelling}
    by, points = scaling.read_points(runs)
    assert by == "ctc" and [point.wer for point in points[0]] == [w for _, w in plain.curves["dev_wer/ctc"]]
    assert [point.parameters for row in points for point in row[-1:]] == [
        plain.listener,
        large.listener,
        bare.listener,
    ]
    with pytest.raises(ConfigError, match="--by speller"):
        scaling.read_points(runs, "speller")


def test_labels_are_moved_apart_as_little_as_can_be() -> None:
    assert figures.spread([], 1.0) == []
    assert figures.spread([5.0, 1.0, 9.0], 2.0) == [5.0, 1.0, 9.0]
    assert figures.spread([4.0, 0.0, 4.0], 2.0) == [3.0, 0.0, 5.0]
    moved = figures.spread([1.0, 1.1, 1.2, 9.0], 2.0)
    assert moved == pytest.approx([-0.9, 1.1, 3.1, 9.0])
