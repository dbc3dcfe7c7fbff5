"""Proves an artifact before it is released: every form of the model against every other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_las.artifact import Manifest
from edge_las.errors import ConfigError
from edge_las.runtime.engine import load_engine
from edge_las.train.model import LasModel
from export.decoding import Decoded, compare, decode
from export.efficiency import check_kernels, check_speed
from export.parity import Form, ParityConfig, check_float, check_rounded
from export.recordings import FloatArray, Recording, held_out
from export.torch_engine import TorchEngine

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A sealed artifact folder and its manifest."""

    folder: Path
    manifest: Manifest

    def form(self, engine: str) -> Form:
        """Load the graphs of one engine."""
        label = f"{engine} {self.manifest.engines[engine].precision}"
        return Form(label, load_engine(engine, self.folder, self.manifest.engines, 1), self.manifest)


def prove(
    model: LasModel, recordings: Sequence[Recording], reference: Built, released: Built,
    config: ParityConfig, progress: Progress,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Compare torch with the float graphs of `reference`, these with the released ones, and what all hear.

    Returns what was measured of each form. Raises: ParityError, ConfigError without recordings.
    """
    dev = held_out(recordings, max(config.clips, config.graph_clips))
    if not dev:
        raise ConfigError("no recording to prove the artifact on")
    longest = int(released.manifest.speller.max_utterance_s * released.manifest.features.sample_rate)
    clips = [recording.samples()[:longest] for recording in dev[: config.graph_clips]]
    torch_form, float_form = _torch_form(model, reference.manifest), reference.form("onnx")
    forms = [float_form, *(released.form(engine) for engine in released.manifest.engines)]
    results: dict[str, dict[str, float]] = {}
    for form in (*_other_floats(reference, released), *forms):
        if _precision(form) != "float":
            results[form.label] = _prove_rounded(reference, released, form, clips, config, progress)
        else:
            found = results[form.label] = check_float(torch_form, form, clips, config)
            progress(f"{form.label}: equals torch to {max(found.values()):.1e}")
    if config.clips:
        decoded = _decode_all(torch_form, forms, reference, released, dev[: config.clips], longest, progress)
        for label, found in compare(decoded, dev[: config.clips], config).items():
            results.setdefault(label, {}).update(found)
    return results


def _prove_rounded(
    reference: Built, released: Built, form: Form, clips: Sequence[FloatArray], config: ParityConfig,
    progress: Progress,
) -> dict[str, float]:  # fmt: skip
    """Compare a form with the float ONNX graphs by value, and int8 with its engine's own by speed."""
    engine, is_int8 = form.engine.name, _precision(form) == "int8"
    if not is_int8:
        config = replace(config, min_snr_db=config.min_float16_snr_db)
    found = check_rounded(reference.form("onnx"), form, clips, config)
    progress(
        f"{form.label}: encoded frames {found['encoded_snr_db']:.1f} dB above rounding, "
        f"Speller's probabilities {found['speller_distance']:.3f} off"
    )
    if not is_int8:
        return found
    if engine == "onnx":
        check_kernels(form.label, released.folder, released.manifest.engines[engine])
    speedup = check_speed(reference.form(engine), form, config)
    progress(f"{form.label}: {speedup:.1f} times as fast as float")
    return found


def _other_floats(reference: Built, released: Built) -> list[Form]:
    """List the float forms that int8 ones were made of; the float ONNX form is always looked at."""
    made_of = [engine for engine, entry in released.manifest.engines.items() if entry.precision == "int8"]
    return [reference.form(engine) for engine in made_of if engine != "onnx"]


def _decode_all(
    torch_form: Form, forms: list[Form], reference: Built, released: Built,
    recordings: Sequence[Recording], longest: int, progress: Progress,
) -> list[Decoded]:  # fmt: skip
    """Decode with the float graphs, torch (only its first recordings: it is slow), and each released form."""
    decoded = [decode(forms[0], reference.folder, recordings, longest, progress)]
    decoded.append(decode(torch_form, None, recordings[:20], longest, progress))
    decoded += [decode(form, released.folder, recordings, longest, progress) for form in forms[1:]]
    return decoded


def _torch_form(model: LasModel, manifest: Manifest) -> Form:
    engine = TorchEngine(model)
    return Form("torch", engine, replace(manifest, engines={engine.name: manifest.engines["onnx"]}))


def _precision(form: Form) -> str:
    return form.manifest.engines[form.engine.name].precision
