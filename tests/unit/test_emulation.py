import shutil
import sys

import pytest

from benchmarks.emulation import build
from benchmarks.emulation.board import Board
from benchmarks.emulation.build import Unavailable
from benchmarks.emulation.systems import ARM64, CPUS, HOST, System
from edge_las.errors import DeviceError


def failing(stderr: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.exit({stderr!r})"]


def test_a_mirror_out_of_reach_is_no_fault_of_ours():
    with pytest.raises(Unavailable, match="Temporary failure resolving"):
        build._run(failing("Err:1 Temporary failure resolving 'mirror'\nE: it failed"))
    with pytest.raises(DeviceError, match="Unable to locate package") as caught:
        build._run(failing("reading\nE: Unable to locate package libnothing"))
    assert not isinstance(caught.value, Unavailable)


def test_a_missing_program_is_named():
    with pytest.raises(Unavailable, match="needs no-such-program on this machine"):
        build.program("no-such-program")


def test_each_cpu_sees_its_own_cpuinfo(tmp_path):
    (tmp_path / "root" / "usr").mkdir(parents=True)
    for name in ("cortex-a53", "cortex-a76"):
        build._make_view(CPUS[name], tmp_path / "cpus" / name, tmp_path / "root")
    views = [
        (tmp_path / "cpus" / name / "proc" / "cpuinfo").read_text() for name in ("cortex-a53", "cortex-a76")
    ]
    assert [view.count("processor") for view in views] == [4, 4]
    assert ["asimddp" in view for view in views] == [False, True]
    assert "0xd03" in views[0] and "0xd0b" in views[1]
    assert (tmp_path / "cpus" / "cortex-a53" / "usr").resolve() == tmp_path / "root" / "usr"


def test_nothing_is_left_of_a_system_that_cannot_be_built(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_install_wheels", lambda system, site: build._run(failing("no such wheel")))
    with pytest.raises(DeviceError, match="no such wheel"):
        build.prepared(HOST, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_built_system_is_kept_until_it_is_to_be_rebuilt(tmp_path, monkeypatch):
    built: list[System] = []
    monkeypatch.setattr(build, "_install_wheels", lambda system, site: (built.append(system), site.mkdir()))
    first = build.prepared(HOST, tmp_path)
    assert build.prepared(HOST, tmp_path) == first and built == [HOST]
    assert build.prepared(HOST, tmp_path, rebuild=True) == first and built == [HOST, HOST]
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_a_program_sees_only_the_packages_of_its_board(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    shown = Board(HOST, tmp_path, tmp_path / "ours").run(["-c", "import sys; print(sys.path)"], tmp_path)
    assert str(tmp_path / "ours") in shown and "elsewhere" not in shown and "site-packages" not in shown
    with pytest.raises(DeviceError, match="host: exit 3: why"):
        Board(HOST, tmp_path, tmp_path).run(
            ["-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"], tmp_path
        )


@pytest.mark.skipif(shutil.which("qemu-aarch64-static") is None, reason="needs qemu-aarch64-static")
def test_an_emulated_command_names_cpu_and_view(tmp_path):
    command = Board(ARM64, tmp_path, tmp_path, CPUS["cortex-a72"])._interpreter(None)
    assert command[1:5] == ["-cpu", "cortex-a72", "-L", str(tmp_path / "cpus" / "cortex-a72")]
