"""The Speller's loop for training on CPUs: the same sums as `speller.py`, in 0.6 of the time.

A step is one compiled function (TorchInductor), and what a weight learns from all steps is one matrix product
after them: with a dozen clips a batch, adding up a weight's gradient step by step took longer than the steps.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_las.train.attention import energy_bias
from edge_las.train.speller import Speller


def teacher_forced(
    speller: Speller, tokens: Tensor, encoded: Tensor, keys: Tensor, mask: Tensor, sampling: float
) -> tuple[Tensor, Tensor]:
    """What `Speller.teacher_forced` computes: logits (N, U, V), alignments (N, U, T)."""
    cell, attention = speller.cell, speller.attention
    (n, length), frames = tokens.shape, encoded.shape[1]
    state = speller.initial_state(n, frames)
    weight = torch.cat([cell.weight_ih, cell.weight_hh], dim=1)
    heard_in_all: list[Tensor] = []
    looked_in_all: list[Tensor] = []
    gates = _Late.apply(weight, (length, n, len(weight)), heard_in_all, "und,uni->di")
    contexts = _Late.apply(encoded, (length, n, encoded.shape[2]), looked_in_all, "une,unt->nte")
    given = zip((gates + (cell.bias_ih + cell.bias_hh)).unbind(), contexts.unbind(), strict=True)
    filters = attention.filters()
    still, narrow = encoded.detach(), weight.detach().bfloat16()
    look = (attention.query.weight, filters, attention.energy.weight[0], keys, energy_bias(mask), still)
    states: list[tuple[Tensor, ...]] = []
    for heard, late in zip(speller.dropout(speller.embedding(tokens)).unbind(dim=1), given, strict=True):
        if sampling > 0.0 and states:
            heard = speller.maybe_own_guess(heard, state, sampling)
        inputs = torch.cat([heard, state["context"], state["hidden"]], dim=1)
        padded = F.pad(state["alignment"], (len(filters) // 2, len(filters) // 2))
        heard_in_all.append(inputs.detach())
        values = (inputs, state["cell"], padded, *late)
        _vary(values, (*look[3:], padded))
        new = _step(*values, narrow, *look)
        state = dict(zip(("hidden", "cell", "context", "alignment"), new, strict=True))
        looked_in_all.append(state["alignment"].detach())
        states.append(new)
    hidden, _, context, alignments = (
        torch.stack(all_steps, dim=1) for all_steps in zip(*states, strict=True)
    )
    return speller.out(speller.dropout(torch.cat([hidden, context], dim=2))), alignments


def _vary(batched: tuple[Tensor, ...], timed: tuple[Tensor, ...]) -> None:
    """Tell the compiler what changes from batch to batch."""
    for values in (*batched, *timed):
        torch._dynamo.mark_dynamic(values, 0)
    for values in timed:
        torch._dynamo.mark_dynamic(values, 1)


@torch.compile
def _step(
    inputs: Tensor,
    cell: Tensor,
    padded: Tensor,
    gates: Tensor,
    context: Tensor,
    weight: Tensor,
    query: Tensor,
    filters: Tensor,
    energy: Tensor,
    keys: Tensor,
    bias: Tensor,
    encoded: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hear once and look once, as `Speller.advance` does: next hidden, cell, context, alignment."""
    i, f, g, o = (F.linear(inputs.bfloat16(), weight) + gates).chunk(4, dim=1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    hidden = torch.sigmoid(o) * torch.tanh(cell)
    windows = padded.unfold(1, filters.shape[0], 1)
    summed = torch.tanh(keys + windows @ filters + F.linear(hidden, query)[:, None])
    alignment = torch.softmax(summed @ energy + bias, dim=1)
    context = context + torch.bmm(alignment[:, None], encoded)[:, 0]
    return hidden, cell, context, alignment


class _Late(torch.autograd.Function):
    """Zeros to add to what a loop's steps make with a weight that they see detached.

    What comes back to them is all that the weight's gradient needs beside the steps' inputs, which `inputs`
    holds by then: the einsum `equation` of both.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, shape: tuple[int, ...], inputs: list[Tensor], equation: str
    ) -> Tensor:
        ctx.inputs, ctx.equation = inputs, equation
        return weight.new_zeros(shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return torch.einsum(ctx.equation, grad, torch.stack(ctx.inputs)), None, None, None
