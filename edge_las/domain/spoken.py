"""Template text as it is said."""

import re
from collections.abc import Collection

from edge_las.domain.numbers import spell_number
from edge_las.errors import ConfigError
from edge_las.grammar import spoken_text

# A number that is read otherwise than by its value: 1st, 2.5, 10:30.
_ODD_NUMBER = re.compile(r"\d[^\W\d_]|[^\W\d_]\d|\d[.,:/]\d")


def as_spoken(text: str, alphabet: Collection[str]) -> str:
    """Write a template's text as it is said: numbers in words, only letters of the alphabet.

    Raises: ConfigError naming what cannot be spelled.
    """
    if _ODD_NUMBER.search(text):
        raise ConfigError(f"the number in {text.strip()!r} must be written as it is said")
    try:
        text = re.sub(r"\d+", lambda digits: f" {spell_number(int(digits[0]))} ", text)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return spoken_text(text, alphabet)
