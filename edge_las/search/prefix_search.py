"""Search along the CTC head's frames, as they come: likely texts, for the Speller to judge."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from weakref import ref

import numpy as np

from edge_las.search.config import BeamConfig
from edge_las.search.fusion import Scorer
from edge_las.search.rescoring import Proposal
from edge_las.search.speller import FloatArray

# Tokens so many nats less likely in a frame than its likeliest begin nothing. 142 sentences of dev lose
# nothing with 6, but a hotword or a strong language model may ask for more; it takes a sixth more time.
_TOKEN_MARGIN = 9.5
# Prefixes so far (nats) under the best do not come back. With 6, four of a thousand words more are wrong, and
# it takes two thirds of the time.
_PREFIX_MARGIN = 10.0


class _Prefix:
    """A node of the tree of texts: a token after those of its parent.

    favour: what scorers and bonuses gave so far, in nats of CTC; boost: of that, what those gave that know no
    language; favours, boosts: the same with each token (V,) after it, <eos> among them, made when asked for.
    """

    __slots__ = (
        "__weakref__", "boost", "boosts", "children", "favour", "favours", "parent", "states", "token",
    )  # fmt: skip

    def __init__(self, parent: _Prefix | None, token: int, favour: float, boost: float) -> None:
        self.parent, self.token, self.favour, self.boost = parent, token, favour, boost
        # What nothing leads through any more is given back at once, not when Python looks for circles.
        self.children: dict[int, ref[_Prefix]] = {}
        self.favours: list[float] = []
        self.boosts: list[float] = []
        self.states: list[Any] = []

    def child(self, token: int) -> _Prefix | None:
        """Find the text with this token after it, if there is one."""
        found = self.children.get(token)
        return found() if found else None

    def tokens(self) -> tuple[int, ...]:
        """List the tokens from the root on."""
        found, node = [], self
        while node.parent is not None:
            found.append(node.token)
            node = node.parent
        return tuple(reversed(found))

    def passing(self, token: int, blank: float, nonblank: float) -> float:
        """Tell, of the probabilities of paths that end in a blank or not, what a token may follow.

        After itself it is heard as one unless a blank parts them.
        """
        return blank if token == self.token else blank + nonblank


# A prefix and the probabilities that it was read, by a path that ends in a blank or in its last token.
_Entry = tuple[_Prefix, float, float]
# Rank, prefix, a token to be appended or none, and the same two probabilities.
_Rival = tuple[float, _Prefix, int | None, float, float]


class PrefixSearch:
    """CTC prefix beam search with scorers; may be fed while the utterance goes on.

    The CTC head stands in for the Speller, which has no say yet, and language models for what that knows of
    language: they weigh 1 / ctc_weight of what they do in the end. Plain numbers, no arrays: for a dozen
    prefixes those would take longer.
    Source: Hannun et al. 2014, arXiv:1408.2873, Algorithm 1.
    """

    def __init__(
        self,
        config: BeamConfig,
        vocabulary: int,
        language_models: Sequence[Scorer],
        others: Sequence[Scorer] = (),
    ) -> None:
        self._config = config
        self._every_token, self._nothing = np.arange(vocabulary), np.zeros(vocabulary)
        self._no_boosts: list[float] = self._nothing.tolist()
        self._bonuses = np.where(self._every_token == config.eos_id, 0.0, config.token_bonus)
        self._scorers, self._num_language_models = [*language_models, *others], len(language_models)
        # Language models only take away.
        self._most_gain = math.inf if others else config.token_bonus / config.ctc_weight
        root = _Prefix(None, config.blank_id, 0.0, 0.0)
        root.states = [scorer.initial_state() for scorer in self._scorers]
        self._beam: list[_Entry] = [(root, 1.0, 0.0)]
        # The beam's probabilities are scaled so that they never become too small.
        self._log_scale = 0.0
        self.frames = 0

    def fork(self) -> PrefixSearch:
        """Return a search that has read the same and goes its own way."""
        # The beam is replaced, never changed; the tree, which only grows, may be shared.
        return copy.copy(self)

    def accept(self, log_probs: FloatArray) -> None:
        """Read the next frames: the CTC head's log probs (t, V)."""
        config = self._config
        likely = log_probs > log_probs.max(axis=1, keepdims=True) - _TOKEN_MARGIN
        likely[:, [config.blank_id, config.unk_id, config.sos_id, config.eos_id]] = False
        for probs, sounds in zip(np.exp(log_probs).tolist(), likely, strict=True):
            self._read(probs, sorted(np.flatnonzero(sounds).tolist(), key=probs.__getitem__, reverse=True))
        self.frames += len(log_probs)

    def proposals(self, count: int) -> list[Proposal]:
        """List the likeliest texts, should nothing follow: at least one, at most `count`, best first."""
        config = self._config
        found = []
        for prefix, blank, nonblank in self._beam:
            heard = math.log(blank + nonblank) + self._log_scale
            favour = self._expect(prefix)[config.eos_id]
            found.append((heard + favour, heard, favour, prefix))
        found.sort(key=itemgetter(0), reverse=True)
        return [
            Proposal(prefix.tokens(), heard, self._in_the_end(favour, prefix.boosts[config.eos_id]))
            for _, heard, favour, prefix in found[:count]
        ]

    def _in_the_end(self, favour: float, boost: float) -> float:
        """Tell what scorers and bonuses weigh together with the Speller."""
        if favour == -math.inf:
            return favour
        return self._config.ctc_weight * (favour - boost) + boost

    def _read(self, probs: list[float], sounds: list[int]) -> None:
        """Read one frame of probs (V,); sounds: the tokens that may be begun in it, likeliest first."""
        blank_prob = probs[self._config.blank_id]
        held = {prefix: (blank, nonblank) for prefix, blank, nonblank in self._beam}
        rivals: list[_Rival] = []
        for prefix, blank, nonblank in self._beam:
            ended = (blank + nonblank) * blank_prob
            going = nonblank * probs[prefix.token]
            if prefix.parent in held:
                going += prefix.parent.passing(prefix.token, *held[prefix.parent]) * probs[prefix.token]
            if ended + going > 0.0:
                rivals.append((math.log(ended + going) + prefix.favour, prefix, None, ended, going))
        if sounds:
            rivals += self._lengthen(probs, sounds, self._bar(rivals), held)
        # A frame that nothing can pass tells nothing.
        if rivals:
            self._keep(rivals)

    def _bar(self, rivals: list[_Rival]) -> float:
        """Tell how a prefix must rank at least to be kept, if so many stay as they are."""
        ranks = [rival[0] for rival in rivals]
        bar = max(ranks, default=-math.inf) - _PREFIX_MARGIN
        return max(bar, min(ranks)) if len(ranks) == self._config.prefixes else bar

    def _lengthen(
        self, probs: list[float], sounds: list[int], bar: float, held: dict[_Prefix, tuple[float, float]]
    ) -> list[_Rival]:
        """Append tokens to the beam's prefixes where that makes none of the beam and passes the bar."""
        longer: list[_Rival] = []
        for prefix, blank, nonblank in self._beam:
            # Scorers take time: they are not asked of what could not pass with all their goodwill.
            least = math.exp(min(bar - prefix.favour - self._most_gain, 700.0))
            for token in sounds:
                if (blank + nonblank) * probs[token] <= least:
                    break
                prob = prefix.passing(token, blank, nonblank) * probs[token]
                if prob <= least or prefix.child(token) in held:
                    continue
                rank = math.log(prob) + (prefix.favours or self._expect(prefix))[token]
                if rank > bar:
                    longer.append((rank, prefix, token, 0.0, prob))
        return longer

    def _keep(self, rivals: list[_Rival]) -> None:
        rivals.sort(key=itemgetter(0), reverse=True)
        best, _, _, *probs = rivals[0]
        scale = sum(probs)
        before = self._beam
        self._beam = [
            (prefix if token is None else self._child(prefix, token), blank / scale, nonblank / scale)
            for rank, prefix, token, blank, nonblank in rivals[: self._config.prefixes]
            if rank >= best - _PREFIX_MARGIN
        ]
        self._log_scale += math.log(scale)
        kept = {prefix for prefix, _, _ in self._beam}
        for prefix, _, _ in before:
            if prefix not in kept:
                # Two kilobytes that are seldom needed again.
                prefix.favours = prefix.boosts = []

    def _child(self, prefix: _Prefix, token: int) -> _Prefix:
        child = prefix.child(token)
        if child is None:
            child = _Prefix(prefix, token, prefix.favours[token], prefix.boosts[token])
            prefix.children[token] = ref(child)
        return child

    def _expect(self, prefix: _Prefix) -> list[float]:
        """Ask the scorers for every token after a prefix."""
        if prefix.favours:
            return prefix.favours
        if prefix.parent is not None:
            befores = zip(self._scorers, prefix.parent.states, strict=True)
            prefix.states = [scorer.advance(state, prefix.token) for scorer, state in befores]
        scores = [
            scorer.score(state, self._every_token)
            for scorer, state in zip(self._scorers, prefix.states, strict=True)
        ]
        favours = sum(scores[: self._num_language_models], self._bonuses) / self._config.ctc_weight
        favours += prefix.favour
        if len(scores) > self._num_language_models:
            boosts = sum(scores[self._num_language_models :], self._nothing)
            favours += boosts
            prefix.boosts = (boosts + prefix.boost).tolist()
        else:
            prefix.boosts = self._no_boosts
        prefix.favours = favours.tolist()
        return prefix.favours
