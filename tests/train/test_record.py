"""What a run leaves about itself runs again."""

import json

from edge_las.train.corpus import Clip
from edge_las.train.record import write_record
from edge_las.train.run import load_recipe
from tests.train.synthetic import recipe


def clip(dataset: str, seconds: float) -> Clip:
    return Clip("c", 0, 0, round(16000 * seconds), dataset, "s", "train", "a text")


def test_the_recipe_comes_back_and_hours_are_counted_by_data_set(tmp_path) -> None:
    repeat = {"my words": 2.5, "songs": 0.0}
    made = recipe(data={"repeat": repeat, "exclude_words": ["don't"]}, model={"teacher_dim": 4})
    heard = [clip("words", 1800.0), clip("books", 360.0), clip("words", 900.0), clip("songs", 9.0)]
    out = tmp_path / "runs" / "new"
    write_record(out, made, heard, {"noise": tmp_path / "noise", "base": "models/base", "larger": None})
    assert load_recipe(str(out / "recipe.toml")) == made
    assert json.loads((out / "inputs.json").read_text()) == {
        "hours": {"books": 0.1, "words": 0.75},
        "noise": str(tmp_path / "noise"),
        "base": "models/base",
        "larger": None,
    }
