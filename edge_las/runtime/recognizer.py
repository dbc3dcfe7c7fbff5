"""The recognizer: a loaded artifact that any number of utterances share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from edge_las.artifact import MANIFEST_NAME, Manifest, load_manifest, load_tokens, verify
from edge_las.config import from_dict
from edge_las.errors import ArtifactError
from edge_las.manifest import GRAMMAR_NAME
from edge_las.ngram import NGRAM_NAME, load_ngrams
from edge_las.runtime.confidence import ConfidenceConfig
from edge_las.runtime.engine import load_engine
from edge_las.runtime.gate import GateConfig
from edge_las.runtime.phones import PhoneJudge, load_phone_judge
from edge_las.runtime.result import Result
from edge_las.runtime.setup import Setup
from edge_las.runtime.transcription import Transcription
from edge_las.runtime.utterance import Utterance
from edge_las.search.config import BeamConfig, ConstraintConfig, WordConfig
from edge_las.search.fusion import Scorer
from edge_las.search.ngram import FusionConfig, NgramScorer
from edge_las.tokens import TokenTable

if TYPE_CHECKING:
    from edge_las.grammar import Grammar
    from edge_las.runtime.free_text import Words

FloatArray = npt.NDArray[np.float32]
T = TypeVar("T", GateConfig, ConfidenceConfig, ConstraintConfig, FusionConfig, WordConfig)


_BUNDLED = Path(__file__).parent.parent / "models"


def default_model() -> Path:
    """Return the folder of the bundled artifact."""
    return _BUNDLED / "default"


class Recognizer:
    """A model ready to recognize; immutable, so threads may share it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @property
    def setup(self) -> Setup:
        """Engine and settings; with others of them, `Recognizer(replace(setup, ...))` is a recognizer too."""
        return self._setup

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        engine: str = "auto",
        threads: int = 1,
        beam_size: int | None = None,
        providers: tuple[str, ...] = (),
        require_signature: str | Path | None = None,
    ) -> "Recognizer":
        """Verify and load an artifact, by default the bundled one; beam_size replaces the manifest's.

        providers: see `engine.load_engine`. require_signature: a public key's file; what it did not sign is
        refused before anything else is read. A grammar in the artifact holds recognition strictly.

        Raises: ArtifactError, ConfigError for the key, or DeviceError if a package is missing.
        """
        folder = model_folder(folder)
        manifest = load_manifest(folder, require_signature)
        verify(folder, manifest)
        settings = _settings(manifest)
        if beam_size is not None:
            settings = replace(settings, search=replace(settings.search, beam_size=beam_size))
        loaded = load_engine(engine, folder, manifest.engines, threads, providers)
        tokens = load_tokens(folder, manifest)
        setup = Setup(
            manifest, tokens, loaded, settings.search, settings.gate, settings.confidence, settings.constraint
        )
        if NGRAM_NAME in manifest.files and settings.fusion.lm_weight:
            model = load_ngrams(folder / NGRAM_NAME, tokens)
            scorer = NgramScorer(model, settings.fusion.lm_weight, tokens.sos_id)
            setup = replace(setup, scorers=(scorer,))
        phones = cache(partial(load_phone_judge, folder, manifest))
        words = cache(lambda: _load_words(folder, manifest, settings.words, tokens, phones()))
        setup = replace(setup, phones=phones, words=words)
        if GRAMMAR_NAME not in manifest.files:
            return cls(setup)
        from edge_las.grammar_file import load_grammar

        return cls(setup).with_grammar(load_grammar(folder / GRAMMAR_NAME))

    def with_grammar(self, grammar: "Grammar", config: ConstraintConfig | None = None) -> "Recognizer":
        """Give a recognizer with the same engine that a grammar holds, by default as the manifest says."""
        from edge_las.runtime.constraint import Constraint

        config = config or self._setup.constraint
        if config.mode == "off":
            return Recognizer(replace(self._setup, grammar=None))
        phones = self._setup.phones() if config.is_strict and config.grammar_phone_weight else None
        constraint = Constraint(grammar, self.tokens, config, phones)
        return Recognizer(replace(self._setup, grammar=constraint))

    @property
    def tokens(self) -> TokenTable:
        """What the Speller spells with."""
        return self._setup.tokens

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self._setup.manifest

    @property
    def sample_rate(self) -> int:
        """The rate that samples must have, in Hz."""
        return self._setup.manifest.features.sample_rate

    def utterance(self, scorers: Sequence[Scorer] = ()) -> Utterance:
        """Begin an utterance."""
        return Utterance(self._setup, scorers)

    def transcription(self, scorers: Sequence[Scorer] = ()) -> Transcription:
        """Begin a recording of any length."""
        return Transcription(self._setup, scorers)

    def transcribe(self, audio: FloatArray | Iterable[FloatArray], scorers: Sequence[Scorer] = ()) -> Result:
        """Recognize audio of any length, whole (S,) or in blocks; memory does not grow with its length.

        Where it is longer than the Speller takes at once it is cut at pauses.
        """
        transcription = self.transcription(scorers)
        for block in _blocks(audio, self.sample_rate):
            transcription.accept(block)
        return transcription.finish()


def _load_words(
    folder: Path, manifest: Manifest, config: WordConfig, tokens: TokenTable, phones: PhoneJudge | None
) -> "Words | None":
    # Where a grammar holds strictly, words are never sought: the search for them is not imported either.
    from edge_las.runtime.free_text import load_words

    return load_words(folder, manifest, config, tokens, phones)


def model_folder(folder: str | Path | None) -> Path:
    """Return the artifact folder asked for, or else the bundled one.

    A bare name that is no file or folder here may be that of a bundled artifact: `home`.

    Raises: ArtifactError if none is bundled.
    """
    if folder is not None:
        asked = Path(folder)
        bundled = _BUNDLED / asked.name
        is_name = str(folder) == asked.name and not asked.exists()
        return bundled if is_name and (bundled / MANIFEST_NAME).is_file() else asked
    bundled = default_model()
    if not bundled.is_dir():
        raise ArtifactError(f"{bundled}: no model is bundled with this edge-las: name a model folder")
    return bundled


@dataclass(frozen=True)
class _Settings:
    """The manifest's `search`, shared out among those who read it."""

    search: BeamConfig
    gate: GateConfig
    confidence: ConfidenceConfig
    constraint: ConstraintConfig
    fusion: FusionConfig
    words: WordConfig


def _settings(manifest: Manifest) -> _Settings:
    rest = dict(manifest.search)
    read = partial(from_dict, source="manifest.json", error=ArtifactError, where="search")

    def take(config: type[T]) -> T:
        own = {field.name: rest.pop(field.name) for field in fields(config) if field.name in rest}
        return read(config, own)

    others = (take(GateConfig), take(ConfidenceConfig), take(ConstraintConfig), take(FusionConfig))
    words = take(WordConfig)
    # What is left must be the beam's: an unknown setting is an error there.
    return _Settings(read(BeamConfig, rest), *others, words)


def _blocks(audio: FloatArray | Iterable[FloatArray], block_samples: int) -> Iterator[FloatArray]:
    if not isinstance(audio, np.ndarray):
        yield from audio
        return
    for start in range(0, audio.size, block_samples):
        yield audio[start : start + block_samples]
