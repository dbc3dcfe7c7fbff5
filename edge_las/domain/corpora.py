"""Make the texts that the base model's synthetic speech is spoken from: `text<TAB>dataset` rows."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_las.domain import corpora_everyday
from edge_las.domain.corpora_lists import load_lists
from edge_las.domain.numbers import spell_digits, spell_number
from edge_las.domain.sampling import TemplateSampler
from edge_las.errors import ConfigError, EdgeLasError

COUNTS = {
    "synth_read": 30000, "synth_home": 15000, "synth_digits": 6000,
    "synth_spell": 3000, "synth_everyday": 6000, "synth_words": 3000,
}  # fmt: skip
MAX_WORDS = 22
# How often a sentence may recur: short commands deserve many speakers, but not to crowd out the rest.
MAX_REPEATS = 4
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz' ")
WORDS = """
backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off
on one right seven sheila six stop three tree two up visual wow yes zero start pause play resume cancel open
close lock unlock next previous back louder quieter mute unmute volume lights lamp kitchen bedroom bathroom
garage music timer alarm weather help hello goodbye thanks please okay computer robot turn move wait come
stay sit jump run walk slow fast faster slower higher lower more less increase decrease brighter darker dim
red green blue yellow orange purple white black pink ten eleven twelve twenty thirty fifty hundred half
double single small medium large extra hot cold warm cool coffee tea milk sugar water door window fan heat
oven power enter exit save delete repeat again skip shuffle clean dock home work call send read write select
confirm select menu settings north south east west morning evening today tomorrow monday friday sunday apple
banana lemon bread cheese push pull press hold release grab drop lift load unload ready done clear zoom
scroll page channel camera light table chair bottle window record listen wake sleep quiet silence speak
answer
"""
POLITE = ("please ", "can you ", "could you ", "would you ", "i'd like to ")
CHECKED_UNIT = re.compile(
    r"(?<!twenty )(?<!thirty )(?<!forty )(?<!fifty )(?<!sixty )(?<!seventy )(?<!eighty )(?<!ninety )"
    r"\bone (minute|hour|second|degree|day|step|meter|cup|spoon|teaspoon|cube|packet|"
    r"shot|sugar|dollar|euro)s\b"
)


def clean(text: str) -> str | None:
    """A sentence as it is spoken, or nothing if it cannot be one."""
    spoken = (
        text.lower()
        .replace("%", " percent")
        .replace("°", " degrees")
        .replace("1/2", "half")
        .replace("-", " ")
    )
    spoken = " ".join(re.sub(r"[,.!?;:]", " ", spoken).split())
    spoken = CHECKED_UNIT.sub(r"one \1", spoken)
    spoken = re.sub(r"\ba (?=[aeio][a-z])(?!one\b|eur)", "an ", spoken)
    if not spoken or set(spoken) - LETTERS or len(spoken.split()) > MAX_WORDS:
        return None
    return spoken


def read_texts(path: Path, rng: np.random.Generator) -> Iterator[str]:
    """Literature sentences in random order."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    lines = path.read_text(encoding="utf-8").split("\n")
    for index in rng.permutation(len(lines)):
        yield lines[index]


def everyday_texts(rng: np.random.Generator) -> Iterator[str]:
    """Requests of many domains, each domain and each of its templates as likely as the others."""
    sampler = TemplateSampler(corpora_everyday.RULES, load_lists())
    domains = list(corpora_everyday.TEMPLATES)
    while True:
        templates = corpora_everyday.templates(domains[int(rng.integers(len(domains)))])
        yield sampler.sample(templates[int(rng.integers(len(templates)))], rng)


