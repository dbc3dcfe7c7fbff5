"""Options, markers and fixtures that all tests share."""

import csv
import shutil
from pathlib import Path

import pytest

# Programs without which the tests of a marker have nothing to run on.
PROGRAMS = {
    "emulated": ("qemu-aarch64-static", "mmdebstrap"),
    "audio_stack": ("pulseaudio", "paplay", "pactl"),
    "spoken": ("espeak-ng",),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    # Written with "=": pytest would take a folder that stands alone for one to collect tests from.
    parser.addoption("--speech", metavar="DIR", help="folder with manifest.tsv and the recordings it names")
    parser.addoption(
        "--long", action="store_true", help="an hour of sound, every recording: see tests/runtime"
    )
    parser.addoption("--tflite-python", metavar="PYTHON", help="a Python with tflite-runtime 2.14, numpy < 2")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--speech")
    if folder and not (Path(folder) / "manifest.tsv").is_file():
        raise pytest.UsageError(f"--speech {folder}: no manifest.tsv is there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for reason in _missing(config, item):
            item.add_marker(pytest.mark.skip(reason=reason))


def _missing(config: pytest.Config, item: pytest.Item) -> list[str]:
    reasons = []
    if item.get_closest_marker("shared") and not config.getoption("--speech"):
        reasons.append("needs real recordings: pytest --speech=DIR")
    for marker, programs in PROGRAMS.items():
        absent = [name for name in programs if shutil.which(name) is None]
        if absent and item.get_closest_marker(marker):
            reasons.append(f"needs {' and '.join(absent)} on this machine")
    return reasons


@pytest.fixture(scope="session")
def speech_dir(request: pytest.FixtureRequest) -> Path:
    """The folder given with --speech."""
    folder = request.config.getoption("--speech")
    if not folder:
        pytest.skip("needs real recordings: pytest --speech=DIR")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def tflite_python(request: pytest.FixtureRequest) -> str:
    """The Python given with --tflite-python."""
    python = request.config.getoption("--tflite-python")
    if not python:
        pytest.skip("needs a Python with edge-las[tflite-legacy]: pytest --tflite-python=PYTHON")
    return str(python)


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether --long was given."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def repo_dir() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The short recordings in the repository, with transcripts.tsv."""
    return Path(__file__).resolve().parent / "data" / "clips"


@pytest.fixture(scope="session")
def transcripts(clips_dir: Path) -> dict[str, str]:
    """What is said in each file of clips_dir."""
    with open(clips_dir / "transcripts.tsv", encoding="utf-8", newline="") as file:
        return {row["path"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
