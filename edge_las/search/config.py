"""Settings of the searches; an artifact's manifest may set any of them to what was measured best for it."""

from dataclasses import dataclass

from edge_las.config import check_at_least
from edge_las.errors import ConfigError

# Far above what helps; thousands of hypotheses would take minutes for a word.
_MOST_HYPOTHESES = 1000


@dataclass(frozen=True)
class BeamConfig:
    """How to search; greedy search reads only the ids, max_tokens and max_frame_attention."""

    beam_size: int = 4
    nbest: int = 4
    # With a language model, free text is sought along the CTC head's frames, so many prefixes being kept, and
    # the Speller judges the beam_size best. 0: the Speller leads, as it does without.
    prefixes: int = 24
    # The runtime sets this for each utterance, from its length.
    max_tokens: int = 200
    # The Speller's log probs weigh 1 - ctc_weight, the CTC prefix scores ctc_weight.
    ctc_weight: float = 0.3
    # A finished score is divided by (tokens + 1) ** length_penalty, tokens including <eos>; 0 keeps sums.
    length_penalty: float = 0.0
    # Added for each token: makes up for what every further token costs.
    token_bonus: float = 0.0
    # Added for each frame that got more than coverage_threshold attention in total (Chorowski & Jaitly 2017).
    coverage_weight: float = 0.0
    coverage_threshold: float = 0.5
    # <eos> needs a log prob > eos_threshold * the best other token's (Hannun et al. 2019); 0 = off.
    eos_threshold: float = 0.0
    # Unfinished hypotheses this far (nats) under the best finished one are given up.
    stop_margin: float = 6.0
    # A frame that draws more attention than this in total is being spelled over and over. Speech takes one or
    # two, but overfitted models were seen to park 12 of 45 tokens on one frame and to be right.
    max_frame_attention: float = 30.0
    blank_id: int = 0
    unk_id: int = 1
    sos_id: int = 2
    eos_id: int = 3

    def __post_init__(self) -> None:
        check_at_least(self, 1, "beam_size", "nbest", "max_tokens")
        for name in ("beam_size", "prefixes"):
            if getattr(self, name) > _MOST_HYPOTHESES:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at most {_MOST_HYPOTHESES}")
        if not 0.0 <= self.ctc_weight < 1.0:
            raise ConfigError(f"ctc_weight is {self.ctc_weight}, must be from 0 to below 1")
        check_at_least(self, 0, "prefixes", "length_penalty", "stop_margin", "max_frame_attention")
