"""Runs the Listener over one utterance while it arrives: features, chunks, states, delay and tail."""

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest
from edge_las.features import StreamingLogMel, num_frames
from edge_las.runtime.engine import Array, Engine, listener_states

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """What the Listener made of an utterance: encoded (1, L, E), keys (1, L, A), ctc_log_probs (L, V)."""

    encoded: Array
    keys: Array
    ctc_log_probs: Array


class ListenerStream:
    """The Listener of one utterance; the result is the same however the samples are cut."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine = engine
        self._manifest = manifest
        self._log_mel = StreamingLogMel(manifest.features)
        self._waiting = np.zeros((0, manifest.features.n_mels), dtype=np.float32)
        self._states = listener_states(manifest.engines[engine.name].listener)
        self._outputs: list[tuple[Array, Array, Array]] = []
        self._frames_fed = 0
        self.num_samples = 0

    def accept(self, samples: FloatArray) -> None:
        """Take samples (s,) and run the chunks that they complete."""
        self.num_samples += samples.shape[0]
        self._run(self._log_mel.accept(samples))

    def ctc_log_probs(self, start: int) -> Array:
        """Return the CTC log probs so far from encoded frame `start` on, (l, V)."""
        chunk_size = self._manifest.listener.chunk_frames // self._manifest.listener.subsampling
        first = start + self._manifest.listener.delay_frames
        chunks = [ctc[0] for _, _, ctc in self._outputs[first // chunk_size :]]
        if not chunks:
            return np.zeros((0, self._manifest.tokens.size), dtype=np.float32)
        rows: Array = np.concatenate(chunks)[first % chunk_size :]
        return rows

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
        kept = slice(entry.delay_frames, entry.delay_frames + valid)
        encoded, keys, ctc = (
            np.concatenate(parts, axis=1)[:, kept] for parts in zip(*self._outputs, strict=True)
        )
        return Heard(np.ascontiguousarray(encoded), np.ascontiguousarray(keys), ctc[0])

    def _run(self, features: FloatArray) -> None:
        size = self._manifest.listener.chunk_frames
        self._waiting = np.concatenate([self._waiting, features])
        while self._waiting.shape[0] >= size:
            chunk, self._waiting = self._waiting[None, :size], self._waiting[size:]
            encoded, keys, ctc_log_probs, self._states = self._engine.listener_chunk(chunk, self._states)
            self._outputs.append((encoded, keys, ctc_log_probs))
            self._frames_fed += size
