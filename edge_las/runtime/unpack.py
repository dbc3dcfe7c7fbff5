"""`edge-las unpack`: the file that `edge-las pack` wrote to an artifact folder."""

import argparse

from edge_las.packing import unpack
from edge_las.runtime.options import add_signature_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="packed artifact")
    parser.add_argument("folder", metavar="DIR", help="folder to make; replaced if it is an artifact")
    add_signature_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Unpack and verify."""
    unpack(args.file, args.folder, args.require_signature)
    return 0
