"""Raw PCM of any rate, width and number of channels, as it arrives, into samples at one rate."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.audio import StreamingResampler
from edge_las.channels import ChannelMixer
from edge_las.containers import integer_pcm
from edge_las.errors import AudioError

FloatArray = npt.NDArray[np.float32]

_RATES_HZ = (4000, 384000)
_MAX_CHANNELS = 16


@dataclass(frozen=True)
class PcmFormat:
    """Interleaved little-endian PCM; width is bytes a sample: 1 unsigned, 2 to 4 signed."""

    rate: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        values = (self.rate, self.width, self.channels)
        if any(type(value) is not int for value in values):
            raise AudioError("rate, width and channels must be whole numbers")
        if not _RATES_HZ[0] <= self.rate <= _RATES_HZ[1]:
            raise AudioError(f"rate is {self.rate}, must be {_RATES_HZ[0]} to {_RATES_HZ[1]} Hz")
        if not 1 <= self.width <= 4:
            raise AudioError(f"width is {self.width}, must be 1 to 4 bytes")
        if not 1 <= self.channels <= _MAX_CHANNELS:
            raise AudioError(f"channels is {self.channels}, must be 1 to {_MAX_CHANNELS}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels


class PcmStream:
    """Turns one stream of PCM into mono float32 at sample_rate."""

    def __init__(self, form: PcmFormat, sample_rate: int) -> None:
        self._form = form
        self._mixer = ChannelMixer(form.channels)
        self._resampler = StreamingResampler(form.rate, sample_rate)

    def accept(self, raw: bytes) -> FloatArray:
        """Take whole frames of PCM; return the samples that are ready (s,).

        Raises: AudioError if they are not whole.
        """
        if len(raw) % self._form.frame_bytes:
            raise AudioError(f"{len(raw)} bytes are no whole frames of {self._form.frame_bytes}")
        samples = integer_pcm(raw, self._form.width).reshape(-1, self._form.channels)
        return self._resampler.accept(self._mixer.accept(samples))

    def finish(self) -> FloatArray:
        """Return the samples still held."""
        return self._resampler.finish()
