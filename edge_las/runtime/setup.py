"""What all utterances of a recognizer share."""

from dataclasses import dataclass, field
from functools import cached_property

from edge_las.artifact import Manifest
from edge_las.runtime.confidence import ConfidenceConfig
from edge_las.runtime.constraint import Constraint
from edge_las.runtime.engine import Engine
from edge_las.runtime.gate import GateConfig, silent_ids
from edge_las.search.config import BeamConfig
from edge_las.tokens import TokenTable


@dataclass(frozen=True)
class Setup:
    """A loaded model and its settings; nothing in it changes."""

    manifest: Manifest
    tokens: TokenTable
    engine: Engine
    search: BeamConfig
    gate: GateConfig
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    grammar: Constraint | None = None

    @property
    def frame_s(self) -> float:
        """Seconds of one encoded frame."""
        features = self.manifest.features
        return features.hop_length * self.manifest.listener.subsampling / features.sample_rate

    @cached_property
    def silent_ids(self) -> tuple[int, ...]:
        """The tokens that stand for no sound."""
        return silent_ids(self.tokens)
