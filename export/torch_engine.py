"""The trained model behind the runtime's engine interface: the reference of all parity checks."""

import numpy as np
import torch
from torch import Tensor

from edge_las.runtime.engine import Array, Listened, State
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel


class TorchEngine:
    """Runs the checkpoint as it was trained: nothing folded, nothing exported."""

    name = "torch"

    def __init__(self, model: LasModel) -> None:
        assert isinstance(model.listener, CompactListener)
        self._model, self._listener = model, model.listener

    @torch.inference_mode()
    def listener_chunk(self, features: Array, states: list[Array]) -> Listened:
        """Run one chunk of features (1, chunk_frames, n_mels)."""
        before = [_tensor(held) for held in states]
        encoded, middle, state = self._listener.chunk_with_middle(_tensor(features), before)
        keys = self._model.speller.attention.precompute(encoded)
        ctc_log_probs = self._model.ctc_log_probs(encoded)
        tapped = middle.numpy() if self._listener.keeps_middle and middle is not None else None
        after = [held.numpy() for held in state]
        return encoded.numpy(), keys.numpy(), ctc_log_probs.numpy(), tapped, after

    @torch.inference_mode()
    def speller_step(
        self, token: Array, encoded: Array, keys: Array, mask: Array, state: State
    ) -> tuple[Array, State]:
        """Run one step for B hypotheses over shared encoded frames."""
        before = {name: _tensor(array) for name, array in state.items()}
        tensors = [_tensor(array) for array in (encoded, keys, mask)]
        log_probs, after = self._model.speller.step(_tensor(token), before, *tensors)
        return log_probs.numpy(), {name: tensor.numpy() for name, tensor in after.items()}

    @torch.inference_mode()
    def encode_whole(self, features: Array) -> tuple[Array, Array | None]:
        """Encode an utterance at once, as in training: features (T, n_mels) -> (L, E); middle (L, M)."""
        encoded, middle, _ = self._model.hear(_tensor(features)[None], torch.tensor([len(features)]))
        return encoded[0].numpy(), None if middle is None else middle[0].numpy()


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
