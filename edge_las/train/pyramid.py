"""The paper's Listener (Chan et al. 2015, arXiv:1508.01211, section 3.1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.train.blocks import frame_mask, subsampled
from edge_las.train.config import PyramidListenerConfig
from edge_las.train.norm import MaskedBatchNorm


class PyramidListener(nn.Module):
    """The paper's pyramidal BLSTM: each further layer reads pairs of frames. Whole utterances only."""

    intermediate: Tensor | None = None
    middle: Tensor | None = None

    def __init__(self, config: PyramidListenerConfig, n_mels: int) -> None:
        super().__init__()
        self.subsampling = 2**config.pyramid_layers
        self.encoded_dim = config.encoded_dim
        self.norm_in = MaskedBatchNorm(n_mels)
        sizes = [n_mels] + [4 * config.hidden] * config.pyramid_layers
        self.layers = nn.ModuleList(
            nn.LSTM(size, config.hidden, batch_first=True, bidirectional=True) for size in sizes
        )
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(2 * config.hidden, config.encoded_dim)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances: features (N, T, n_mels) -> (N, T', encoded_dim), their lengths (N,)."""
        mask = frame_mask(lengths, features.shape[1])
        x = self.norm_in(features.transpose(1, 2), mask) * mask
        x = x.transpose(1, 2)
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2)).reshape(x.shape[0], -1, 2 * x.shape[2])
                lengths = subsampled(lengths, 2)
            packed = nn.utils.rnn.pack_padded_sequence(
                x, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            x, _ = nn.utils.rnn.pad_packed_sequence(
                layer(packed)[0], batch_first=True, total_length=x.shape[1]
            )
            x = self.dropout(x)
        return self.out(x), lengths
