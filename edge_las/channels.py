"""Several channels to one."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# 20 dB below the loudest channel: two unlike sounds lose 3 dB in their mean, only opposite ones so much.
_CANCELLED = 0.01
# A channel at most 3 dB below the loudest: of several the first, so that the choice does not flip.
_NEARLY_LOUDEST = 0.5


class ChannelMixer:
    """Mixes one stream down by the mean of its channels; where they cancel each other out, one is taken.

    A microphone wired with one side inverted, or the side signal of a stereo pair, would else be silence.
    """

    # Whether one is taken; so it is, too, of many where only one holds sound.
    takes_one = False

    def __init__(self, channels: int) -> None:
        self._mixed_energy = 0.0
        self._energies = np.zeros(channels)

    def accept(self, samples: FloatArray) -> FloatArray:
        """Mix samples (s, channels) down to (s,)."""
        if samples.shape[1] == 1:
            return np.ascontiguousarray(samples[:, 0])
        mixed: FloatArray = samples.mean(axis=1, dtype=np.float32)
        # Of all so far: a short block says little, and a choice per block would be heard as clicks.
        self._energies += np.einsum("sc,sc->c", samples, samples)
        self._mixed_energy += float(mixed @ mixed)
        loudest = float(self._energies.max())
        self.takes_one = self._mixed_energy < _CANCELLED * loudest
        if not self.takes_one:
            return mixed
        chosen = int(np.argmax(self._energies >= _NEARLY_LOUDEST * loudest))
        return np.ascontiguousarray(samples[:, chosen])
