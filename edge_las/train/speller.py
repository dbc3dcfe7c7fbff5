"""The Speller: spells one token a step, state in and state out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.train.attention import Attention
from edge_las.train.config import SpellerConfig

State = dict[str, Tensor]  # hidden (B, H), cell (B, H), context (B, E), alignment (B, T)


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
        logits, state = self.step_embedded(self.embedding(token), state, encoded, keys, mask)
        return torch.log_softmax(logits.float(), dim=1), state

    def step_embedded(
        self, embedded: Tensor, state: State, encoded: Tensor, keys: Tensor, mask: Tensor
    ) -> tuple[Tensor, State]:
        """Spell one token that is embedded already, (B, D) -> logits (B, V), next state."""
        inputs = torch.cat([embedded, state["context"].to(embedded.dtype)], dim=1)
        hidden, cell = self.cell(inputs, (state["hidden"], state["cell"]))
        context, alignment = self.attention(hidden, state["alignment"], encoded, keys, mask)
        logits = self.out(self.dropout(torch.cat([hidden, context.to(hidden.dtype)], dim=1)))
        return logits, {"hidden": hidden, "cell": cell, "context": context, "alignment": alignment}

    def teacher_forced(
        self, tokens: Tensor, encoded: Tensor, keys: Tensor, mask: Tensor, sampling: float = 0.0
    ) -> Tensor:
        """Spell along known tokens (N, U), <sos> first: logits (N, U, V).

        `sampling` is the probability of hearing the own last guess instead of the known token (scheduled
        sampling, Bengio et al. 2015, arXiv:1506.03099).
        """
        state = self.initial_state(encoded.shape[0], encoded.shape[1])
        embedded = self.dropout(self.embedding(tokens))
        steps = []
        for u in range(tokens.shape[1]):
            heard = embedded[:, u]
            if sampling > 0.0 and u > 0:
                guess = F.embedding(steps[-1].detach().argmax(dim=1), self.embedding.weight)
                own = torch.rand(len(tokens), 1, device=tokens.device) < sampling
                heard = torch.where(own, guess, heard)
            logits, state = self.step_embedded(heard, state, encoded, keys, mask)
            steps.append(logits)
        return torch.stack(steps, dim=1)
