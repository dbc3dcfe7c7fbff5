"""The options that choose model, engine and device profile, and the recognizer they make."""

import argparse

from edge_las.cli_support import at_least_one
from edge_las.runtime.device import DeviceProfile, load_profile, pin
from edge_las.runtime.recognizer import Recognizer


def add_recognizer_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --model, --beam, --threads, --engine and --device."""
    parser.add_argument("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    parser.add_argument("--beam", type=at_least_one, metavar="N", help="hypotheses kept; 1 = greedy search")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="engine threads (default 1)")
    parser.add_argument("--engine", help="auto (default), onnx, tflite")
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="device profile: auto, a name (`edge-las profile --list`) or a .toml file; other options win",
    )


def chosen_profile(args: argparse.Namespace) -> DeviceProfile | None:
    """Load the profile that --device names, if any, and keep to its CPUs."""
    if args.device is None:
        return None
    profile = load_profile(args.device)
    pin(profile.engine.affinity)
    return profile


def load_recognizer(args: argparse.Namespace, profile: DeviceProfile | None) -> Recognizer:
    """Load the model: options first, then the profile, then what holds without either."""
    if profile is None:
        return Recognizer.load(args.model, args.engine or "auto", args.threads or 1, args.beam)
    # Another engine than the profile's has no use for the profile's providers.
    same = args.engine in (None, profile.engine.name)
    return Recognizer.load(
        args.model,
        args.engine or profile.engine.name,
        args.threads or profile.engine.threads,
        args.beam or profile.search.beam_size,
        profile.engine.providers if same else (),
    )
