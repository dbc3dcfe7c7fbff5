"""`edge-las profile`: which board this is, and what its profile sets."""

import argparse
import json
from collections.abc import Iterator

from edge_las.config import to_dict
from edge_las.runtime.device import DeviceProfile, board_model, load_profile, profile_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", default="auto", help="auto (default), a name or a .toml file")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--list", action="store_true", help="list the profiles")
    shown.add_argument("--json", action="store_true", help="print the profile as JSON")
    shown.add_argument("--systemd", action="store_true", help="print a drop-in with the profile's limits")


def run(args: argparse.Namespace) -> int:
    """Print the profile."""
    if args.list:
        for name in profile_names():
            print(f"{name:<26}{load_profile(name).title}")
        return 0
    profile = load_profile(args.name)
    if args.json:
        print(json.dumps(to_dict(profile), indent=2))
    elif args.systemd:
        print("\n".join(systemd_drop_in(profile)))
    else:
        print("\n".join(describe(profile)))
    return 0


def describe(profile: DeviceProfile) -> Iterator[str]:
    """Write the lines of the description."""
    engine, audio = profile.engine, profile.audio
    cpus = ", ".join(map(str, engine.affinity)) or "all"
    yield f"{profile.name}: {profile.title} (this board: {board_model() or 'of unknown model'})"
    yield f"engine    {engine.name} {' '.join(engine.providers)}, threads {engine.threads}, CPUs {cpus}"
    yield f"search    beam {profile.search.beam_size}"
    yield (
        f"audio     {audio.device or 'default device'}, {audio.rate_hz} Hz, channels {audio.channels}, "
        f"chunks of {audio.chunk_ms} ms"
    )
    yield f"vad       {profile.vad.detector}, mode {profile.vad.mode}"
    yield f"limits    {profile.limits.memory_mb} MB, {profile.limits.max_clients} clients"
    yield f"governor  {profile.governor.advice}: {profile.governor.reason}"


def systemd_drop_in(profile: DeviceProfile) -> Iterator[str]:
    """Write the lines of /etc/systemd/system/edge-las-serve.service.d/device.conf."""
    yield f"# {profile.title}"
    yield "[Service]"
    yield f"MemoryMax={profile.limits.memory_mb}M"
    yield f"Environment=EDGE_LAS_DEVICE={profile.name}"
    if profile.engine.affinity:
        yield f"CPUAffinity={' '.join(map(str, profile.engine.affinity))}"
