"""Content and location-aware attention over the encoded frames."""

import torch
from torch import Tensor, nn

from edge_las.train.config import SpellerConfig

# Added to the energies of padded frames: exp(-30) vanishes beside real frames, and unlike -1e4 it survives
# int8.
MASKED_ENERGY = -30.0


class Attention(nn.Module):
    """One look over the encoded frames for each token.

    Source: Chorowski et al. 2015 (arXiv:1506.07503), equations 8 and 9; the location is the previous weights.
    """

    def __init__(self, config: SpellerConfig, encoded_dim: int) -> None:
        super().__init__()
        dim = config.attention_dim
        self.key = nn.Linear(encoded_dim, dim)
        self.query = nn.Linear(config.hidden, dim, bias=False)
        self.location = nn.Conv1d(
            1, config.location_channels, config.location_kernel_size,
            padding=config.location_kernel_size // 2, bias=False,
        )  # fmt: skip
        self.location_key = nn.Linear(config.location_channels, dim, bias=False)
        self.energy = nn.Linear(dim, 1, bias=False)

    def precompute(self, encoded: Tensor) -> Tensor:
        """Make the keys (N, T, A) of encoded frames (N, T, E), once an utterance."""
        return self.key(encoded)

    def filters(self) -> Tensor:
        """Give the location features' two layers as one: (kernel size, A). Once an utterance, in training."""
        return (self.location_key.weight @ self.location.weight[:, 0]).t()

    def forward(
        self,
        hidden: Tensor,
        alignment: Tensor,
        encoded: Tensor,
        keys: Tensor,
        bias: Tensor,
        filters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Look once: hidden (B, H), previous alignment (B, T), and, for N = B or N = 1 utterances,
        encoded (N, T, E), keys (N, T, A), bias (N, T) of `energy_bias`.

        Returns context (B, E), alignment (B, T).
        """
        size = filters.shape[0]
        # A matrix product over windows: a convolution of one channel costs five times as much to launch.
        windows = nn.functional.pad(alignment, (size // 2, size // 2)).unfold(1, size, 1)
        summed = torch.tanh(keys + windows @ filters + self.query(hidden).unsqueeze(1))
        weights = torch.softmax(torch.matmul(summed, self.energy.weight[0]) + bias, dim=1)
        context = torch.matmul(weights.unsqueeze(1), encoded).squeeze(1)
        return context, weights


def energy_bias(mask: Tensor) -> Tensor:
    """Make what keeps padded frames unseen, of a mask (N, T) with 1 = valid."""
    return (1.0 - mask) * MASKED_ENERGY
