"""The trained model behind the runtime's engine interface: the reference of all parity checks."""

import numpy as np
import torch
from torch import Tensor

from edge_las.runtime.engine import Array, State
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel


class TorchEngine:
    """Runs the checkpoint as it was trained: nothing folded, nothing exported."""

    name = "torch"

    def __init__(self, model: LasModel) -> None:
        assert isinstance(model.listener, CompactListener)
        self._model, self._listener = model, model.listener

    @torch.inference_mode()
    def listener_chunk(self, features: Array, states: list[Array]) -> tuple[Array, Array, Array, list[Array]]:
        """Run one chunk of features (1, chunk_frames, n_mels)."""
        encoded, state = self._listener.chunk(_tensor(features), [_tensor(held) for held in states])
        keys = self._model.speller.attention.precompute(encoded)
        ctc_log_probs = self._model.ctc_log_probs(encoded)
        return encoded.numpy(), keys.numpy(), ctc_log_probs.numpy(), [held.numpy() for held in state]

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
    def encode_whole(self, features: Array) -> Array:
        """Encode an utterance at once, as in training: features (T, n_mels) -> (L, E)."""
        encoded, _ = self._listener(_tensor(features)[None], torch.tensor([len(features)]))
        array: Array = encoded[0].numpy()
        return array


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
