"""`edge-las pack`: an artifact folder to one file."""

import argparse

from edge_las.packing import pack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", metavar="DIR", help="artifact folder")
    parser.add_argument(
        "file", metavar="FILE", help="to write: the same bytes for the same artifact; replaced if it is one"
    )


def run(args: argparse.Namespace) -> int:
    """Verify and pack."""
    pack(args.folder, args.file)
    return 0
