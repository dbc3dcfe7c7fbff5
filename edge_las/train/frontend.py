"""Log-mel features on the training device, from the very arrays of `edge_las.features`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.features import FeatureConfig, hann_window, mel_filterbank


class LogMel(nn.Module):
    """What `edge_las.features.log_mel` computes, for batches and on any device."""

    window: Tensor
    filters: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        window = torch.zeros(config.n_fft)
        window[: config.win_length] = torch.tensor(hann_window(config))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", torch.tensor(mel_filterbank(config)), persistent=False)

    @torch.autocast("cuda", enabled=False)
    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From samples (N, S), zero after their lengths (N,), make features (N, T, n_mels), counts (N,)."""
        config = self.config
        frames = torch.div(lengths - config.win_length, config.hop_length, rounding_mode="floor") + 1
        last = (int(frames.max()) - 1) * config.hop_length + config.n_fft
        samples = F.pad(samples, (0, max(0, last - samples.shape[1])))[:, :last]
        windows = samples.unfold(1, config.n_fft, config.hop_length) * self.window
        spectrum = torch.fft.rfft(windows)
        power = spectrum.real.square() + spectrum.imag.square()  # abs() would take roots
        return torch.log(power @ self.filters + config.log_offset), frames.clamp(min=0)
