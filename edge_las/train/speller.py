"""The Speller: spells one token a step, state in and state out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edge_las.train.attention import Attention, energy_bias
from edge_las.train.config import SpellerConfig

State = dict[str, Tensor]  # hidden (B, H), cell (B, H), context (B, E), alignment (B, T)
TrainingPass = Callable[[Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


class Speller(nn.Module):
    """A recurrent network over the last token and the last context; its state asks the attention.

    Source: Chan et al. 2015 (arXiv:1508.01211), equations 6 to 8.
    """

    def __init__(self, config: SpellerConfig, encoded_dim: int, num_tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, config.embedding_dim)
        self.cell = nn.LSTMCell(config.embedding_dim + encoded_dim, config.hidden)
        self.attention = Attention(config, encoded_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.hidden + encoded_dim, num_tokens)
        self.hidden_dim, self.encoded_dim = config.hidden, encoded_dim
        # What spells in training instead of the loop below (edge_las/train/compiled_speller.py).
        self.training_pass: TrainingPass | None = None

    def initial_state(self, batch: int, frames: int) -> State:
        """Make the state before the first token: all zeros."""
        zeros = self.out.weight.new_zeros
        return {
            "hidden": zeros(batch, self.hidden_dim),
            "cell": zeros(batch, self.hidden_dim),
            "context": zeros(batch, self.encoded_dim),
            "alignment": zeros(batch, frames),
        }

    def step(
        self, token: Tensor, state: State, encoded: Tensor, keys: Tensor, mask: Tensor
    ) -> tuple[Tensor, State]:
        """Spell one token: token (B,) and the attention's inputs -> log_probs (B, V), next state."""
        look = (encoded, keys, energy_bias(mask), self.attention.filters())
        state = self.advance(self.embedding(token), state, *look)
        logits = self.out(torch.cat([state["hidden"], state["context"]], dim=1))
        return torch.log_softmax(logits.float(), dim=1), state

    def advance(self, heard: Tensor, state: State, *look: Tensor) -> State:
        """Hear one token, embedded (B, D), and look once, at what the attention takes after the alignment."""
        inputs = torch.cat([heard, state["context"]], dim=1)
        hidden, cell = self.cell(inputs, (state["hidden"], state["cell"]))
        context, alignment = self.attention(hidden, state["alignment"], *look)
        return {"hidden": hidden, "cell": cell, "context": context, "alignment": alignment}

    def teacher_forced(
        self, tokens: Tensor, encoded: Tensor, keys: Tensor, mask: Tensor, sampling: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Spell along known tokens (N, U), <sos> first: logits (N, U, V), alignments (N, U, T).

        `sampling` is the probability of hearing the own last guess instead of the known token (scheduled
        sampling, Bengio et al. 2015, arXiv:1506.03099).
        """
        # In float32: a step is made of small operations, and casting each operand would double their number.
        with torch.autocast(encoded.device.type, enabled=False):
            encoded = encoded.float()
            if self.training and self.training_pass is not None:
                return self.training_pass(tokens, encoded, keys.float(), mask, sampling)
            look = (encoded, keys.float(), energy_bias(mask), self.attention.filters())
            state = self.initial_state(encoded.shape[0], encoded.shape[1])
            hidden: list[Tensor] = []
            contexts: list[Tensor] = []
            alignments: list[Tensor] = []
            for heard in self.dropout(self.embedding(tokens)).unbind(dim=1):
                if sampling > 0.0 and hidden:
                    heard = self.maybe_own_guess(heard, state, sampling)
                state = self.advance(heard, state, *look)
                hidden.append(state["hidden"])
                contexts.append(state["context"])
                alignments.append(state["alignment"])
            seen = torch.cat([torch.stack(hidden, dim=1), torch.stack(contexts, dim=1)], dim=2)
            return self.out(self.dropout(seen)), torch.stack(alignments, dim=1)

    def maybe_own_guess(self, heard: Tensor, state: State, sampling: float) -> Tensor:
        """Let clips hear, with probability `sampling`, their own last guess instead of `heard` (N, D)."""
        with torch.no_grad():
            seen = torch.cat([state["hidden"], state["context"]], dim=1)
            guess = self.embedding(self.out(seen).argmax(dim=1))
        own = torch.rand(len(heard), 1, device=heard.device) < sampling
        return torch.where(own, guess, heard)
