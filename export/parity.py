"""The gate: torch, float graphs, int8 graphs and the runtime must hear the same, or there is no artifact."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_las.artifact import Manifest
from edge_las.errors import ArtifactError
from edge_las.features import log_mel
from edge_las.runtime.engine import Array, Engine, EngineSpeller, State, listener_states, speller_state
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.search.config import BeamConfig
from edge_las.search.greedy import greedy_search
from edge_las.tokens import TokenTable
from export.recordings import FloatArray
from export.torch_engine import TorchEngine


class ParityError(ArtifactError):
    """Two forms of a model that should be one do not agree."""


@dataclass(frozen=True)
class ParityConfig:
    """How far apart the forms of a model may be."""

    # Float forms: the largest difference, relative to the largest value where that is above 1.
    max_float_difference: float = 1e-4
    # int8 against float: the encoded frames, the keys and the middle of each clip.
    min_snr_db: float = 12.0
    min_float16_snr_db: float = 40.0
    # int8 against float, mean total variation distance: the CTC head's probabilities, and the Speller's along
    # float's own tokens.
    max_distance: float = 0.1
    # int8 against float on each dev set: how much greater the word error rate may be, where the set is large
    # enough to tell (`comparison.allowed`).
    max_wer_increase: float = 0.003
    # In recordings that float surely gets right: the share of characters that may change.
    max_sure_errors: float = 0.01
    # One engine's int8 against another's, there too: the share of equal texts.
    min_equal_texts: float = 0.98
    # Float forms, which differ by less than a thousandth: the share of equal texts.
    min_equal_float_texts: float = 0.9
    # int8 against float: how many times as fast a Listener chunk must be.
    min_speedup: float = 1.0
    # Dev recordings that are decoded of each set, and their seconds at most; 0 leaves decoding out.
    clips: int = 300
    set_seconds: float = 240.0
    # Dev recordings that are compared value by value.
    graph_clips: int = 6


@dataclass(frozen=True)
class Form:
    """A form of the model: an engine, and the manifest that describes its graphs under the engine's name."""

    label: str
    engine: Engine
    manifest: Manifest

    def listen(self, samples: FloatArray, step: int = 4000) -> Heard:
        """Run the Listener over samples (S,) that arrive in blocks."""
        stream = ListenerStream(self.engine, self.manifest)
        for start in range(0, len(samples), step):
            stream.accept(samples[start : start + step])
        heard = stream.finish()
        assert heard is not None
        return heard

    def speller(self, heard: Heard) -> EngineSpeller:
        """Bind the Speller to what was heard."""
        graph = self.manifest.engines[self.engine.name].speller
        return EngineSpeller(self.engine, graph, heard.encoded, heard.keys)

    def spell(self, heard: Heard, search: BeamConfig) -> tuple[int, ...]:
        """Spell greedily."""
        search = replace(search, max_tokens=len(heard.ctc_log_probs) + 4)
        return greedy_search(self.speller(heard), search).tokens


def check_float(
    torch_form: Form, form: Form, clips: Sequence[FloatArray], config: ParityConfig
) -> dict[str, float]:
    """Compare a float form with torch, chunk by chunk and step by step; return the largest differences.

    Raises: ParityError naming the tensor.
    """
    worst: dict[str, float] = {}
    for number, samples in enumerate(clips):
        expected, got = torch_form.listen(samples), form.listen(samples, step=1600 + 977 * number)
        whole, whole_middle = _whole(torch_form, samples)
        _note(worst, "whole_utterance", whole, got.encoded[0])
        for name in ("encoded", "keys", "ctc_log_probs"):
            _note(worst, name, getattr(expected, name), getattr(got, name))
        if expected.middle is not None and whole_middle is not None:
            middle = _middle(form, got)
            _note(worst, "whole_middle", whole_middle, middle[0])
            _note(worst, "middle", expected.middle, middle)
        for batch in (1, 3, 8):
            _note_steps(worst, torch_form, form, expected, batch)
    _check_states(worst, torch_form, form, clips[0])
    for name, difference in worst.items():
        if not difference <= config.max_float_difference:
            raise ParityError(
                f"{form.label}: {name} differs from torch by {difference:.2g}, "
                f"allowed is {config.max_float_difference:g}"
            )
    return worst


def check_rounded(
    float_form: Form, form: Form, clips: Sequence[FloatArray], config: ParityConfig
) -> dict[str, float]:
    """Compare the Listener and Speller of an int8 or float16 form with the float form's.

    Returns the worst SNRs in dB and the worst distances. Raises: ParityError with either.
    """
    worst: dict[str, float] = {}
    for number, samples in enumerate(clips):
        for name, value in _measure_rounded(float_form, form, samples, number).items():
            is_ratio = name.endswith("_db")
            limit = config.min_snr_db if is_ratio else config.max_distance
            worst[name] = (min if is_ratio else max)(worst.get(name, value), value)
            # Written so that a NaN fails.
            if not (value >= limit if is_ratio else value <= limit):
                raise ParityError(
                    f"{form.label}: {name} of clip {number} is {value:.3g}, "
                    f"must be at {'least' if is_ratio else 'most'} {limit:g}"
                )
    return worst


