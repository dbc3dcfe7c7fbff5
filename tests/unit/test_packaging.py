import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from edge_las import __version__


@pytest.fixture(scope="module")
def wheel(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel as pip would, from a copy that has the rooms which must stay out of it."""
    pytest.importorskip("setuptools", "77")
    source = tmp_path_factory.mktemp("source")
    for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repo_dir / file, source)
    ignored = shutil.ignore_patterns("__pycache__")
    # As in the checkout: edge_las/firmware_configs is a link.
    shutil.copytree(repo_dir / "edge_las", source / "edge_las", ignore=ignored, symlinks=True)
    shutil.copytree(repo_dir / "firmware_configs", source / "firmware_configs")
    for room in ("export", "benchmarks", "tests"):
        (source / room).mkdir()
        (source / room / "__init__.py").touch()
    model = source / "edge_las" / "models" / "probe"
    model.mkdir(parents=True)
    (model / "listener.int8.onnx").touch()
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, "dist"], cwd=source, check=True, capture_output=True)
    return zipfile.ZipFile(next((source / "dist").glob("*.whl")))


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    folders = {name.split("/")[0] for name in wheel.namelist()}
    assert folders == {"edge_las", f"edge_las-{__version__}.dist-info"}


def test_wheel_holds_every_module_recipe_and_model(wheel: zipfile.ZipFile, repo_dir: Path) -> None:
    wanted = {"edge_las/py.typed", "edge_las/models/probe/listener.int8.onnx"}
    for pattern in ("**/*.py", "train/recipes/*.toml", "models/**/*.*"):
        wanted |= {path.relative_to(repo_dir).as_posix() for path in (repo_dir / "edge_las").glob(pattern)}
    assert wanted - set(wheel.namelist()) == set()


def test_the_installed_wheel_finds_its_device_profiles(
    wheel: zipfile.ZipFile, repo_dir: Path, tmp_path: Path
) -> None:
    files = {f"edge_las/firmware_configs/{path.name}" for path in (repo_dir / "firmware_configs").iterdir()}
    assert len(files) > 12 and files <= set(wheel.namelist())
    wheel.extractall(tmp_path)
    command = [sys.executable, "-m", "edge_las", "profile", "raspberry_pi_4", "--systemd"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "MemoryMax=384M" in done.stdout


def test_wheel_carries_licence_notice_and_command(wheel: zipfile.ZipFile) -> None:
    info = f"edge_las-{__version__}.dist-info"
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(wheel.namelist())
    assert b"edge-las = edge_las.cli:main" in wheel.read(f"{info}/entry_points.txt")


def test_a_device_needs_no_more_than_four_packages(repo_dir: Path) -> None:
    project = tomllib.loads((repo_dir / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    assert [need.split(">")[0] for need in needed] == ["numpy", "soundfile", "soxr", "onnxruntime"]
