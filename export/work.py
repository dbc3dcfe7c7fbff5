"""How many multiply-accumulates an utterance costs in each engine, and how many of them in int8 kernels."""

from collections.abc import Mapping
from pathlib import Path

from edge_las.artifact import Manifest
from edge_las.features import num_frames
from export.kernels import Work, count_onnx
from export.kernels_tflite import count_tflite
from export.rates import usual_tokens

# Lengths of speech that are counted for; none longer than the Speller takes at once.
COUNTED_S = (5.0, 15.0)


def describe_work(folder: Path, manifest: Manifest) -> dict[str, dict[str, dict[str, float]]]:
    """Tell the work of each engine for the counted lengths of speech: millions, and the share in int8."""
    longest_s = manifest.speller.max_utterance_s
    lengths_s = dict.fromkeys(min(seconds, longest_s) for seconds in COUNTED_S)
    return {
        f"{engine} {entry.precision} work": {
            f"{seconds:g}s": _rounded(utterance_work(folder, manifest, engine, seconds))
            for seconds in lengths_s
        }
        for engine, entry in manifest.engines.items()
    }


def work_lines(work: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Write the work of one engine as lines."""
    lines = []
    for length, found in work.items():
        parts = [
            f"{part} {found[f'{part}_mmacs']:g} ({found[f'{part}_int8_share']:.1%})"
            for part in ("all", "listener", "speller")
        ]
        lines.append(f"{length} of speech, millions of multiply-accumulates (in int8): {', '.join(parts)}")
    return lines


def _rounded(parts: Mapping[str, Work]) -> dict[str, float]:
    found = {}
    for name, work in {**parts, "all": sum(parts.values(), Work())}.items():
        found[f"{name}_mmacs"] = round(work.total / 1e6, 2)
        found[f"{name}_int8_share"] = round(work.int8_share, 4)
    return found


def utterance_work(folder: Path, manifest: Manifest, engine: str, seconds: float) -> dict[str, Work]:
    """Count what Listener and Speller do for so many seconds of ordinary speech, with the manifest's beam."""
    listener = manifest.listener
    samples = int(seconds * manifest.features.sample_rate) + listener.tail_padding_samples
    frames = -(-num_frames(samples, manifest.features) // listener.subsampling)
    chunks = -(-(frames + listener.delay_frames) * listener.subsampling // listener.chunk_frames)
    steps = usual_tokens(manifest.speller.max_tokens_per_s, seconds)
    batch = int(manifest.search.get("beam_size", 1))
    entry = manifest.engines[engine]
    count = count_onnx if engine == "onnx" else count_tflite
    chunk = count(folder / entry.listener.file, 1, listener.chunk_frames)
    step = count(folder / entry.speller.file, batch, frames)
    return {"listener": chunk * chunks, "speller": step * steps}
