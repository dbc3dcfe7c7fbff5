"""`edge-las info`: what a model is, in words."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from edge_las.artifact import Manifest, load_manifest, verify
from edge_las.runtime.recognizer import model_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="artifact folder, or `home` (default: the bundled model)"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Verify the artifact and print what its manifest says."""
    folder = model_folder(args.model)
    manifest = load_manifest(folder)
    verify(folder, manifest)
    if args.json:
        print(json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(describe(manifest)))
    return 0


def describe(manifest: Manifest) -> Iterator[str]:
    """Write the lines of the description."""
    listener, features, speller = manifest.listener, manifest.features, manifest.speller
    frame_ms = 1000 * features.hop_length * listener.subsampling / features.sample_rate
    chunk_ms = 1000 * features.hop_length * listener.chunk_frames / features.sample_rate
    total_bytes = sum(entry.size for entry in manifest.files.values())
    size = f"format {manifest.format_version}, {_megabytes(total_bytes)}, verified"
    yield f"{manifest.name} ({manifest.language}), {size}"
    yield f"features   {features.n_mels} log-mel at {features.sample_rate} Hz"
    yield f"tokens     {manifest.tokens.size}"
    yield (
        f"listener   chunks of {chunk_ms:g} ms, an encoded frame of {listener.encoded_dim} values each "
        f"{frame_ms:g} ms, delay {listener.delay_frames * frame_ms:g} ms"
    )
    yield (
        f"speller    at most {speller.max_tokens_per_s:g} tokens a second, "
        f"utterances up to {speller.max_utterance_s:g} s"
    )
    for name, engine in manifest.engines.items():
        files = [engine.listener.file, engine.speller.file]
        engine_bytes = sum(manifest.files[file].size for file in dict.fromkeys(files))
        yield f"engine     {name} {engine.precision}, {_megabytes(engine_bytes)}: {', '.join(files)}"
    for title, values in (
        ("search", manifest.search),
        ("parity", manifest.parity),
        ("accuracy", manifest.accuracy),
    ):
        yield from _table(title, values)
    known = {manifest.tokens.file}
    for engine in manifest.engines.values():
        known |= {engine.listener.file, engine.speller.file}
    if others := sorted(set(manifest.files) - known):
        yield f"also       {', '.join(others)}"
    provenance = manifest.provenance
    yield f"created    {provenance.created}, from checkpoint {provenance.parent_checkpoint_sha256[:12]}"
    yield f"calibrated on {provenance.calibration.clips} clips ({provenance.calibration.sha256[:12]})"
    yield f"made with  {', '.join(f'{tool} {version}' for tool, version in provenance.tool_versions.items())}"


def _table(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    for number, (name, value) in enumerate(_flat(values)):
        yield f"{title if number == 0 else '':<11}{name} {value}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else value


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
