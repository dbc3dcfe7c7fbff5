import pytest

from edge_las.train.model import LasModel
from edge_las.train.run import RECIPES, load_recipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipe_makes_a_model(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    model = LasModel(recipe.model, recipe.tokens.size)
    assert model.config.listener == ("pyramid" if name == "las_paper" else "compact")


def test_the_recipes_that_the_docs_promise_are_there() -> None:
    assert {"compact_en", "las_paper", "librispeech", "speech_commands", "smoke"} <= set(NAMES)