def _measure_rounded(float_form: Form, form: Form, samples: FloatArray, number: int) -> dict[str, float]:
    expected, got = float_form.listen(samples), form.listen(samples)
    measured = {
        "encoded_snr_db": snr_db(expected.encoded, got.encoded),
        "keys_snr_db": snr_db(expected.keys, got.keys),
        "ctc_distance": float(np.mean(_distances(expected.ctc_log_probs, got.ctc_log_probs))),
        "speller_distance": _speller_distance(float_form, form, expected, number),
    }
    if expected.middle is not None:
        measured["middle_snr_db"] = snr_db(expected.middle, _middle(form, got))
    return measured


def _middle(form: Form, heard: Heard) -> Array:
    if heard.middle is None:
        raise ParityError(f"{form.label}: gives no middle")
    return heard.middle


def _speller_distance(float_form: Form, form: Form, heard: Heard, number: int) -> float:
    """Lead both forms along the tokens that float spells; every row of the batch must stay close."""
    tokens = float_form.spell(heard, BeamConfig())[:30]
    steps = lead(float_form, form, heard, tokens, batch=(1, 3, 4, 6)[number % 4])
    return float(np.mean([np.max(_distances(expected, got)) for expected, got in steps]))


def lead(
    one: Form, other: Form, heard: Heard, tokens: Sequence[int], batch: int = 1
) -> Iterator[tuple[Array, Array]]:
    """Lead two forms along the same tokens, each on its own state: yield both's log probs (batch, V)."""
    spellers = [form.speller(heard) for form in (one, other)]
    states = [
        {name: np.repeat(array, batch, axis=0) for name, array in speller.initial_state().items()}
        for speller in spellers
    ]
    for token in (TokenTable.sos_id, *tokens):
        fed = np.full(batch, token, dtype=np.int64)
        first, states[0] = spellers[0].step(fed, states[0])
        second, states[1] = spellers[1].step(fed, states[1])
        yield first, second


def _distances(expected: Array, got: Array) -> Array:
    """Compute the total variation distance of each row of log probabilities."""
    distances: Array = 0.5 * np.sum(np.abs(np.exp(expected) - np.exp(got)), axis=-1)
    return distances


def snr_db(expected: Array, got: Array) -> float:
    """Compute the ratio of a signal to its error; -inf where the error is no number."""
    error = float(np.sum(np.square(expected - got, dtype=np.float64)))
    signal = float(np.sum(np.square(expected, dtype=np.float64)))
    if not np.isfinite(error):
        return -np.inf
    return 10.0 * float(np.log10(max(signal, 1e-30) / max(error, 1e-30)))


def _whole(torch_form: Form, samples: FloatArray) -> tuple[Array, Array | None]:
    assert isinstance(torch_form.engine, TorchEngine)
    tail = np.zeros(torch_form.manifest.listener.tail_padding_samples, dtype=np.float32)
    features = log_mel(np.concatenate([samples, tail]), torch_form.manifest.features)
    return torch_form.engine.encode_whole(features)


def _note(worst: dict[str, float], name: str, expected: Array, got: Array) -> None:
    if expected.shape != got.shape:
        raise ParityError(f"{name} is of shape {got.shape}, expected is {expected.shape}")
    scale = max(1.0, float(np.max(np.abs(expected))))
    difference = float(np.max(np.abs(expected - got), initial=0.0)) / scale
    # A NaN must not hide behind max().
    worst[name] = np.inf if np.isnan(difference) else max(worst.get(name, 0.0), difference)


def _note_steps(worst: dict[str, float], torch_form: Form, form: Form, heard: Heard, batch: int) -> None:
    """Spell a dozen steps with different tokens in each row, each form on its own state."""
    vocabulary = heard.ctc_log_probs.shape[1]
    rng = np.random.default_rng(batch)
    graph = form.manifest.engines[form.engine.name].speller
    start = speller_state(graph, heard.encoded.shape[1])
    expected: State = {name: np.repeat(array, batch, axis=0) for name, array in start.items()}
    got = dict(expected)
    mask = np.ones(heard.encoded.shape[:2], dtype=np.float32)
    for _ in range(12):
        token = rng.integers(0, vocabulary, size=batch)
        log_probs, expected = torch_form.engine.speller_step(token, heard.encoded, heard.keys, mask, expected)
        other, got = form.engine.speller_step(token, heard.encoded, heard.keys, mask, got)
        _note(worst, "log_probs", log_probs, other)
        for name in expected:
            _note(worst, name, expected[name], got[name])


def _check_states(worst: dict[str, float], torch_form: Form, form: Form, samples: FloatArray) -> None:
    """Compare every state after each of at least ten consecutive chunks."""
    entry = form.manifest.listener
    features = log_mel(samples, form.manifest.features)
    needed = 12 * entry.chunk_frames
    features = np.tile(features, (-(-needed // len(features)), 1))[:needed]
    expected = listener_states(form.manifest.engines[form.engine.name].listener)
    got = expected
    for start in range(0, needed, entry.chunk_frames):
        chunk = features[None, start : start + entry.chunk_frames]
        *_, expected = torch_form.engine.listener_chunk(chunk, expected)
        *_, got = form.engine.listener_chunk(chunk, got)
        for number, (a, b) in enumerate(zip(expected, got, strict=True)):
            _note(worst, f"state_{number}", a, b)
