"""A system that Python can be run on, emulated or this very machine."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.emulation.build import last_line, prepared, program
from benchmarks.emulation.systems import CPUS, SYSTEMS, Cpu, System
from edge_las.errors import DeviceError


@dataclass(frozen=True)
class Board:
    """A system, on a CPU if it is emulated, with an edge-las installed in a folder of its own."""

    system: System
    folder: Path
    edge_las: Path
    cpu: Cpu | None = None

    def run(self, arguments: Sequence[str], cwd: Path, plugin: str | None = None) -> str:
        """Run Python with arguments and return what it prints; a plug-in needs qemu's dynamic build.

        Raises: DeviceError with the last line of its errors if it fails, or the signal it died of.
        """
        command = [*self._interpreter(plugin), "-S", *arguments]
        done = subprocess.run(command, cwd=cwd, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise DeviceError(f"{self.name}: exit {done.returncode}: {last_line(done.stderr)}")
        return done.stdout

    @property
    def name(self) -> str:
        """The CPU's name, or the system's."""
        return self.cpu.name if self.cpu else self.system.name

    def _interpreter(self, plugin: str | None) -> list[str]:
        if self.cpu is None:
            return [sys.executable]
        emulator = self.system.emulator + ("" if plugin else "-static")
        options = ["-cpu", self.cpu.name, "-L", str(self.folder / "cpus" / self.cpu.name)]
        options += ["-plugin", plugin] if plugin else []
        python = self.folder / "root" / "usr" / "bin" / f"python{self.system.python}"
        return [program(emulator), *options, str(python)]

    def _environment(self) -> dict[str, str]:
        # Nothing else is inherited: what runs sees these packages alone, and costs the same each time.
        places = [self.edge_las, self.folder / "site"]
        places += [self.folder / "root" / place for place in self.system.dist_packages]
        path = os.pathsep.join(map(str, places))
        return {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}


def board(name: str, edge_las: Path, cache: Path | None = None) -> Board:
    """Make ready a CPU's or a system's board, from the cache if it is there.

    edge_las: where `install_edge_las` has put the package.

    Raises: Unavailable, DeviceError.
    """
    cpu = CPUS.get(name)
    system = cpu.system if cpu else SYSTEMS[name]
    return Board(system, prepared(system, cache), edge_las, cpu)
