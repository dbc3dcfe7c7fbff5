"""What may join the Speller in scoring: language models, hotwords, grammars."""

from typing import Any, Protocol

from edge_las.search.speller import FloatArray, IntArray


class Scorer(Protocol):
    """Adds to the scores of a hypothesis' tokens, from a state of its own kind; no state is ever changed.

    A beam asks for the whole vocabulary at every step: answer from a cache where the answer is dear.
    """

    def initial_state(self) -> Any:
        """Return the state before the first token."""
        ...

    def score(self, state: Any, tokens: IntArray) -> FloatArray:
        """Return what each of tokens (K,), <eos> among them, would add to the score: (K,), -inf forbids."""
        ...

    def advance(self, state: Any, token: int) -> Any:
        """Return the state after token."""
        ...
