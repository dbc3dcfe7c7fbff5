"""Proves an artifact before it is released: every form of the model against every other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_las.artifact import Manifest
from edge_las.errors import ConfigError
from edge_las.runtime.engine import load_engine
from edge_las.runtime.recognizer import Recognizer
from edge_las.train.model import LasModel
from export.comparison import as_numbers, compare, compare_engines
from export.decoding import Spoken, bound, decode, read_dev
from export.efficiency import check_kernels, check_speed
from export.parity import Form, ParityConfig, ParityError, check_float, check_rounded
from export.recordings import FloatArray, Recording, held_out
from export.torch_engine import TorchEngine

Progress = Callable[[str], None]
# What was measured of a form: numbers, by data set where it is of texts.
Found = Mapping[str, Any]
# So many are decoded with torch too.
_TORCH_RECORDINGS = 20


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
) -> dict[str, Found]:  # fmt: skip
    """Compare torch with the float graphs of `reference`, these with the released ones, and what all hear.

    Returns what was measured of each form. Raises: ParityError, ConfigError without recordings.
    """
    dev = held_out(recordings, config.graph_clips)
    if not dev:
        raise ConfigError("no recording to prove the artifact on")
    longest = int(released.manifest.speller.max_utterance_s * released.manifest.features.sample_rate)
    clips = [recording.samples()[:longest] for recording in dev]
    torch_form, float_form = _torch_form(model, reference.manifest), reference.form("onnx")
    results: dict[str, Found] = {}
    forms = [released.form(engine) for engine in released.manifest.engines]
    for form in (*_other_floats(reference, released), float_form, *forms):
        if _precision(form) != "float":
            results[form.label] = _prove_rounded(reference, released, form, clips, config, progress)
        else:
            differences = results[form.label] = check_float(torch_form, form, clips, config)
            progress(f"{form.label}: equals torch to {max(differences.values()):.1e}")
    if config.clips:
        room = int(config.set_seconds * released.manifest.features.sample_rate)
        spoken = read_dev(recordings, config.clips, room)
        if not spoken:
            raise ConfigError("no recording with words to prove the artifact on")
        for label, found in _prove_texts(reference, released, torch_form, spoken, config, progress).items():
            results[label] = {**results.get(label, {}), **found}
    return results


def _prove_rounded(
    reference: Built, released: Built, form: Form, clips: Sequence[FloatArray], config: ParityConfig,
    progress: Progress,
) -> dict[str, float]:  # fmt: skip
    """Compare a form with the float ONNX graphs by value, and int8 with its engine's own by speed."""
    engine, precision = form.engine.name, _precision(form)
    if precision == "float16":
        config = replace(config, min_snr_db=config.min_float16_snr_db)
    found = check_rounded(reference.form("onnx"), form, clips, config)
    progress(
        f"{form.label}: encoded frames {found['encoded_snr_db']:.1f} dB above rounding, "
        f"Speller's probabilities {found['speller_distance']:.3f} off"
    )
    # What is for GPUs runs in float here: its speed can't be proved.
    if precision != "int8":
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


def _prove_texts(
    reference: Built, released: Built, torch_form: Form, spoken: Sequence[Spoken], config: ParityConfig,
    progress: Progress,
) -> dict[str, Found]:  # fmt: skip
    """Decode with the float graphs, with torch (only some: it is slow), and with each released form."""
    recognizer = Recognizer.load(reference.folder, "onnx")
    floats = decode("onnx float", recognizer, spoken, progress)
    some = range(0, len(spoken), max(1, len(spoken) // _TORCH_RECORDINGS))
    trained = decode("torch", bound(recognizer, torch_form), [spoken[i] for i in some], progress)
    equal = sum(floats.texts[i] == text for i, text in zip(some, trained.texts, strict=True)) / len(some)
    if equal < config.min_equal_float_texts:
        raise ParityError(
            f"torch: {equal:.1%} of the texts equal those of {floats.label}, "
            f"needed are {config.min_equal_float_texts:.1%}"
        )
    results: dict[str, Found] = {trained.label: {"equal_texts": equal}}
    others = []
    for engine, entry in released.manifest.engines.items():
        label = f"{engine} {entry.precision}"
        others.append(decode(label, Recognizer.load(released.folder, engine), spoken, progress))
        results[f"{label} dev"] = as_numbers(compare(floats, others[-1], spoken, config))
    return {**results, **compare_engines(floats, others, spoken, config)}


def _torch_form(model: LasModel, manifest: Manifest) -> Form:
    engine = TorchEngine(model)
    return Form("torch", engine, replace(manifest, engines={engine.name: manifest.engines["onnx"]}))


def _precision(form: Form) -> str:
    return form.manifest.engines[form.engine.name].precision
