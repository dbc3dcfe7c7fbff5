"""What is exported, exactly: the Listener's chunk and the Speller's step as modules of plain tensors."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.train.attention import MASKED_ENERGY
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel

LISTENER_OUTPUTS = ("encoded", "keys", "ctc_log_probs")
# Of a model whose head of phones hears it.
MIDDLE_OUTPUT = "middle"
SPELLER_STATES = ("hidden", "cell", "context", "alignment")


@dataclass(frozen=True)
class Graph:
    """A module, example inputs in order, names of outputs, and dynamic sizes {input: {axis: size}}."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]]


class ListenerChunk(nn.Module):
    """The compact Listener with its normalisations folded, the attention's keys and the CTC head.

    Where a head of phones hears the intermediate block, what that gives is tapped off, at its own delay.
    """

    def __init__(self, model: LasModel) -> None:
        super().__init__()
        assert isinstance(model.listener, CompactListener)
        self.listener = copy.deepcopy(model.listener).fold_norms()
        self.key = _Dense(model.speller.attention.key)
        self.ctc_head = _Dense(model.ctc_head)
        self.gives_middle = model.frame_phone_head is not None

    def forward(self, features: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """From features (1, T, n_mels) make encoded (1, T / 4, E), keys, CTC log probs, next states.

        Before the states, where it is given, middle (1, T / 4, M).
        """
        encoded, middle, next_state = self.listener.chunk_with_middle(features, list(state))
        frames = encoded.squeeze(0)
        ctc_log_probs = torch.log_softmax(self.ctc_head(frames), dim=1)
        results = [encoded, self.key(frames).unsqueeze(0), ctc_log_probs.unsqueeze(0)]
        if self.gives_middle and middle is not None:
            results.append(middle)
        return *results, *next_state


class SpellerStep(nn.Module):
    """One token for B hypotheses that share the encoded frames of one utterance."""

    def __init__(self, model: LasModel) -> None:
        super().__init__()
        speller, cell, attention = model.speller, model.speller.cell, model.speller.attention
        self.embedding = nn.Parameter(speller.embedding.weight.detach().clone())
        self.gates = _Dense.of(
            torch.cat([cell.weight_ih, cell.weight_hh], dim=1), cell.bias_ih + cell.bias_hh
        )
        self.query = _Dense(attention.query)
        self.location = copy.deepcopy(attention.location)
        self.location_key = _Dense(attention.location_key)
        self.energy = _Dense(attention.energy)
        self.out = _Dense(speller.out)

    def forward(
        self, token: Tensor, encoded: Tensor, keys: Tensor, mask: Tensor,
        hidden: Tensor, cell: Tensor, context: Tensor, alignment: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """From token (B,), encoded (1, T, E), keys (1, T, A), mask (1, T): log probs (B, V), next state."""
        embedded = torch.nn.functional.embedding(token, self.embedding)
        # PyTorch's order of the gates: in, forget, cell, out.
        i, f, g, o = self.gates(torch.cat([embedded, context, hidden], dim=1)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        located = self.location_key(_rows(self.location(alignment.unsqueeze(1)).transpose(1, 2)))
        located = located.reshape(*alignment.shape, located.shape[1])
        summed = torch.tanh(keys + located + self.query(hidden).unsqueeze(1))
        energies = self.energy(_rows(summed)).reshape(alignment.shape) + (1.0 - mask) * MASKED_ENERGY
        alignment = torch.softmax(energies, dim=1)
        context = torch.matmul(alignment, encoded.squeeze(0))
        log_probs = torch.log_softmax(self.out(torch.cat([hidden, context], dim=1)), dim=1)
        return log_probs, hidden, cell, context, alignment


class _Dense(nn.Module):
    """A linear layer whose weight is stored [in, out]: one Gemm, which int8 kernels take whole."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().t().contiguous())
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
        self.bias = nn.Parameter(bias.detach().clone())

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> "_Dense":
        """Take weight (out, in) and bias (out,)."""
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        return cls(linear)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, in) -> (rows, out)."""
        return torch.addmm(self.bias, x, self.weight)


def _rows(x: Tensor) -> Tensor:
    """(B, T, C) -> (B T, C): what a dense layer takes."""
    return x.reshape(-1, x.shape[2])


def listener_graph(model: LasModel, chunk_frames: int) -> Graph:
    """Describe the Listener's chunk.

    Raises: ConfigError where the model's Listener can't stream, or not in chunks of this size.
    """
    listener = model.listener
    if not isinstance(listener, CompactListener):
        raise ConfigError(f"listener is {model.config.listener!r}: only the compact Listener runs in chunks")
    if chunk_frames < 1 or chunk_frames % listener.subsampling:
        raise ConfigError(f"chunk_frames is {chunk_frames}, must be a multiple of {listener.subsampling}")
    state = listener.initial_state(1)
    names = [f"state_{i}" for i in range(len(state))]
    features = torch.zeros(1, chunk_frames, listener.n_mels)
    middle = (MIDDLE_OUTPUT,) if model.frame_phone_head is not None else ()
    outputs = (*LISTENER_OUTPUTS, *middle, *(f"next_{name}" for name in names))
    inputs = {"features": features, **dict(zip(names, state, strict=True))}
    return Graph(ListenerChunk(model).eval(), inputs, outputs, {})


def speller_graph(model: LasModel, batch: int = 3, frames: int = 13) -> Graph:
    """Describe the Speller's step; batch and frames are dynamic, those of the example as given."""
    # By default sizes that differ from each other and from 1, so that none is taken for a constant.
    state = model.speller.initial_state(batch, frames)
    keys = torch.zeros(1, frames, model.speller.attention.key.out_features)
    inputs = {
        "token": torch.zeros(batch, dtype=torch.int64),
        "encoded": torch.zeros(1, frames, model.listener.encoded_dim),
        "keys": keys,
        "mask": torch.ones(1, frames),
        **{name: state[name] for name in SPELLER_STATES},
    }
    dynamic = {name: {1: "frames"} for name in ("encoded", "keys", "mask")}
    dynamic |= {name: {0: "batch"} for name in ("token", "hidden", "cell", "context")}
    dynamic["alignment"] = {0: "batch", 1: "frames"}
    outputs = ("log_probs", *(f"next_{name}" for name in SPELLER_STATES))
    return Graph(SpellerStep(model).eval(), inputs, outputs, dynamic)
