"""Hotwords: phrases that a user expects, made likelier while they are being spelled."""

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np

from edge_las.errors import ConfigError
from edge_las.search.lookup import Table, TableScorer
from edge_las.tokens import WORD_MARK


class HotwordScorer(TableScorer):
    """Adds boosts to tokens that spell phrases, as far as they do; takes them back if they do not go on to.

    Works on characters, so that it does not matter into which tokens the Speller splits a phrase; a phrase
    counts only as whole words. A state is a node of the phrases' character trie (Aho & Corasick 1975).
    """

    def __init__(self, pieces: Sequence[str], phrases: Mapping[str, float], eos_id: int) -> None:
        """Take the token table's pieces and the boost (nats) that each phrase is given when complete.

        Raises: ConfigError naming a phrase that these tokens cannot spell.
        """
        super().__init__([piece if index > eos_id else "" for index, piece in enumerate(pieces)])
        self.phrases = dict(phrases)
        self._eos_id = eos_id
        self._trie = _Trie()
        known = set("".join(self._pieces))
        for phrase, boost in phrases.items():
            check_hotword(phrase, boost, known)
            self._trie.add(WORD_MARK + WORD_MARK.join(phrase.split()), boost)
        self._trie.link()

    def initial_state(self) -> int:
        """Return the node of the empty text."""
        return 0

    def _make_table(self, node: int) -> Table:
        if node == 0:
            scores, nodes = np.zeros(len(self._pieces)), np.zeros(len(self._pieces), dtype=np.int64)
            firsts = set(self._by_first)
        else:
            # A token that continues no phrase does what it does at the root, and ends those begun.
            root_scores, root_nodes = self._table(0)
            scores, nodes = root_scores - self._trie.pending(node), root_nodes.copy()
            firsts = self._trie.continuations(node)
        for token in (token for first in firsts for token in self._by_first.get(first, ())):
            scores[token], nodes[token] = self._trie.walk(node, self._pieces[token])
        end_score, end_node = self._trie.walk(node, WORD_MARK)
        scores[self._eos_id] = end_score - self._trie.pending(end_node)
        return scores, nodes


def check_hotword(phrase: str, boost: float, letters: Set[str]) -> None:
    """Raise ConfigError for a phrase that these letters do not spell, or a boost that is none."""
    words = phrase.split()
    strange = set("".join(words)) - letters
    if strange:
        raise ConfigError(f"hotword {phrase!r} has {min(strange)!r}, which no token spells")
    if not words or not 0.0 < boost < math.inf:
        raise ConfigError(f"hotword {phrase!r} is empty or has a boost that is not above 0 ({boost})")


class _Trie:
    """Characters of all phrases, each closed by a word mark; node 0 is the root.

    due: the boost that the characters so far deserve; paid: that of phrases complete on the way, for good.
    """

    def __init__(self) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._fail = [0]
        self._due = [0.0]
        self._paid = [0.0]

    def add(self, text: str, boost: float) -> None:
        node = 0
        for place, character in enumerate((*text, WORD_MARK)):
            if character not in self._children[node]:
                self._children[node][character] = len(self._children)
                self._children.append({})
                self._fail.append(0)
                self._due.append(0.0)
                self._paid.append(0.0)
            node = self._children[node][character]
            # The first word mark is no evidence yet: every word has one.
            share = min(1.0, place / (len(text) - 1))
            self._due[node] = max(self._due[node], boost * share)
        self._paid[node] = max(self._paid[node], boost)

    def link(self) -> None:
        """Find for each node the longest other beginning of a phrase that it ends with, breadth first."""
        level = [0]
        while level:
            below = []
            for node in level:
                for character, child in self._children[node].items():
                    if node:
                        shorter = self._longest(self._fail[node], character)
                        self._fail[child] = self._children[shorter].get(character, 0)
                    self._paid[child] = max(self._paid[child], self._paid[node])
                    self._due[child] = max(self._due[child], self._paid[child])
                    below.append(child)
            level = below

    def pending(self, node: int) -> float:
        """Return the boost that is lost if the phrase does not go on."""
        return self._due[node] - self._paid[node]

    def continuations(self, node: int) -> set[str]:
        """Return the characters that go on with some phrase begun before or at this node."""
        characters: set[str] = set()
        while node:
            characters |= self._children[node].keys()
            node = self._fail[node]
        return characters

    def walk(self, node: int, text: str) -> tuple[float, int]:
        """Follow characters from a node: the boost gained on the way and the node reached."""
        gained = -self.pending(node)
        for character in text:
            node = self._longest(node, character)
            child = self._children[node].get(character, 0)
            if child:
                gained += self._paid[child] - self._paid[node]
                node = child if self._children[child] else self._fail[child]
        return gained + self.pending(node), node

    def _longest(self, node: int, character: str) -> int:
        """Find the node, or else the longest ending of it, that the character continues; else the root."""
        while node and character not in self._children[node]:
            node = self._fail[node]
        return node
