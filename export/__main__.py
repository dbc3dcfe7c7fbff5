"""The command `python -m export CHECKPOINT --out DIR`."""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_las.artifact import Manifest
from edge_las.errors import ConfigError, EdgeLasError
from export.calibration import CalibrationConfig
from export.comparison import table_lines
from export.config import ENGINES, PRECISIONS, ExportConfig
from export.parity import ParityConfig
from export.quantize import METHODS, QuantizeConfig
from export.run import export, load_source
from export.work import work_lines


def main(arguments: list[str] | None = None) -> int:
    """Export and return the exit code."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()

    def progress(line: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {line}", file=sys.stderr, flush=True)

    try:
        for out, config in _configs(options):
            source = load_source(options.checkpoint, options.calibrate)
            manifest = export(source, out, config, progress)
            _print_report(out, manifest)
    except EdgeLasError as error:
        print(f"export: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    calibration, quantize, parity = CalibrationConfig(), QuantizeConfig(), ParityConfig()
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Turn a checkpoint into an artifact; nothing is written unless it is proved equal.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    # fmt: off
    add("checkpoint", type=Path, metavar="CHECKPOINT",
        help="folder with config.json, tokens.txt and weights.safetensors")
    add("--out", type=Path, required=True, metavar="DIR", help="the artifact's folder; replaced if it is one")
    add("--engines", default="onnx", metavar="LIST", help=f"of {', '.join(ENGINES)}")
    add("--precision", default="int8", metavar="LIST",
        help=f"of {', '.join(PRECISIONS)}; of several, each goes into DIR/PRECISION")
    add("--calibrate", type=Path, required=True, metavar="SPEECH",
        help="folder with manifest.tsv, or a flat corpus: split train calibrates, split dev proves")
    add("--calibration-clips", type=int, default=calibration.clips, metavar="N",
        help="recordings to calibrate on")
    add("--method", choices=METHODS, default=quantize.method, help="how ranges are taken")
    add("--percentile", type=float, default=quantize.percentile, metavar="P", help="for --method percentile")
    add("--dev-clips", type=int, default=parity.clips, metavar="N",
        help="dev recordings of each data set to decode; 0 = none")
    add("--max-wer-increase", type=float, default=parity.max_wer_increase, metavar="RATE",
        help="over float's, in a data set that is large enough to tell")
    add("--max-sure-errors", type=float, default=parity.max_sure_errors, metavar="SHARE",
        help="of characters that int8 may change where float is surely right")
    add("--min-equal-texts", type=float, default=parity.min_equal_texts, metavar="SHARE",
        help="of those recordings that two engines must hear the same in")
    add("--min-speedup", type=float, default=parity.min_speedup, metavar="X",
        help="times as fast as float that an int8 Listener must be")
    add("--name", default=ExportConfig.name, help="the artifact's name")
    add("--language", default=ExportConfig.language, help="that it recognizes")
    add("--max-utterance-s", type=float, default=ExportConfig.max_utterance_s, metavar="S",
        help="longest piece that the Speller is given")
    add("--search", action="append", default=[], metavar="KEY=NUMBER",
        help="a setting of the search; may be repeated")
    add("--report", type=Path, metavar="FILE.md", help="write what each layer costs in int8")
    add("--sign", type=Path, metavar="KEY", help="sign it with this Ed25519 private key (PEM)")
    add("--accuracy", type=Path, metavar="FILE.json", help="measured accuracy to put into the manifest")
    # fmt: on
    return parser


def _configs(options: argparse.Namespace) -> list[tuple[Path, ExportConfig]]:
    """Make one configuration for each precision."""
    base = ExportConfig(
        name=options.name,
        language=options.language,
        engines=tuple(options.engines.split(",")),
        max_utterance_s=options.max_utterance_s,
        sign=options.sign,
        search=dict(_setting(text) for text in options.search),
        accuracy=_read_json(options.accuracy) if options.accuracy else {},
        calibration=CalibrationConfig(clips=options.calibration_clips),
        quantize=QuantizeConfig(options.method, options.percentile),
        parity=ParityConfig(
            clips=options.dev_clips,
            max_wer_increase=options.max_wer_increase,
            max_sure_errors=options.max_sure_errors,
            min_equal_texts=options.min_equal_texts,
            min_speedup=options.min_speedup,
        ),
    )
    precisions = options.precision.split(",")
    several = len(precisions) > 1
    configs = []
    for precision in precisions:
        # Of several precisions the report is of int8's.
        report = options.report if precision == "int8" or not several else None
        out = options.out / precision if several else options.out
        configs.append((out, replace(base, precision=precision, report=report)))
    return configs


def _setting(text: str) -> tuple[str, int | float]:
    key, _, number = text.partition("=")
    try:
        return key, int(number) if number.lstrip("-").isdigit() else float(number)
    except ValueError:
        raise ConfigError(f"--search {text}: is not KEY=NUMBER") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: not a JSON object")
    return values


def _print_report(out: Path, manifest: Manifest) -> None:
    print(f"{out}: {manifest.name}")
    for name, entry in manifest.files.items():
        print(f"  {name:24} {entry.size:10,} bytes")
    print(f"  {'all':24} {sum(entry.size for entry in manifest.files.values()):10,} bytes")
    for form, found in manifest.parity.items():
        if form.endswith(" work"):
            print("\n".join(f"  {form}: {line}" for line in work_lines(found)))
            continue
        if form.endswith(" dev"):
            print("\n".join(f"  {form}: {line}" for line in table_lines(found)))
            continue
        shown = {name: value for name, value in found.items() if not name.startswith("state_")}
        print(f"  {form}: " + ", ".join(f"{name} {value:g}" for name, value in shown.items()))


if __name__ == "__main__":
    sys.exit(main())
