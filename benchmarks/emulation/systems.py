"""What can be emulated: systems with the wheels that edge-las needs there, and CPUs."""

from dataclasses import dataclass

_PYTHON_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")
_PYTHON_PACKAGES_13 = ("python3.13-minimal", "libpython3.13-stdlib", "libstdc++6")
_AARCH64_TAGS = tuple(
    f"{tag}_aarch64" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
)
_WHEELS = ("numpy", "soundfile", "soxr", "onnxruntime", "ai-edge-litert")
# Debian's alternatives are made when packages are configured, which nothing here does.
_ARMHF_LIBRARIES = "usr/lib/arm-linux-gnueabihf"
_ARMHF_LINKS = tuple(
    (f"{_ARMHF_LIBRARIES}/lib{name}.so.3", f"{name}/lib{name}.so.3") for name in ("blas", "lapack")
)
_DIST_PACKAGES = ("usr/lib/python3/dist-packages",)


@dataclass(frozen=True)
class System:
    """Something that edge-las is installed on; without an emulator it is this very machine."""

    name: str
    wheels: tuple[str, ...]
    # Packages that the wheels need come too, in the versions of constraints.txt.
    resolve: bool = True
    emulator: str = ""
    # Of Debian: architecture, release and the Python of that.
    arch: str = ""
    release: str = "bookworm"
    python: str = "3.11"
    packages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    # Where Debian's own Python packages lie in the root.
    dist_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cpu:
    """A CPU by qemu's name, and what /proc/cpuinfo says of it: onnxruntime chooses its kernels by that."""

    name: str
    system: System
    part: str
    features: str


HOST = System("host", _WHEELS)
HOST_LEGACY = System("host-legacy", ("tflite-runtime==2.14.0", "numpy==1.26.4", "soundfile"))
ARM64 = System(
    "arm64", _WHEELS, emulator="qemu-aarch64", arch="arm64", packages=_PYTHON_PACKAGES, tags=_AARCH64_TAGS
)
ARMHF = System(
    "armhf", ("tflite-runtime==2.14.0",), resolve=False, emulator="qemu-arm", arch="armhf",
    packages=(*_PYTHON_PACKAGES, "python3-numpy", "python3-soundfile"), tags=("manylinux_2_34_armv7l",),
    links=_ARMHF_LINKS, dist_packages=_DIST_PACKAGES,
)  # fmt: skip
# Debian 13 has an onnxruntime for it, and all else that PyPI has no wheels of.
ARMHF_13 = System(
    "armhf-13", (), emulator="qemu-arm", arch="armhf", release="trixie", python="3.13",
    packages=(
        *_PYTHON_PACKAGES_13, "python3-numpy", "python3-onnxruntime", "python3-soundfile", "python3-soxr"
    ),
    links=(("lib", "usr/lib"), *_ARMHF_LINKS), dist_packages=_DIST_PACKAGES,
)  # fmt: skip
_ARMV8 = "fp asimd evtstrm crc32 cpuid"
_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"
CPUS = {
    "cortex-a53": Cpu("cortex-a53", ARM64, "0xd03", _ARMV8),
    "cortex-a72": Cpu("cortex-a72", ARM64, "0xd08", _ARMV8),
    "cortex-a76": Cpu("cortex-a76", ARM64, "0xd0b", f"{_ARMV8} asimddp"),
    "cortex-a7": Cpu("cortex-a7", ARMHF, "0xc07", _ARMV7),
    "cortex-a7-debian-13": Cpu("cortex-a7", ARMHF_13, "0xc07", _ARMV7),
}
SYSTEMS = {system.name: system for system in (ARM64, ARMHF, ARMHF_13, HOST, HOST_LEGACY)}
