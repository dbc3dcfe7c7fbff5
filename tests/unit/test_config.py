from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from edge_las.config import from_dict, load_config, to_dict
from edge_las.errors import ArtifactError, ConfigError
from edge_las.features import FeatureConfig


@dataclass(frozen=True)
class Layer:
    width: int
    kind: Literal["lstm", "conv"] = "lstm"
    dropout: float = 0.0


@dataclass(frozen=True)
class Recipe:
    name: str
    layers: tuple[Layer, ...]
    features: FeatureConfig = field(default_factory=FeatureConfig)
    span: tuple[int, float] = (1, 2.0)
    seed: int | None = None
    resume: bool = False
    out: Path = Path("out")
    weights: dict[str, float] = field(default_factory=dict)
    number: int | float = 1
    extra: Any = None


MINIMAL = {"name": "r", "layers": []}


def test_a_whole_file_is_read_into_its_types(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "r"\nspan = [3, 4]\nseed = 7\nresume = true\nout = "a/b"\nnumber = 2.5\n'
        "extra = [1, {a = 2}]\nweights = {a = 1, b = 0.5}\nfeatures = {n_mels = 40, f_min_hz = 20}\n"
        '[[layers]]\nwidth = 8\n[[layers]]\nwidth = 9\nkind = "conv"\ndropout = 1\n'
    )
    recipe = load_config(path, Recipe)
    assert recipe == Recipe(
        name="r",
        layers=(Layer(8), Layer(9, "conv", 1.0)),
        features=FeatureConfig(n_mels=40, f_min_hz=20.0),
        span=(3, 4.0),
        seed=7,
        resume=True,
        out=Path("a/b"),
        weights={"a": 1.0, "b": 0.5},
        number=2.5,
        extra=[1, {"a": 2}],
    )
    assert isinstance(recipe.layers[1].dropout, float) and isinstance(recipe.span[1], float)
    assert from_dict(Recipe, to_dict(recipe), "again") == recipe


def test_defaults_apply() -> None:
    assert from_dict(Recipe, MINIMAL, "r.toml") == Recipe("r", ())
    assert isinstance(from_dict(Recipe, {**MINIMAL, "number": 3}, "r.toml").number, int)
    assert from_dict(Recipe, {**MINIMAL, "seed": None}, "r.toml").seed is None


@pytest.mark.parametrize(
    "values, message",
    [
        ({"layers": []}, "name is missing"),
        ({"layer": [], **MINIMAL}, "layer is unknown (did you mean layers?)"),
        ({**MINIMAL, "zzz": 1}, "zzz is unknown"),
        ({**MINIMAL, "layers": [{"width": 1}, {}]}, "layers[1].width is missing"),
        ({**MINIMAL, "layers": [{"width": 1, "with": 2}]}, "layers[0].with is unknown (did you mean width?)"),
        ({**MINIMAL, "layers": [{"width": True}]}, "layers[0].width is True, must be an integer"),
        ({**MINIMAL, "layers": [{"width": 1.0}]}, "layers[0].width is 1.0, must be an integer"),
        (
            {**MINIMAL, "layers": [{"width": 1, "kind": "gru"}]},
            "layers[0].kind is 'gru', must be one of 'lstm', 'conv'",
        ),
        ({**MINIMAL, "layers": {"width": 1}}, "layers is a table, must be a list"),
        ({**MINIMAL, "layers": [3]}, "layers[0] is 3, must be a table"),
        ({**MINIMAL, "features": {"n_mels": "64"}}, "features.n_mels is '64', must be an integer"),
        ({**MINIMAL, "features": {"n_mels": 0}}, "features.n_mels is 0, must be 1 to 1024"),
        ({**MINIMAL, "features": {"log_offset": True}}, "features.log_offset is True, must be a number"),
        ({**MINIMAL, "features": {"log_offset": float("inf")}}, "features.log_offset is inf, must be finite"),
        ({**MINIMAL, "features": {"log_offset": 10**400}}, "features.log_offset is too large"),
        ({**MINIMAL, "span": [1]}, "span has 1 items, must have 2"),
        ({**MINIMAL, "span": [1, "x"]}, "span[1] is 'x', must be a number"),
        ({**MINIMAL, "seed": "x"}, "seed is 'x', must be an integer"),
        ({**MINIMAL, "resume": 1}, "resume is 1, must be true or false"),
        ({**MINIMAL, "out": 1}, "out is 1, must be a path"),
        ({**MINIMAL, "weights": {"a": "b"}}, "weights.a is 'b', must be a number"),
        ({**MINIMAL, "weights": [1]}, "weights is a list, must be a table"),
        ({**MINIMAL, "number": "x"}, "number is 'x', must be an integer or a number"),
        ({**MINIMAL, "name": None}, "name is null, must be a string"),
        ([], "the top level is a list, must be a table"),
    ],
)
def test_errors_name_file_and_dotted_key(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Recipe, values, "r.toml")
    assert str(caught.value) == f"r.toml: {message}"


def test_another_error_class_and_table_can_be_asked_for() -> None:
    with pytest.raises(ArtifactError, match=r"^manifest.json: search.width is missing$"):
        from_dict(Layer, {}, "manifest.json", ArtifactError, where="search")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_files_that_are_no_toml_are_refused_on_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="r.toml: not valid TOML") as caught:
        load_config(path, Recipe)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.toml: no such file"):
        load_config(tmp_path / "none.toml", Recipe)
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(tmp_path, Recipe)


def test_an_unsupported_field_type_is_a_mistake_of_ours() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="not supported"):
        from_dict(Odd, {"value": 1}, "odd.toml")
