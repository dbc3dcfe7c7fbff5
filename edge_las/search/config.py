"""Settings of the searches; an artifact's manifest may set any of them to what was measured best for it."""

import math
from dataclasses import dataclass

from edge_las.config import check_at_least
from edge_las.errors import ConfigError

# Far above what helps; thousands of hypotheses would take minutes for a word.
_MOST_HYPOTHESES = 1000
MODES = ("strict", "soft", "off")
# Settings of `WordConfig` that are weights.
WEIGHTS = ("word_phones", "word_model", "word_tokens", "word_count", "word_unknown")


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


@dataclass(frozen=True)
class WordConfig:
    """What words count in free text, where a model hears phones and knows words; artifacts set their own."""

    # So many tokens are passed on from frame to frame; 0: letters alone tell.
    word_beam: int = 600
    # So many of the likeliest sentences are weighed with the texts that letters propose.
    word_proposals: int = 60
    # In the search for them, what the words' model counts beside phones.
    word_search_weight: float = 1.4
    # In the end, beside CTC head and Speller: the log probs of a text's phones and of its words, what each
    # token and each word adds, and what a word adds that is not known.
    word_phones: float = 0.4
    word_model: float = 0.6
    word_tokens: float = 0.9
    word_count: float = -1.5
    word_unknown: float = -60.0

    @property
    def weights(self) -> tuple[float, ...]:
        """What each value of `WordEvidence` counts."""
        return tuple(getattr(self, name) for name in WEIGHTS)

    def __post_init__(self) -> None:
        check_at_least(self, 0, "word_beam", "word_search_weight", "word_phones", "word_model")
        check_at_least(self, 1, "word_proposals")
        if not all(map(math.isfinite, (self.word_tokens, self.word_count, self.word_unknown))):
            raise ConfigError("word_tokens, word_count and word_unknown must be numbers")


@dataclass(frozen=True)
class ConstraintConfig:
    """How a grammar holds recognition; an artifact sets its own numbers in `search`."""

    # strict: a sentence of the grammar or nothing. soft: other text may come out, and has no intent.
    mode: str = "strict"
    # soft: what text outside the grammar must be better by, in nats.
    grammar_weight: float = 6.0
    # strict: what a sentence of the grammar may lose (`loss_of`), in nats a token.
    grammar_max_loss: float = 2.75
    # strict: by how many nats blanks are made less likely, of which a CTC head gives too many in noise.
    grammar_blank_penalty: float = 2.0
    # strict: what a sentence's phones count beside its letters, where a model hears phones and has a lexicon.
    # Of 920 real sentences with slots and strings of digits, as recorded and at 18, 12 and 6 dB of a kitchen,
    # 71.8 % were right without, 74.3 with 0.2, 74.2 with 0.5, 73.5 with 1, 71.9 with 2, 68.0 by phones alone.
    grammar_phone_weight: float = 0.5

    @property
    def is_strict(self) -> bool:
        """Whether nothing but sentences of the grammar may come out."""
        return self.mode == "strict"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"grammar mode is {self.mode!r}, must be one of {', '.join(MODES)}")
        weights = ("grammar_weight", "grammar_phone_weight")
        check_at_least(self, 0, *weights, "grammar_max_loss", "grammar_blank_penalty")
