"""`edge-las devices`: the microphones there are."""

import argparse
import json
from dataclasses import asdict

from edge_las.errors import DeviceError
from edge_las.runtime.inputs import input_devices, possible_rates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON line for each device")


def run(args: argparse.Namespace) -> int:
    """List the inputs with the rates they take; an error if there are none."""
    devices = input_devices()
    if not devices:
        raise DeviceError("no input device found: plug a microphone in, and see that `arecord -l` lists it")
    for device in devices:
        rates = sorted({rate for rate, _ in possible_rates(device)})
        if args.json:
            print(json.dumps({**asdict(device), "rates_hz": rates}, ensure_ascii=False), flush=True)
            continue
        mark = "*" if device.is_default else " "
        offered = ", ".join(map(str, rates)) or "none: in use, or not an input after all"
        print(
            f"{mark}{device.index:3}  {device.name}  ({device.host}, {device.channels} ch)  Hz: {offered}",
            flush=True,
        )
    return 0
