"""Runs the Listener over one utterance while it arrives: features, chunks, states, delay and tail."""

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest
from edge_las.features import StreamingLogMel, num_frames
from edge_las.runtime.engine import Array, Engine, listener_states

FloatArray = npt.NDArray[np.float32]
# What a chunk gives, in order.
_ENCODED, _, _CTC, _MIDDLE = range(4)


@dataclass(frozen=True)
class Heard:
    """What the Listener made of an utterance: encoded (1, L, E), keys (1, L, A), ctc_log_probs (L, V).

    middle (1, L, M) is what a block between gives of the same frames, None if the model gives none.
    """

    encoded: Array
    keys: Array
    ctc_log_probs: Array
    middle: Array | None = None


class ListenerStream:
    """The Listener of one utterance; the result is the same however the samples are cut."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine = engine
        self._manifest = manifest
        self._log_mel = StreamingLogMel(manifest.features)
        self._waiting = np.zeros((0, manifest.features.n_mels), dtype=np.float32)
        self._states = listener_states(manifest.engines[engine.name].listener)
        self._outputs: list[tuple[Array, Array, Array, Array]] = []
        listener = manifest.listener
        self._sizes = {
            _ENCODED: listener.encoded_dim, _CTC: manifest.tokens.size, _MIDDLE: listener.middle_dim
        }  # fmt: skip
        self._frames_fed = 0
        self.num_samples = 0

    def accept(self, samples: FloatArray) -> None:
        """Take samples (s,) and run the chunks that they complete."""
        self.num_samples += samples.shape[0]
        self._run(self._log_mel.accept(samples))

    def ctc_log_probs(self, start: int) -> Array:
        """Return the CTC log probs so far from encoded frame `start` on, (l, V)."""
        rows: Array = self._so_far(_CTC, start, self._manifest.listener.delay_frames)[0]
        return rows

    def heard_from(self, start: int) -> tuple[Array, Array]:
        """Return what is encoded so far from frame `start` on, (1, l, E), and the middle of the same frames.

        It is (1, l, M); M is 0 if the model gives none.
        """
        listener = self._manifest.listener
        encoded = self._so_far(_ENCODED, start, listener.delay_frames)
        # It is known earlier.
        middle = self._so_far(_MIDDLE, start, listener.middle_delay_frames)
        return encoded, middle[:, : encoded.shape[1]]

    def _so_far(self, part: int, start: int, delay: int) -> Array:
        """Return an output of the graph, late by so many frames, from frame `start` on: (1, l, D)."""
        chunk_size = self._manifest.listener.chunk_frames // self._manifest.listener.subsampling
        first = start + delay
        chunks = [outputs[part] for outputs in self._outputs[first // chunk_size :]]
        if not chunks:
            return np.zeros((1, 0, self._sizes[part]), dtype=np.float32)
        frames: Array = np.concatenate(chunks, axis=1)[:, first % chunk_size :]
        return frames

    def heard_so_far(self) -> Heard | None:
        """Return what `finish` would now; the stream goes on."""
        # Arrays are never written to once made: a shallow copy is a stream of its own.
        twin = copy.copy(self)
        twin._log_mel = copy.copy(self._log_mel)
        twin._outputs = list(self._outputs)
        return twin.finish()

    def finish(self) -> Heard | None:
        """Pad the end as the manifest says and run what is left; None if there is not one encoded frame."""
        entry, features = self._manifest.listener, self._manifest.features
        frames = num_frames(self.num_samples + entry.tail_padding_samples, features)
        valid = -(-frames // entry.subsampling)
        if valid == 0:
            return None
        chunks = -(-(valid + entry.delay_frames) * entry.subsampling // entry.chunk_frames)
        samples = (chunks * entry.chunk_frames - 1) * features.hop_length + features.win_length
        padding = np.zeros(samples - self.num_samples, dtype=np.float32)
        self._run(self._log_mel.accept(padding))
        self._run(self._log_mel.finish())
        assert self._frames_fed == chunks * entry.chunk_frames
        delays = (entry.delay_frames,) * 3 + (entry.middle_delay_frames,)
        encoded, keys, ctc, middle = (
            np.ascontiguousarray(np.concatenate(parts, axis=1)[:, delay : delay + valid])
            for parts, delay in zip(zip(*self._outputs, strict=True), delays, strict=True)
        )
        return Heard(encoded, keys, ctc[0], middle if entry.middle_dim else None)

    def _run(self, features: FloatArray) -> None:
        size = self._manifest.listener.chunk_frames
        self._waiting = np.concatenate([self._waiting, features])
        while self._waiting.shape[0] >= size:
            chunk, self._waiting = self._waiting[None, :size], self._waiting[size:]
            encoded, keys, ctc_log_probs, middle, self._states = self._engine.listener_chunk(
                chunk, self._states
            )
            if middle is None:
                middle = np.zeros((*encoded.shape[:2], 0), dtype=np.float32)
            self._outputs.append((encoded, keys, ctc_log_probs, middle))
            self._frames_fed += size
