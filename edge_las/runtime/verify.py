"""`edge-las verify`: an artifact as a device would meet it."""

import argparse

from edge_las.artifact import load_manifest, verify
from edge_las.errors import DeviceError
from edge_las.runtime.engine import load_engine
from edge_las.runtime.options import add_signature_argument
from edge_las.runtime.recognizer import model_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "model", nargs="?", metavar="DIR", help="artifact folder (default: the bundled model)"
    )
    add_signature_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Check manifest, sizes, hashes and tokens, and load the graphs with every engine that is installed."""
    folder = model_folder(args.model)
    manifest = load_manifest(folder, args.require_signature)
    verify(folder, manifest)
    signed = ", signed" if args.require_signature else ""
    print(f"{manifest.name}: {len(manifest.files)} files are whole{signed}")
    for name in manifest.engines:
        try:
            load_engine(name, folder, manifest.engines, 1)
        except DeviceError as error:
            print(f"{name}: not tried: {error}")
        else:
            print(f"{name}: loads")
    return 0
