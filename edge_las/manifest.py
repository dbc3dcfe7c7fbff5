"""The parts of manifest.json, each checking itself; the runtime has no fallbacks: a default means none."""

import re
from dataclasses import dataclass

from edge_las.errors import ArtifactError
from edge_las.tokens import TokenTable

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
# The grammar of an artifact that understands commands.
GRAMMAR_NAME = "grammar.json.gz"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")


@dataclass(frozen=True)
class TokensEntry:
    """The token table and its special ids."""

    file: str
    size: int
    blank_id: int
    unk_id: int
    sos_id: int
    eos_id: int

    def __post_init__(self) -> None:
        check_name("file", self.file)
        names = ("blank_id", "unk_id", "sos_id", "eos_id")
        for name in names:
            expected = getattr(TokenTable, name)
            if getattr(self, name) != expected:
                raise ArtifactError(f"{name} is {getattr(self, name)}, must be {expected}")
        _check_at_least("size", self.size, len(names) + 1)


@dataclass(frozen=True)
class ListenerEntry:
    """How the Listener is fed and what it gives."""

    chunk_frames: int
    subsampling: int
    delay_frames: int
    tail_padding_samples: int
    encoded_dim: int
    # Of what a block between gives, for a head of phones; 0: it gives nothing.
    middle_dim: int = 0
    middle_delay_frames: int = 0

    def __post_init__(self) -> None:
        for name in ("chunk_frames", "subsampling", "encoded_dim"):
            _check_at_least(name, getattr(self, name), 1)
        for name in ("delay_frames", "tail_padding_samples", "middle_dim", "middle_delay_frames"):
            _check_at_least(name, getattr(self, name), 0)
        # Neither is there, or both: with look-ahead, no block is without delay.
        for name, other in (("middle_dim", "middle_delay_frames"), ("middle_delay_frames", "middle_dim")):
            if self.delay_frames and getattr(self, other) and not getattr(self, name):
                raise ArtifactError(f"{name} is missing")
        if self.middle_delay_frames > self.delay_frames:
            raise ArtifactError(
                f"middle_delay_frames is {self.middle_delay_frames}, above delay_frames ({self.delay_frames})"
            )
        if self.chunk_frames % self.subsampling:
            raise ArtifactError(
                f"chunk_frames is {self.chunk_frames}, must be a multiple of subsampling ({self.subsampling})"
            )


@dataclass(frozen=True)
class SpellerEntry:
    """The bounds of one utterance."""

    max_tokens_per_s: float
    max_utterance_s: float

    def __post_init__(self) -> None:
        for name in ("max_tokens_per_s", "max_utterance_s"):
            if not getattr(self, name) > 0.0:
                raise ArtifactError(f"{name} is {getattr(self, name)}, must be above 0")


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph; None in `shape` is a dynamic size, `scale` is None for float."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None
    zero_point: int | None

    def __post_init__(self) -> None:
        if not self.name:
            raise ArtifactError("name is empty")
        if not self.shape:
            raise ArtifactError("shape is empty")
        if self.dtype not in _DTYPES:
            raise ArtifactError(f"dtype is {self.dtype!r}, must be one of {', '.join(_DTYPES)}")
        for size in self.shape:
            if size is not None:
                _check_at_least("shape", size, 1)
        if (self.scale is None) != (self.zero_point is None):
            raise ArtifactError("scale and zero_point must both be null or both be given")
        if self.scale is not None and not self.scale > 0.0:
            raise ArtifactError(f"scale is {self.scale}, must be above 0")


@dataclass(frozen=True)
class GraphEntry:
    """One exported network."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        check_name("file", self.file)
        for kind in ("inputs", "outputs"):
            names = [tensor.name for tensor in getattr(self, kind)]
            if not names or len(set(names)) < len(names):
                raise ArtifactError(f"{kind} is empty or names a tensor twice")

    def tensor(self, name: str) -> TensorSpec | None:
        """Find an input or else an output by name."""
        return next((tensor for tensor in self.inputs + self.outputs if tensor.name == name), None)


@dataclass(frozen=True)
class EngineEntry:
    """The graphs for one inference engine."""

    precision: str
    listener: GraphEntry
    speller: GraphEntry


@dataclass(frozen=True)
class FileEntry:
    """What a file must be."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        _check_at_least("size", self.size, 0)
        _check_sha256("sha256", self.sha256)


@dataclass(frozen=True)
class CalibrationEntry:
    """The clips that int8 ranges were measured on."""

    sha256: str
    clips: int

    def __post_init__(self) -> None:
        _check_sha256("sha256", self.sha256)
        _check_at_least("clips", self.clips, 0)


@dataclass(frozen=True)
class ProvenanceEntry:
    """Where the artifact comes from."""

    parent_checkpoint_sha256: str
    tool_versions: dict[str, str]
    calibration: CalibrationEntry
    created: str

    def __post_init__(self) -> None:
        _check_sha256("parent_checkpoint_sha256", self.parent_checkpoint_sha256)


def check_listener_graph(where: str, graph: GraphEntry) -> None:
    """Raise ArtifactError unless the tensors are a Listener chunk's, each state beside its next one."""
    _check_tensors(where, graph, ("features",), ("encoded", "keys", "ctc_log_probs"))
    following = {tensor.name: tensor for tensor in graph.outputs}
    for state in graph.inputs:
        if state.name == "features":
            continue
        if None in state.shape:
            raise ArtifactError(f"{where}: {state.name} has a dynamic size, a state must have none")
        after = following.get(f"next_{state.name}")
        if after is None or after.shape != state.shape:
            raise ArtifactError(f"{where}: {state.name} has no output next_{state.name} of its shape")


def check_speller_graph(where: str, graph: GraphEntry) -> None:
    """Raise ArtifactError unless the tensors are a Speller step's."""
    states = ("hidden", "cell", "context", "alignment")
    following = tuple(f"next_{name}" for name in states)
    _check_tensors(where, graph, ("token", "encoded", "keys", "mask", *states), ("log_probs", *following))


def _check_tensors(where: str, graph: GraphEntry, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    for kind, names in (("inputs", inputs), ("outputs", outputs)):
        present = {tensor.name for tensor in getattr(graph, kind)}
        for name in names:
            if name not in present:
                raise ArtifactError(f"{where}.{kind}: no tensor is named {name}")


def check_name(what: str, name: str) -> None:
    """Raise ArtifactError unless `name` is a plain file name: nothing outside the folder can be reached."""
    if not _PLAIN_NAME.fullmatch(name) or name in (MANIFEST_NAME, SIGNATURE_NAME):
        raise ArtifactError(f"{what} is {name[:60]!r}, must be a plain file name inside the folder")


def _check_at_least(what: str, value: int, least: int) -> None:
    if value < least:
        raise ArtifactError(f"{what} is {value}, must be at least {least}")


def _check_sha256(what: str, value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise ArtifactError(f"{what} is {value[:70]!r}, must be 64 lower-case hexadecimal digits")
