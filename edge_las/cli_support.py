"""What commands share: argument types and the one way to report an error."""

import argparse
import math
import sys


def at_least_one(text: str) -> int:
    """Parse a whole number from 1 on, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number


def above_zero(text: str) -> float:
    """Parse a finite number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def probability(text: str) -> float:
    """Parse a number from 0 to 1, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def fail(error: object) -> int:
    """Print an error as one line; return the exit status for it."""
    print(f"edge-las: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return 2
