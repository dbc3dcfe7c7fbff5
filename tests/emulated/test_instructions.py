"""Instructions that the runtime takes on emulated CPUs: repeatable, within the bar, and as they were."""

from pathlib import Path

import pytest

from benchmarks.emulation.build import Unavailable
from benchmarks.instructions import CPUS, MOST_PER_SECOND, Counts, baseline, build_counter, compare, count
from edge_las.artifact import load_manifest, sha256_file
from edge_las.runtime.recognizer import default_model
from tests.emulated.conftest import Boards

pytestmark = pytest.mark.emulated

BY_HEART = Path(__file__).resolve().parents[1] / "data" / "by_heart"
BUNDLED = default_model()
REPEATABLE = 0.005


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_counter(tmp_path_factory.mktemp("counter"))
    except Unavailable as error:
        pytest.skip(f"no instruction counts: {error}")


@pytest.fixture(scope="module")
def counted(boards: Boards, counter: Path):
    """Counts a model once for all tests."""
    known: dict[tuple[Path, str, str], Counts] = {}

    def get(model: Path, engine: str, cpu: str) -> Counts:
        key = (model, engine, cpu)
        if key not in known:
            try:
                known[key] = count(boards(cpu), counter, model, engine)
            except Unavailable as error:
                pytest.skip(f"no instruction counts: {error}")
        return known[key]

    return get


def check_baseline(counts: Counts, model: Path, engine: str, cpu: str) -> None:
    graph = load_manifest(model).engines[engine].listener.file
    expected = baseline(sha256_file(model / graph))
    advice = f"python -m benchmarks.instructions --update --model {model.name} --engine {engine}"
    if cpu not in expected:
        pytest.skip(f"no baseline for this model: {advice}")
    assert compare(counts, expected[cpu]) == [], advice


def test_counts_are_alike_from_run_to_run(counted, boards: Boards, counter: Path):
    first = counted(BY_HEART, "onnx", "cortex-a72")
    assert compare(count(boards("cortex-a72"), counter, BY_HEART, "onnx"), first, REPEATABLE) == []


@pytest.mark.parametrize("engine", ["onnx", "tflite"])
def test_the_model_by_heart_takes_what_it_took(counted, engine: str):
    check_baseline(counted(BY_HEART, engine, "cortex-a72"), BY_HEART, engine, "cortex-a72")


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="no model is bundled")
@pytest.mark.parametrize("cpu", CPUS)
def test_the_bundled_model_takes_what_it_took(counted, cpu: str):
    engine = next(iter(load_manifest(BUNDLED).engines))
    check_baseline(counted(BUNDLED, engine, cpu), BUNDLED, engine, cpu)


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="no model is bundled")
@pytest.mark.parametrize("engine", list(load_manifest(BUNDLED).engines) if BUNDLED.is_dir() else [])
def test_features_and_listener_stay_within_the_bar(counted, engine: str):
    counts = counted(BUNDLED, engine, "cortex-a72")
    assert counts["features"] + counts["listener"] <= MOST_PER_SECOND
    assert counts["streaming"] <= MOST_PER_SECOND
    # Stages are counted one by one: together they are what the runtime runs, and little beside.
    assert counts["streaming"] == pytest.approx(counts["features"] + counts["listener"], rel=0.1)


def test_a_change_beyond_the_tolerance_is_told():
    before = {"features": 1000, "listener": 5000}
    assert compare({"features": 1019, "listener": 4901}, before) == []
    told = compare({"features": 1021, "speller_step_1": 7}, before)
    assert told == [
        "speller_step_1 is not in the baseline",
        "features takes 1,021 instructions, +2.1%",
        "listener was not counted",
    ]
