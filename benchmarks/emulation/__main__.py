"""`python -m benchmarks.emulation`: build Debian roots and real wheels for ARM, in a cache folder."""

import sys
from pathlib import Path

from benchmarks.command import fail, new_parser
from benchmarks.emulation.build import default_cache, prepared
from benchmarks.emulation.systems import SYSTEMS
from edge_las.errors import DeviceError


def main(arguments: list[str] | None = None) -> int:
    """Build roots and print where they are; return the exit code."""
    parser = new_parser("emulation", __doc__)
    parser.add_argument(
        "systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)} (default: all)"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help=f"default: {default_cache()}")
    parser.add_argument("--rebuild", action="store_true", help="also what is there already")
    options = parser.parse_args(arguments)
    unknown = set(options.systems) - SYSTEMS.keys()
    if unknown:
        parser.error(f"no system is named {', '.join(sorted(unknown))}")
    try:
        for name in options.systems or SYSTEMS:
            print(prepared(SYSTEMS[name], options.cache, options.rebuild), flush=True)
    except DeviceError as error:
        return fail(parser, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
