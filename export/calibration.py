"""The speech that int8 ranges are measured on: which recordings, how loud, and what the graphs then see."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_las.errors import ConfigError
from edge_las.features import log_mel
from edge_las.tokens import TokenTable
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel
from export.recordings import FloatArray, Recording, spread

Feed = dict[str, npt.NDArray]  # the inputs of one call of a graph

# Silence of a second, so that ranges hold what a microphone gives before and after speech.
_MANNERS = ("plain", "quiet", "noisy")
_LEAD_SAMPLES, _QUIETEST_DB, _NOISE_SNR_DB = 4000, -30.0, 10.0


@dataclass(frozen=True)
class CalibrationConfig:
    """How many recordings are heard; data sets named like one of `exclude` are synthetic speech."""

    clips: int = 120
    max_seconds: float = 8.0
    exclude: tuple[str, ...] = ("kokoro*", "synth*")


@dataclass(frozen=True)
class CalibrationClip:
    """A recording and how it is played: "plain", "quiet" or "noisy"."""

    recording: Recording
    manner: str

    def samples(self, max_samples: int) -> FloatArray:
        """Make the samples (S,), with a little silence before them."""
        heard = self.recording.samples()[:max_samples]
        if self.manner == "quiet":
            heard = heard * np.float32(10.0 ** (_QUIETEST_DB / 20.0))
        heard = np.concatenate([np.zeros(_LEAD_SAMPLES, dtype=np.float32), heard])
        if self.manner == "noisy":
            heard = heard + _noise(heard, self.recording.id)
        return np.clip(heard, -1.0, 1.0)


def choose(recordings: Sequence[Recording], config: CalibrationConfig) -> list[CalibrationClip]:
    """Choose by rule: real training speech, data sets in turn, speakers in turn, manner by hash.

    Raises: ConfigError if there is none.
    """
    real = [r for r in recordings if not any(fnmatchcase(r.dataset, name) for name in config.exclude)]
    usable = [r for r in real if r.split == "train"]
    if not usable:
        raise ConfigError("no recording of real speech in split train to calibrate on")
    return [CalibrationClip(r, _manner(r.id)) for r in spread(usable, config.clips)]


def _manner(name: str) -> str:
    return _MANNERS[sha256(name.encode()).digest()[-1] % len(_MANNERS)]


def list_hash(clips: list[CalibrationClip]) -> str:
    """Hash which recordings are played, and how: 64 hexadecimal digits."""
    lines = [f"{clip.recording.id}\t{clip.manner}\n" for clip in clips]
    return sha256("".join(lines).encode()).hexdigest()


@torch.no_grad()
def listener_feeds(model: LasModel, features: FloatArray, chunk_frames: int) -> tuple[list[Feed], Tensor]:
    """Cut features (T, n_mels) into chunks: the inputs of each call; and encoded (1, L, E), undelayed."""
    listener = model.listener
    assert isinstance(listener, CompactListener)
    valid = -(-len(features) // listener.subsampling)
    chunks = -(-(valid + listener.delay) * listener.subsampling // chunk_frames)
    padding = torch.full((chunks * chunk_frames - len(features), listener.n_mels), listener.silence)
    padded = torch.cat([torch.from_numpy(features), padding])[None]
    state = listener.initial_state(1)
    feeds, outputs = [], []
    for chunk in padded.split(chunk_frames, dim=1):
        feeds.append(_feed(features=chunk, **{f"state_{i}": held for i, held in enumerate(state)}))
        encoded, state = listener.chunk(chunk, state)
        outputs.append(encoded)
    return feeds, torch.cat(outputs, dim=1)[:, listener.delay : listener.delay + valid]


@torch.no_grad()
def speller_feeds(model: LasModel, encoded: Tensor, text_ids: list[int]) -> list[Feed]:
    """Spell encoded (1, L, E) twice, along the transcript and along own guesses: the inputs of each call."""
    keys, mask = model.speller.attention.precompute(encoded), torch.ones(encoded.shape[:2])
    # Row 0 is told the transcript, row 1 hears its own guess; both together are what a beam looks like.
    told = [TokenTable.sos_id, *text_ids]
    own, state = TokenTable.sos_id, model.speller.initial_state(2, encoded.shape[1])
    feeds = []
    for known in told:
        token = torch.tensor([known, own])
        feeds.append(_feed(token=token, encoded=encoded, keys=keys, mask=mask, **state))
        log_probs, state = model.speller.step(token, state, encoded, keys, mask)
        own = int(log_probs[1].argmax())
    return feeds


def feeds_of(
    model: LasModel, tokens: TokenTable, clips: list[CalibrationClip], chunk_frames: int, max_seconds: float
) -> Iterator[tuple[list[Feed], list[Feed]]]:
    """Yield, for each clip, what the Listener's chunk and the Speller's step are given."""
    config = model.config.features
    for clip in clips:
        samples = clip.samples(int(max_seconds * config.sample_rate))
        tail = np.zeros(model.config.tail_padding_samples, dtype=np.float32)
        features = log_mel(np.concatenate([samples, tail]).astype(np.float32), config)
        chunks, encoded = listener_feeds(model, features, chunk_frames)
        yield chunks, speller_feeds(model, encoded, tokens.encode(clip.recording.text))


def _feed(**tensors: Tensor) -> Feed:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _noise(speech: FloatArray, seed: str) -> FloatArray:
    """Make noise falling 3 dB an octave, the same for the same seed."""
    rng = np.random.default_rng(int.from_bytes(sha256(seed.encode()).digest()[:8], "big"))
    spectrum = np.fft.rfft(rng.standard_normal(len(speech)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0))
    noise = np.fft.irfft(spectrum, len(speech))
    power = float(np.mean(np.square(speech, dtype=np.float64))) + 1e-12
    gain = math.sqrt(power / float(np.mean(np.square(noise)))) * 10.0 ** (-_NOISE_SNR_DB / 20.0)
    return (gain * noise).astype(np.float32)
