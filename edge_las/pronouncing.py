"""How words are said: PocketSphinx's dictionary is asked, then espeak-ng, where they are installed."""

import subprocess
from collections.abc import Iterable, Sequence
from itertools import count

from edge_las.lexicon import PHONES, Lexicon, make_lexicon

# What espeak-ng's American phonemes are in ARPAbet.
_ESPEAK = {
    "a": "AE", "a#": "AH", "aa": "AE", "A:": "AA", "A@": "AA R", "A": "AA", "0": "AA", "0#": "AA", "O:": "AO",
    "O2": "AO", "O": "AO", "O@": "AO R", "o@": "AO R", "aI": "AY", "aI@": "AY ER", "aI3": "AY ER", "aU": "AW",
    "eI": "EY", "E": "EH", "E#": "EH", "e@": "EH R", "3:": "ER", "3": "ER", "I": "IH", "I#": "IH", "I2": "IH",
    "i": "IY", "i:": "IY", "i@": "IH R", "i@3": "IH R", "IR": "IH R", "VR": "AH R", "oU": "OW", "OI": "OY",
    "U": "UH", "U@": "UH R", "u:": "UW", "u": "UW", "V": "AH", "@": "AH", "@-": "AH", "@2": "AH", "@5": "AH",
    "@L": "AH L", "n-": "AH N", "b": "B", "tS": "CH", "d": "D", "D": "DH", "f": "F", "g": "G", "h": "HH",
    "dZ": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "N": "NG", "p": "P", "r": "R", "s": "S", "S": "SH",
    "t": "T", "t#": "T", "t2": "T", "T": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "Z": "ZH", "?": "",
    ";": "", "r-": "", "x": "K", "*": "T",
}  # fmt: skip
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_SPOKEN = frozenset(PHONES[1:])
_NAMED = 10


def pronounce_words(words: Iterable[str], known: Lexicon | None = None) -> tuple[Lexicon, list[str]]:
    """Find how English words are said, of lower-case letters and apostrophes; list those nobody could say.

    Words of the lexicon `known` are said as it has them.
    """
    wanted = sorted(set(words))
    before = entries(known) if known else {}
    said = {word: before[word] for word in wanted if word in before}
    asked = [word for word in wanted if word not in said and _is_sayable(word)]
    said |= _in_dictionary(asked)
    left = [word for word in asked if word not in said]
    said |= {word: [phones.split()] for word, phones in zip(left, pronounce(left), strict=True) if phones}
    return make_lexicon(said), [word for word in wanted if word not in said]


def entries(lexicon: Lexicon) -> dict[str, list[list[str]]]:
    """List all words of a lexicon with the ways each is said, in names of PHONES."""
    found: dict[str, list[list[str]]] = {}
    for line in str(lexicon).split("\n"):
        word, *phones = line.split(" ")
        if word:
            found.setdefault(word, []).append(phones)
    return found


def listed(words: Sequence[str]) -> str:
    """Name the first of some words, and tell how many more there are."""
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def _is_sayable(word: str) -> bool:
    return bool(_LETTERS & set(word)) and _LETTERS | {"'"} >= set(word)


def _in_dictionary(words: Iterable[str]) -> dict[str, list[list[str]]]:
    """Look words up in PocketSphinx's dictionary, each with all the ways it is said."""
    try:
        from pocketsphinx import Decoder
    except ImportError:
        return {}
    decoder = Decoder(samprate=16000, loglevel="FATAL", lm=None)
    found: dict[str, list[list[str]]] = {}
    for word in words:
        for number in count(1):
            phones = decoder.lookup_word(word if number == 1 else f"{word}({number})")
            if phones is None:
                break
            ways = found.setdefault(word, [])
            if phones.split() not in ways and _SPOKEN.issuperset(phones.split()):
                ways.append(phones.split())
    return {word: ways for word, ways in found.items() if ways}


def pronounce(words: list[str]) -> list[str]:
    """Say words as ARPAbet phones apart by spaces, by espeak-ng; empty where it can't."""
    if not words:
        return []
    command = ["espeak-ng", "-q", "-x", "--sep=_", "-v", "en-us", "--stdin"]
    try:
        done = subprocess.run(command, input="\n\n".join(words), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [""] * len(words)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if len(lines) == len(words):
        return [_arpabet(line) for line in lines]
    # Of one of them it made no line, or several.
    middle = len(words) // 2
    return [*pronounce(words[:middle]), *pronounce(words[middle:])] if middle else [""]


def _arpabet(line: str) -> str:
    parts = [part.strip("',%=") for part in line.replace(" ", "_").split("_")]
    if any(part not in _ESPEAK for part in parts if part):
        return ""
    return " ".join(filter(None, (_ESPEAK[part] for part in parts if part)))
