"""A Speller of known answers: its next-token log probs depend on the whole prefix, by a seeded hash."""

import zlib

import numpy as np

BLANK, UNK, SOS, EOS = range(4)


class HashedSpeller:
    """Random but fixed distributions p(token | prefix); state = a hash of the prefix. Counts its calls."""

    def __init__(self, vocabulary: int, seed: int = 0, sharpness: float = 2.0, frames: int = 0) -> None:
        self.vocabulary, self.seed, self.sharpness, self.frames = vocabulary, seed, sharpness, frames
        self.batch_sizes: list[int] = []

    def initial_state(self) -> dict[str, np.ndarray]:
        return {"hash": np.array([[self.seed]], dtype=np.int64), "count": np.zeros((1, 1))}

    def step(self, tokens, state):
        self.batch_sizes.append(len(tokens))
        hashes = [
            zlib.crc32(f"{old} {token}".encode())
            for old, token in zip(state["hash"][:, 0].tolist(), tokens.tolist(), strict=True)
        ]
        log_probs = np.stack([self.distribution(value) for value in hashes]).astype(np.float32)
        next_state = {"hash": np.array(hashes)[:, None], "count": state["count"] + 1}
        if self.frames:  # attention walks on, a frame for each token
            places = np.minimum(state["count"][:, 0].astype(int), self.frames - 1)
            next_state["alignment"] = np.eye(self.frames)[places]
        return log_probs, next_state

    def distribution(self, value: int) -> np.ndarray:
        logits = self.sharpness * np.random.default_rng(value).standard_normal(self.vocabulary)
        return logits - np.logaddexp.reduce(logits)

    def log_prob(self, tokens) -> float:
        """Speller log prob of a whole sequence, one token a call."""
        state, last, total = self.initial_state(), SOS, 0.0
        for token in tokens:
            log_probs, state = self.step(np.array([last]), state)
            total += float(log_probs[0, token])
            last = token
        return total


class TableSpeller:
    """Follows a script: after n tokens, row n of log_probs (n, V), whatever the tokens were."""

    def __init__(self, log_probs: np.ndarray, alignment: np.ndarray | None = None) -> None:
        self.log_probs, self.alignment = log_probs, alignment

    def initial_state(self) -> dict[str, np.ndarray]:
        return {"count": np.zeros((1, 1), dtype=np.int64)}

    def step(self, tokens, state):
        rows = np.minimum(state["count"][:, 0], len(self.log_probs) - 1)
        next_state = {"count": state["count"] + 1}
        if self.alignment is not None:
            next_state["alignment"] = self.alignment[rows]
        return self.log_probs[rows], next_state
