"""Builds systems into a cache folder: Debian's packages, ARM wheels, and edge-las itself."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.emulation.systems import ARM64, CPUS, HOST_LEGACY, Cpu, System
from edge_las.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]


class Unavailable(DeviceError):
    """A program or a mirror that this machine lacks: nothing is wrong with edge-las."""


def default_cache() -> Path:
    """Return the folder that roots are kept in."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edge-las" / "emulated"


def prepared(system: System, cache: Path | None = None, rebuild: bool = False) -> Path:
    """Return the folder of a system, made in about 15 seconds if this recipe's is not in the cache.

    Raises: Unavailable if a program or a mirror is, DeviceError if the recipe fails.
    """
    cache = (cache or default_cache()).absolute()
    folder = cache / f"{system.name}-{_recipe()}"
    if rebuild:
        shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".part-") as part:
        made = Path(part) / "made"
        made.mkdir()
        if system.emulator:
            _make_root(system, made)
        _install_wheels(system, made / "site")
        try:
            made.rename(folder)
        except OSError:  # another process was quicker
            if not folder.is_dir():
                raise
    return folder


def install_edge_las(target: Path) -> Path:
    """Build this checkout's wheel and install it into `target`; leaves nothing in the checkout."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / name, source)
        for name in ("edge_las", "firmware_configs"):
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
            )
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", scratch, str(source)])
        wheel = next(Path(scratch).glob("*.whl"))
        _run([*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)])
    return target


def _recipe() -> str:
    """Hash all that decides what is built."""
    recipe = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in (ROOT / "constraints.txt", Path(__file__), Path(__file__).with_name("systems.py")):
        recipe.update(path.read_bytes())
    return recipe.hexdigest()[:12]


def _make_root(system: System, folder: Path) -> None:
    """Extract Debian's packages, and give each CPU a view of them with its own /proc and /sys."""
    archive, root = folder / "root.tar", folder / "root"
    # The release alone: no updates, so that the same instructions run everywhere. A tar archive has no owners
    # that only a namespace knows.
    release_only = f'sed -i /{system.release}-/d "$1"/etc/apt/sources.list'
    _run([
        program("mmdebstrap"), "--quiet", f"--arch={system.arch}", "--variant=extract",
        "--skip=check/empty,check/qemu", f"--setup-hook={release_only}",
        f"--include={','.join(system.packages)}", system.release, str(archive),
    ])  # fmt: skip
    root.mkdir()
    _run(["tar", "-xf", str(archive), "-C", str(root), "--exclude=./dev", "--no-same-owner"])
    archive.unlink()
    for name, target in system.links:
        (root / name).symlink_to(target)
    for cpu in CPUS.values():
        if cpu.system == system:
            _make_view(cpu, folder / "cpus" / cpu.name, root)


def _make_view(cpu: Cpu, view: Path, root: Path) -> None:
    cpus = view / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True)
    for entry in root.iterdir():
        if not (view / entry.name).exists():
            (view / entry.name).symlink_to(Path("../..") / "root" / entry.name)
    for name in ("possible", "present"):
        (cpus / name).write_text("0-3\n", encoding="utf-8")
    (view / "proc").mkdir()
    blocks = [
        f"processor\t: {number}\nFeatures\t: {cpu.features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: {8 if cpu.system == ARM64 else 7}\nCPU variant\t: 0x0\nCPU part\t: {cpu.part}\n"
        "CPU revision\t: 3\n\n"
        for number in range(4)
    ]
    (view / "proc" / "cpuinfo").write_text("".join(blocks), encoding="utf-8")


def _install_wheels(system: System, target: Path) -> None:
    if not system.wheels:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--target", str(target), "--only-binary=:all:"]
    options += [f"--platform={tag}" for tag in system.tags]
    if system.emulator:
        options += ["--python-version", system.python, "--implementation", "cp"]
    if not system.resolve:
        options.append("--no-deps")
    elif system != HOST_LEGACY:
        options += ["--constraint", str(ROOT / "constraints.txt")]
    _run([*pip, *options, *system.wheels])


# What mmdebstrap and pip say when they cannot reach what they install from.
_UNREACHABLE = re.compile(
    r"apt-get update .*failed|could not resolve|temporary failure|failed to establish"
    r"|connection (failed|refused|timed out|broken)|network is unreachable|timed out",
    re.IGNORECASE,
)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    name, errors = Path(command[0]).name, done.stderr
    unreachable = next(filter(_UNREACHABLE.search, errors.splitlines()), None)
    if unreachable:
        raise Unavailable(f"{name} cannot reach its mirror: {unreachable.strip()[:200]}")
    raise DeviceError(f"{name} failed: {last_line(errors)}")


def program(name: str) -> str:
    """Find a program.

    Raises: Unavailable without it.
    """
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"needs {name} on this machine")
    return found


def last_line(text: str) -> str:
    """Return the last line of a program's errors: it tells most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
