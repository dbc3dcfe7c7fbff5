"""The options that choose model, engine and device profile, and the recognizer they make."""

import argparse
from dataclasses import replace

from edge_las.cli_support import at_least_one, probability
from edge_las.runtime.device import DeviceProfile, load_profile, pin
from edge_las.runtime.recognizer import Recognizer


def add_recognizer_arguments(
    parser: argparse.ArgumentParser, profile_names: tuple[str, ...] = ("--device", "--profile")
) -> None:
    """Declare --model, --require-signature, --beam, --threads, --engine, --min-confidence and the profile.

    profile_names: what the option of the device profile is called.
    """
    parser.add_argument(
        "--model", metavar="DIR", help="artifact folder, or `home` (default: the bundled model)"
    )
    add_signature_argument(parser)
    parser.add_argument("--beam", type=at_least_one, metavar="N", help="hypotheses kept; 1 = greedy")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="engine threads (default 1)")
    parser.add_argument("--engine", help="auto (default), onnx, tflite")
    parser.add_argument(
        "--min-confidence", type=probability, metavar="P", help="give no text of less confidence, 0 to 1"
    )
    parser.add_argument(
        *profile_names,
        dest="profile",
        metavar="NAME",
        help="device profile: auto, a name (`edge-las profile --list`) or a .toml file; other options win",
    )


def add_signature_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --require-signature."""
    parser.add_argument(
        "--require-signature", metavar="PUBKEY", help="refuse a model not signed by this Ed25519 key (PEM)"
    )


def chosen_profile(args: argparse.Namespace) -> DeviceProfile | None:
    """Load the profile that the options name, if any, and keep to its CPUs."""
    if args.profile is None:
        return None
    profile = load_profile(args.profile)
    pin(profile.engine.affinity)
    return profile


def load_recognizer(args: argparse.Namespace, profile: DeviceProfile | None) -> Recognizer:
    """Load the model: options first, then the profile, then what holds without either."""
    recognizer = _load(args, profile)
    if args.min_confidence is None:
        return recognizer
    gate = replace(recognizer.setup.gate, gate_min_confidence=args.min_confidence)
    return Recognizer(replace(recognizer.setup, gate=gate))


def _load(args: argparse.Namespace, profile: DeviceProfile | None) -> Recognizer:
    if profile is None:
        return Recognizer.load(
            args.model,
            args.engine or "auto",
            args.threads or 1,
            args.beam,
            require_signature=args.require_signature,
        )
    # Another engine than the profile's has no use for the profile's providers.
    same = args.engine in (None, profile.engine.name)
    return Recognizer.load(
        args.model,
        args.engine or profile.engine.name,
        args.threads or profile.engine.threads,
        args.beam or profile.search.beam_size,
        profile.engine.providers if same else (),
        args.require_signature,
    )
