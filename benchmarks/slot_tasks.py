"""What is said and might be said in `benchmarks.slots`: read sentences with slots, digits, a model's own."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.recordings import Recording, choose, spread
from benchmarks.scoring import DIGITS, is_digits
from edge_las.arcs import NOTHING, SPACE
from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, GrammarBuilder
from edge_las.runtime.recognizer import Recognizer

# Slots of a sentence, and the values that each may have.
_SLOTS, _VALUES = 3, 10
_FEWEST_WORDS, _FEWEST_LETTERS = 4, 3
_DIGIT_WORDS = (*DIGITS, "oh", "double", "triple")


@dataclass(frozen=True)
class Task:
    """Recordings, the grammar of all that might have been said, and what must be right of a text."""

    name: str
    grammar: Grammar
    recordings: list[Recording]
    meaning: Callable[[str], Any] = str


def slot_places(text: str) -> list[int]:
    """Choose the words of a sentence that are slots: at most three, spread over it, none of them short."""
    places = [place for place, word in enumerate(text.split()) if len(word) >= _FEWEST_LETTERS]
    return spread(places, _SLOTS)


def deal(words: Sequence[str]) -> list[list[str]]:
    """Put words into lists of ten that are of alike length."""
    ordered = sorted(set(words), key=lambda word: (len(word), zlib.crc32(word.encode())))
    lists = [ordered[start : start + _VALUES] for start in range(0, len(ordered), _VALUES)]
    if len(lists) > 1 and len(lists[-1]) < _VALUES:
        rest = lists.pop()
        lists[-1] += rest
    return lists


def _dealt(texts: Sequence[str]) -> list[list[str]]:
    return deal([text.split()[place] for text in texts for place in slot_places(text)])


def sentence_templates(texts: Sequence[str]) -> dict[str, Any]:
    """Give sentences with slots, each an intent, as `edge-las domain build` takes templates."""
    dealt = _dealt(texts)
    names = {word: f"list{number}" for number, words in enumerate(dealt) for word in words}

    def template(text: str) -> str:
        words, places = text.split(), slot_places(text)
        return " ".join(
            f"{{{names[word]}:slot{place}}}" if place in places else word for place, word in enumerate(words)
        )

    return {
        "language": "en",
        "intents": {
            f"Sentence{number}": {"data": [{"sentences": [template(text)]}]}
            for number, text in enumerate(texts)
        },
        "lists": {f"list{number}": {"values": words} for number, words in enumerate(dealt)},
    }


def sentences_grammar(texts: Sequence[str], language: str) -> Grammar:
    """Make the grammar of sentences with slots."""
    builder = GrammarBuilder()
    _, top = builder.network()
    lists = {}
    for words in _dealt(texts):
        network, start = builder.network()
        for word in words:
            builder.end(builder.branch(start, word), word)
            lists[word] = network
    for number, text in enumerate(texts):
        node, places = builder.node(), slot_places(text)
        builder.link(top, NOTHING, node)
        for place, word in enumerate(text.split()):
            if place in places:
                after = builder.node()
                builder.call(node, lists[word], f"slot{place}", after)
                node = builder.text(after, SPACE)
            else:
                node = builder.text(node, word + SPACE)
        builder.end(node, number)
    return builder.build(language, [{"intent": text, "slots": {}} for text in texts])


def digits_grammar(language: str) -> Grammar:
    """Make the grammar of strings of digits, of any length."""
    builder = GrammarBuilder()
    _, top = builder.network()
    for word in _DIGIT_WORDS:
        last = builder.text(top, word)
        builder.end(last, 0)
        builder.link(last, SPACE, top)
    return builder.build(language, [{"intent": "digits", "slots": {}}])


def own_task(recognizer: Recognizer, recordings: Sequence[Recording], split: str, limit: int) -> Task:
    """Make a task of the recordings that the model's own grammar knows.

    Raises: ConfigError where it has none, or knows none of them.
    """
    constraint = recognizer.setup.grammar
    if constraint is None:
        raise ConfigError("--own-grammar: the model has no grammar")
    known = [item for item in recordings if item.split == split and constraint.automaton.accepts(item.text)]
    if not known:
        raise ConfigError(f"--own-grammar: no recording of split {split} is a command of the model")
    return Task("commands", constraint.grammar, spread(known, limit), constraint.automaton.interpret)


def domain_of(recordings: Sequence[Recording], sets: Sequence[str], split: str) -> dict[str, Any]:
    """Give the sentences of some data sets as templates: a domain that real recordings can prove.

    Raises: ConfigError if there are none.
    """
    texts = _texts([item for found in choose(recordings, split, sets).values() for item in _read(found)])
    if not texts:
        raise ConfigError(f"{', '.join(sets)}: no sentence of {_FEWEST_WORDS} words")
    return sentence_templates(texts)


def read_sentences(recordings: Iterable[Recording], sets: Sequence[str]) -> list[list[Recording]]:
    """List the dev recordings of sentences of some data sets.

    Raises: ConfigError naming a data set that has none.
    """
    found = choose(recordings, "dev", sets) if sets else {}
    for name in found:
        if not _read(found[name]):
            raise ConfigError(f"{name}: has no sentence of {_FEWEST_WORDS} words")
    return [_read(rows) for rows in found.values()]


def _read(recordings: Sequence[Recording]) -> list[Recording]:
    return [
        item for item in recordings if not is_digits(item.text) and len(item.text.split()) >= _FEWEST_WORDS
    ]


def _texts(recordings: Sequence[Recording]) -> list[str]:
    return sorted({item.text for item in recordings})


def tasks(
    recordings: Sequence[Recording], sets: Sequence[str], limit: int, language: str, split: str = "dev"
) -> list[Task]:
    """Make a task of each data set's sentences, and one of all strings of digits.

    Raises: ConfigError naming a data set that has neither.
    """
    made, digits = [], []
    for name, found in choose(recordings, split, sets).items():
        numbers = [item for item in found if is_digits(item.text)]
        read = _read(found)
        if not numbers and not read:
            raise ConfigError(f"{name}: has no sentence of {_FEWEST_WORDS} words and no string of digits")
        digits += [item for item in numbers if len(item.text.split()) > 1]
        if read:
            # Those that are not heard are commands all the same.
            made.append(Task(name, sentences_grammar(_texts(read), language), spread(read, limit)))
    if digits:
        made.append(Task("digits", digits_grammar(language), spread(digits, limit)))
    return made
