"""`edge-las train` as a user runs it."""

import json

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edge_las.cli import main
from edge_las.train.checkpoint import load_checkpoint
from edge_las.train.run import load_recipe
from tests.train.synthetic import flat_corpus, recordings


def test_smoke(tmp_path, capsys) -> None:
    data, out = recordings(tmp_path / "data", 24), tmp_path / "run"
    command = ["train", "smoke", "--data", str(data), "--out", str(out), "--set", "data.batch_seconds=6"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("30 steps, 0.0 hours heard, best mean dev WER")
    model, tokens = load_checkpoint(out / "best")
    assert model.num_tokens == len(tokens)
    assert list((out / "log").glob("events*")) and (out / "last/state.json").exists()
    recipe = load_recipe(str(out / "recipe.toml"))
    assert recipe == load_recipe("smoke", ["data.batch_seconds=6"])
    inputs = json.loads((out / "inputs.json").read_text())
    assert inputs["hours"].keys() == {"tones"} and inputs["base"] is None and inputs["noise"] is None


def test_errors_are_one_line_and_status_2(tmp_path, capsys) -> None:
    data = flat_corpus(tmp_path / "data", 6)
    for extra, message in (
        (["--set", "optim.max_step=3"], "smoke.toml: optim.max_step is unknown (did you mean max_steps?)"),
        (["--base", str(tmp_path / "none")], "tokens.txt"),
        (["--data", str(tmp_path)], "neither index.tsv, manifest.tsv nor cuts.jsonl.gz is there"),
    ):
        command = ["train", "smoke", "--data", str(data), "--out", str(tmp_path / "run"), *extra]
        assert main(command) == 2
        shown = capsys.readouterr().err.strip().splitlines()
        assert shown[-1].startswith("edge-las: error: ") and message in shown[-1]


def test_a_smaller_model_learns_a_larger_ones_posteriors(tmp_path, capsys) -> None:
    data, runs = flat_corpus(tmp_path / "data", 24), [tmp_path / "large", tmp_path / "small"]
    command = ["train", "smoke", "--data", str(data), "--set", "data.batch_seconds=6"]
    assert main([*command, "--out", str(runs[0]), "--set", "model.compact.channels=24"]) == 0
    larger = ["--larger", str(runs[0] / "last"), "--out", str(runs[1])]
    assert main([*command, *larger]) == 2
    assert "--larger and loss.larger_weight above 0 go together" in capsys.readouterr().err
    assert main([*command, *larger, "--set", "loss.larger_weight=1.0"]) == 0
    scalars = EventAccumulator(str(runs[1] / "log")).Reload()
    values = [event.value for event in scalars.Scalars("loss/larger")]
    assert values and values[-1] > 0.0 and load_checkpoint(runs[1] / "last")[0].config.compact.channels != 24
