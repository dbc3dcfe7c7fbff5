"""Keeps text from being invented: what must hold before a hypothesis is believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.config import check_at_least
from edge_las.tokens import WORD_MARK, TokenTable

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GateConfig:
    """Thresholds under which an utterance counts as "no speech"; an artifact sets its own in `search`."""

    # The loudest 25 ms. Quiet speech far from a microphone still reaches -55.
    gate_min_level_dbfs: float = -65.0
    # How much the CTC head heard: the frames where it hears a sound at all, weighted by how surely.
    gate_min_ctc_tokens: float = 0.3
    # Probability that someone spoke (`speech_*` of ConfidenceConfig), of what was heard without a grammar.
    gate_min_speech: float = 0.0
    # Probability that a sentence was said (`command_*`). In a strict grammar it stands in place of the two
    # before: how the likeliest sentence fits is better evidence than what was heard freely.
    gate_min_command: float = 0.3
    # Confidence of the text (`text_*`): the threshold to raise where a wrong text is worse than none.
    gate_min_confidence: float = 0.15

    def __post_init__(self) -> None:
        names = ("gate_min_ctc_tokens", "gate_min_speech", "gate_min_command", "gate_min_confidence")
        check_at_least(self, 0, *names)


class LevelMeter:
    """The level of the loudest 25 ms of a stream, however it is cut."""

    def __init__(self, sample_rate: int) -> None:
        self._block = max(1, sample_rate // 40)
        self._rest = np.zeros(0, dtype=np.float32)
        self._loudest = 0.0

    def accept(self, samples: FloatArray) -> None:
        """Take samples (s,)."""
        samples = np.concatenate([self._rest, samples])
        whole = samples.shape[0] // self._block * self._block
        self._rest = samples[whole:]
        if whole:
            blocks = samples[:whole].reshape(-1, self._block)
            self._loudest = max(self._loudest, float(np.einsum("bs,bs->b", blocks, blocks).max()))

    @property
    def dbfs(self) -> float:
        """The level, 0 being full scale; -inf for digital silence."""
        power = max(self._loudest, float(np.dot(self._rest, self._rest))) / self._block
        return 10.0 * float(np.log10(power)) if power > 0.0 else -np.inf


def expected_ctc_tokens(ctc_log_probs: npt.NDArray[np.floating], silent_ids: Sequence[int]) -> float:
    """Sum, over frames of log probs (T, V), the probability of a sound where it is likelier than none.

    silent_ids are blank and the word mark: trained models were seen to spell marks all through noise.
    """
    silence = np.exp(ctc_log_probs[:, list(silent_ids)]).sum(axis=1)
    return float((1.0 - silence)[silence < 0.5].sum())


def silent_ids(tokens: TokenTable) -> tuple[int, ...]:
    """List the tokens that stand for no sound: blank, and the word mark where it is a token of its own."""
    mark = [number for number, piece in enumerate(tokens.pieces) if piece == WORD_MARK]
    return (tokens.blank_id, *mark)
