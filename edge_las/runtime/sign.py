"""`edge-las sign`: an artifact that boards with the public key will take for its maker's."""

import argparse

from edge_las.artifact import load_manifest, verify
from edge_las.signing import load_private_key, sign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", metavar="DIR", help="artifact folder")
    parser.add_argument("key", metavar="KEY", help="Ed25519 private key in PEM, without a password")


def run(args: argparse.Namespace) -> int:
    """Verify and sign."""
    key = load_private_key(args.key)
    verify(args.folder, load_manifest(args.folder))
    sign(args.folder, key)
    return 0
