"""What recognizers write, in the form of the transcripts: words only, digits and titles spelled out."""

import re

from edge_las.domain.numbers import spell_digits, spell_number
from edge_las.tokens import normalize_text

_NUMBER = re.compile(r"\d+(?:,\d{3})*")
_SIGNS = {"%": " percent ", "&": " and ", "@": " at "}
_TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor"}
_LARGEST = 999_999


def spoken(text: str) -> str:
    """Write a text as it is said, in lower case, without punctuation."""
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    text = _NUMBER.sub(lambda found: f" {_say(found[0])} ", text)
    plain = normalize_text("".join(c if c.isalpha() or c in "'\u2019" else " " for c in text))
    return " ".join(_TITLES.get(word, word) for word in plain.split())


def _say(number: str) -> str:
    digits = number.replace(",", "")
    # A leading zero or a long row: a number that is told digit by digit.
    if int(digits) > _LARGEST or (digits[0] == "0" and len(digits) > 1):
        return spell_digits(digits)
    return spell_number(int(digits)).replace("-", " ")