def home_texts(rng: np.random.Generator) -> Iterator[str]:
    """Home Assistant's English sentences (CC BY 4.0), balanced over intents, slots and templates."""
    import home_assistant_intents  # type: ignore[import-not-found, import-untyped, unused-ignore]

    data = home_assistant_intents.get_intents("en")
    if data is None:
        raise ConfigError("home-assistant-intents: this version holds no English sentences")
    sampler = TemplateSampler(data["expansion_rules"], _home_lists(data["lists"]))
    intents = [block["data"] for block in data["intents"].values()]
    weights = np.cumsum(np.sqrt([len(blocks) for blocks in intents]))
    while True:
        blocks = intents[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
        templates = blocks[int(rng.integers(len(blocks)))]["sentences"]
        sentence = sampler.sample(templates[int(rng.integers(len(templates)))], rng)
        yield (POLITE[int(rng.integers(len(POLITE)))] if rng.random() < 0.12 else "") + sentence


def _home_lists(published: dict[str, Any]) -> dict[str, Sequence[str]]:
    lists: dict[str, Sequence[str]] = dict(load_lists())
    for name, entry in published.items():
        if "values" in entry:
            lists[name] = [value["in"] if isinstance(value, dict) else value for value in entry["values"]]
        elif "range" in entry:
            span = entry["range"]
            numbers = range(span["from"], span["to"] + 1, span.get("step", 1))
            lists[name] = [spell_number(n) for n in numbers]
    wild = {
        "message": ["dinner is ready", "{task}", "we leave in {1..30} minutes", "come to the {area}"],
        "search_query": lists["song"], "zone": ["home", "work", "school", "the gym"],
        "timer_name": ["pizza", "pasta", "egg", "laundry", "{food}", "nap", "homework"],
        "timer_command": ["turn off the {name}", "open the blinds", "lock the front door", "{task}"],
        "shopping_list_item": lists["grocery"], "todo_list_item": lists["task"],
    }  # fmt: skip
    return {**lists, **wild}


def digit_texts(rng: np.random.Generator) -> Iterator[str]:
    """Strings of 2 to 10 digits, sometimes with "oh" and "double"; now and then a whole number."""
    openings = ("", "", "", "", "my number is ", "the code is ", "dial ", "pin ", "it's ")
    while True:
        digits = "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(2, 11))))
        if rng.random() < 0.15:
            digits = "".join(d * int(rng.integers(1, 3)) for d in digits)[:10]
        if rng.random() < 0.08:
            yield spell_number(int(rng.integers(10, 10000)))
        else:
            opening = openings[int(rng.integers(len(openings)))] if rng.random() < 0.2 else ""
            yield opening + spell_digits(digits, rng, oh_share=0.25)


def spelled_texts(path: Path) -> Callable[[np.random.Generator], Iterator[str]]:
    """Letters one by one: names and words spelled, random strings, single letters, letters with digits."""

    def texts(rng: np.random.Generator) -> Iterator[str]:
        people = [p for p in load_lists()["person"] if " " not in p]
        words = sorted(
            {w for w in path.read_text(encoding="utf-8").split() if 3 <= len(w) <= 9 and w.isalpha()}
        )
        while True:
            kind = rng.random()
            if kind < 0.12:
                yield chr(97 + int(rng.integers(26)))
            elif kind < 0.40:
                yield " ".join(people[int(rng.integers(len(people)))])
            elif kind < 0.75:
                yield " ".join(words[int(rng.integers(len(words)))])
            else:
                yield " ".join(chr(97 + int(c)) for c in rng.integers(0, 26, int(rng.integers(2, 9))))

    return texts


def word_texts(rng: np.random.Generator) -> Iterator[str]:
    """Single command words in turn, so that each gets the same number of voices; some in pairs."""
    words = sorted(set(WORDS.split()))
    while True:
        for index in rng.permutation(len(words)):
            pair = rng.random() < 0.1
            yield words[index] + (f" {words[int(rng.integers(len(words)))]}" if pair else "")


def collect(texts: Iterator[str], count: int, max_repeats: int) -> list[str]:
    """The first `count` usable sentences, none more often than `max_repeats`."""
    seen: Counter[str] = Counter()
    kept: list[str] = []
    for tried, raw in enumerate(texts):
        sentence = clean(raw)
        if sentence is not None and seen[sentence] < max_repeats:
            seen[sentence] += 1
            kept.append(sentence)
        if len(kept) == count or tried > 50 * count:
            break
    return kept


def build(literature: Path, seed: int, counts: dict[str, int]) -> list[tuple[str, str]]:
    """All rows (text, data set) in a fixed order."""
    makers: dict[str, tuple[Callable[[np.random.Generator], Iterator[str]], int]] = {
        "synth_read": (lambda rng: read_texts(literature, rng), 1),
        "synth_home": (home_texts, MAX_REPEATS),
        "synth_digits": (digit_texts, MAX_REPEATS),
        "synth_spell": (spelled_texts(literature), 60),
        "synth_everyday": (everyday_texts, MAX_REPEATS),
        "synth_words": (word_texts, 60),
    }
    rows = []
    for number, (dataset, count) in enumerate(counts.items()):
        make, repeats = makers[dataset]
        rows += [
            (text, dataset) for text in collect(make(np.random.default_rng([seed, number])), count, repeats)
        ]
    return rows


def describe(rows: Sequence[tuple[str, str]], seed: int = 0) -> Iterator[str]:
    """Counts, words-per-sentence histogram and five examples of each data set."""
    rng = np.random.default_rng(seed)
    for dataset in dict.fromkeys(name for _, name in rows):
        texts = [text for text, name in rows if name == dataset]
        lengths = Counter(len(text.split()) for text in texts)
        yield f"{dataset}: {len(texts)} sentences, {len(set(texts))} different"
        yield "  words: " + " ".join(f"{n}:{lengths[n]}" for n in sorted(lengths))
        yield from (f"  {texts[int(i)]}" for i in rng.integers(len(texts), size=5))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_las.domain.corpora", description=__doc__)
    parser.add_argument("--literature", type=Path, required=True, help="one sentence a line")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of sentences")
    args = parser.parse_args(argv)
    try:
        rows = build(args.literature, args.seed, {name: round(n * args.scale) for name, n in COUNTS.items()})
        args.out.write_text("".join(f"{text}\t{dataset}\n" for text, dataset in rows), encoding="utf-8")
    except EdgeLasError as error:
        print(f"edge-las: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(describe(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
