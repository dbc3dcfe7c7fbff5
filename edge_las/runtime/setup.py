"""What all utterances of a recognizer share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from edge_las.artifact import Manifest
from edge_las.runtime.confidence import ConfidenceConfig
from edge_las.runtime.engine import Engine
from edge_las.runtime.gate import GateConfig, silent_ids
from edge_las.runtime.phones import PhoneJudge
from edge_las.search.config import BeamConfig, ConstraintConfig
from edge_las.search.fusion import Scorer
from edge_las.tokens import TokenTable

if TYPE_CHECKING:
    from edge_las.runtime.constraint import Constraint
    from edge_las.runtime.free_text import Words


@dataclass(frozen=True)
class Setup:
    """A loaded model and its settings; nothing in it changes."""

    manifest: Manifest
    tokens: TokenTable
    engine: Engine
    search: BeamConfig
    gate: GateConfig
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    # For grammars that come from elsewhere; the model's own holds its config itself.
    constraint: ConstraintConfig = field(default_factory=ConstraintConfig)
    grammar: Constraint | None = None
    # Loads what judges sentences of a grammar by their phones: those without a grammar need not hold it.
    phones: Callable[[], PhoneJudge | None] = lambda: None
    # Loads what finds words by their phones in free text.
    words: Callable[[], Words | None] = lambda: None
    # The model's own language model, if it has one.
    scorers: tuple[Scorer, ...] = ()

    @property
    def frame_s(self) -> float:
        """Seconds of one encoded frame."""
        features = self.manifest.features
        return features.hop_length * self.manifest.listener.subsampling / features.sample_rate

    @cached_property
    def silent_ids(self) -> tuple[int, ...]:
        """The tokens that stand for no sound."""
        return silent_ids(self.tokens)
