"""Numbers as an English speaker says them."""

import numpy as np

ONES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spell_number(value: int) -> str:
    """Cardinal in words: 1205 -> "one thousand two hundred and five".

    Raises: ValueError beyond 999,999.
    """
    if value < 0:
        return f"minus {spell_number(-value)}"
    if value > 999_999:
        raise ValueError(f"numbers: {value} is too large to spell")
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (f" {ONES[value % 10]}" if value % 10 else "")
    unit, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    rest = value % unit
    if rest == 0:
        return f"{spell_number(value // unit)} {name}"
    joint = " and " if rest < 100 else " "
    return f"{spell_number(value // unit)} {name}{joint}{spell_number(rest)}"


def spell_digits(digits: str, rng: np.random.Generator | None = None, oh_share: float = 0.0) -> str:
    """Digit by digit; with `rng` some zeros become "oh" (all of a string) and some pairs "double five"."""
    if rng is None:
        return " ".join(ONES[int(d)] for d in digits)
    zero = "oh" if rng.random() < oh_share else "zero"
    doubles = rng.random() < 0.25
    words, at = [], 0
    while at < len(digits):
        name = zero if digits[at] == "0" else ONES[int(digits[at])]
        if doubles and digits[at : at + 2] == 2 * digits[at]:
            words += ["double", name]
            at += 2
        else:
            words.append(name)
            at += 1
    return " ".join(words)
