"""Who speaks for whom, how the minutes are shared out, and where commands end and other speech begins."""

import math
from collections import Counter

import numpy as np
import pytest

from edge_las.domain import measure
from edge_las.domain.casting import cast, speaker
from edge_las.domain.measure import Heard, accuracy, choose, choose_threshold
from edge_las.domain.mixing import NEGATIVE, choose_real, copy_clips
from edge_las.domain.plan import make_plan
from edge_las.domain.teach import REAL_SHARE, SHARES, repeats
from edge_las.domain.texts import COMMAND, NEAR, OTHER
from edge_las.domain.voices import Voice
from edge_las.errors import ConfigError
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index

VOICES = [
    *(Voice("espeak", f"{accent}+f{n}", 0.1) for n in range(20) for accent in ("en-us", "en-gb")),
    *(Voice("flite", name) for name in ("slt", "rms", "awb", "kal", "kal16")),
]
GO = {"intent": "Go", "slots": {"n": 1}}


def test_a_speaker_is_in_one_split_only() -> None:
    parts = cast(VOICES, seed=1)
    people = {split: {speaker(voice) for voice in voices} for split, voices in parts.items()}
    assert not people["train"] & (people["dev"] | people["test"]) and not people["dev"] & people["test"]
    assert sum(len(voices) for voices in parts.values()) == len(VOICES)
    assert {voice.engine for voice in parts["test"]} == {"espeak", "flite"}
    assert len(people["train"] & {"slt", "rms", "awb", "kal"}) == 3
    assert cast(VOICES, 1) == parts
    assert any(cast(VOICES, seed)["test"] != parts["test"] for seed in (2, 3))


def test_one_voice_alone_is_heard_everywhere() -> None:
    assert cast(VOICES[-1:], 1) == {"train": VOICES[-1:], "dev": VOICES[-1:], "test": VOICES[-1:]}


@pytest.mark.parametrize("minutes", [30.0, 55.0, 240.0])
def test_the_minutes_are_what_was_asked_for(minutes: float) -> None:
    plan = make_plan(minutes, cast(VOICES, 1), jobs=1, decode_hours=3.0)
    assert plan.total_minutes == pytest.approx(minutes, abs=0.1)
    assert plan.minutes["teach"] > 0.5 * minutes
    assert [line.split()[1] for line in plan.lines()][:-1] == ["speech", "real", "teach", "export", "measure"]


def test_sentences_asked_for_are_spoken_whatever_the_time() -> None:
    plan = make_plan(1.0, cast(VOICES, 1), jobs=1, sentences=1000)
    assert plan.counts["train"].total == 1000
    assert plan.minutes["teach"] == pytest.approx(0.3)


def heard(dataset: str, found: dict | None, loss: float, expected: dict | None = None) -> Heard:
    return Heard("x", dataset, "dev", "flite:slt", expected, found, loss)


def test_the_threshold_keeps_other_speech_out_first() -> None:
    commands = [heard(COMMAND, GO, loss, GO) for loss in np.linspace(0.0, 0.2, 100)]
    others = [heard(OTHER, GO if n < 5 else None, 1.6 + 0.1 * n) for n in range(200)]
    # Of 200 others two may pass: the third has a loss of 1.8.
    assert choose_threshold([*commands, *others]) == pytest.approx(0.99 * 1.8)
    crowded = [heard(NEGATIVE, GO, 1.52 + 0.03 * n) for n in range(50)]
    chosen = choose_threshold([*commands, *others, *crowded])
    passed = [row for row in (*others, *crowded) if row.found and row.loss <= chosen]
    assert len(passed) == 2 and chosen > 1.5
    # Real voices lose more than these: others that lose little don't bring it below that.
    near = [heard(NEGATIVE, GO, 0.05 + 0.001 * n) for n in range(50)]
    assert choose_threshold([*commands, *others, *near]) == 1.5
    # Five that were heard as commands outright pass anyway, and must not cost commands.
    outright = [heard(OTHER, GO, 0.0)] * 5
    assert choose_threshold([*commands, *others, *outright]) == choose_threshold([*commands, *others])
    better = [heard(OTHER, GO, -5.6)] * 5
    assert choose_threshold([*commands, *others, *better]) == choose_threshold([*commands, *others])
    assert choose_threshold(commands) == choose_threshold([]) > 1.0


def test_the_language_model_counts_only_where_it_helps() -> None:
    good, bad = [heard(COMMAND, GO, 0.1, GO)] * 20, [heard(COMMAND, None, 9.0, GO)] * 20
    others = [heard(OTHER, None, 9.0)] * 20
    weight, threshold = choose({0.0: [*good, *others], 0.2: [*good, *others]})
    assert weight == 0.0 and threshold == choose_threshold([])
    assert choose({0.0: [*good, *bad, *others], 0.2: [*good, *good, *others]})[0] == 0.2
    # Better at commands, but it hears them in other speech outright.
    assert choose({0.0: [*good, *others], 0.2: [*good, *[heard(OTHER, GO, 0.0)] * 20]})[0] == 0.0


def test_what_was_heard_is_not_heard_again(tmp_path, monkeypatch) -> None:
    asked = []

    def hear(artifact, corpus, clips):
        for number in clips:
            asked.append(number)
            if number == 3 and len(asked) < 5:
                raise KeyboardInterrupt
            yield heard(OTHER, None, math.inf if number % 2 else 0.5 * number)

    monkeypatch.setattr(measure, "hear", hear)
    clips, file = list(range(5)), tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure.hear_once(tmp_path, None, clips, file)
    with open(tmp_path / "rows.jsonl.part", "a") as part:
        part.write('{"id": "cut o')
    rows = measure.hear_once(tmp_path, None, clips, file)
    assert asked == [0, 1, 2, 3, 3, 4]
    assert [row.loss for row in rows] == [0.0, math.inf, 1.0, math.inf, 2.0]
    assert measure.hear_once(tmp_path, None, clips, file) == rows and len(asked) == 6


def test_accuracy_counts_near_misses_apart() -> None:
    bare, stop = {**GO, "slots": {}}, {"intent": "Stop", "slots": {}}
    rows = [
        heard(COMMAND, found, loss, GO) for found, loss in ((GO, 0.0), (GO, 0.9), (bare, 0.1), (stop, 0.1))
    ]
    rows += [heard(NEAR, GO, 0.1), heard(NEAR, None, 9.0), heard(OTHER, GO, 0.7), heard(OTHER, GO, 0.1)]
    found = accuracy(rows, 0.5)
    assert (found["commands"], found["intent_accuracy"], found["exact"]) == (4, 0.5, 0.25)
    assert (found["false_rejects"], found["false_accepts"], found["near_accepts"]) == (0.25, 0.5, 0.5)
    assert found["intent_accuracy_by_engine"] == {"flite": 0.5}


def flat(folder, rows: list[tuple[str, str, float, str]]) -> Corpus:
    folder.mkdir()
    index, offset = [], 0
    with open(folder / AUDIO_FILE, "wb") as audio:
        for number, (dataset, split, seconds, text) in enumerate(rows):
            size = int(16000 * seconds)
            audio.write(np.full(size, number, np.int16).tobytes())
            index.append((f"{dataset}-{number}", offset, size, dataset, f"s{number}", split, text))
            offset += size
    write_index(folder, index)
    return Corpus([folder])


def test_data_sets_get_their_share_of_the_time(tmp_path) -> None:
    rows = [(COMMAND, 40.0), (NEAR, 30.0), (OTHER, 10.0), ("books", 300.0), ("words", 20.0)]
    corpus = flat(tmp_path / "c", [(name, "train", seconds, "a b") for name, seconds in rows])
    times = repeats(corpus)
    heard_s = {name: seconds * times[name] for name, seconds in rows}
    total = sum(heard_s.values())
    for name, share in SHARES.items():
        assert heard_s[name] / total == pytest.approx(share * (1 - REAL_SHARE))
    assert heard_s["books"] / heard_s["words"] == pytest.approx(15.0)


def test_real_speech_is_chosen_without_barred_words(tmp_path) -> None:
    rows = [("books", "train", 4.0, f"page {'x' * (n + 1)}") for n in range(40)]
    rows += [("words", "train", 1.0, "stop" if n % 2 else "yes") for n in range(40)]
    rows += [("words", "dev", 1.0, "no"), ("words", "train", 30.0, "long"), ("words", "train", 1.0, "")]
    rows += [("books", "train", 4.0, "a yes's end")]
    corpus = flat(
        tmp_path / "c", [(d, s, sec, t.replace(str(i % 100), "x")) for i, (d, s, sec, t) in enumerate(rows)]
    )
    clips = choose_real(corpus, 60 / 3600, 6, {"yes"}, True, lambda text: text == "stop", 12.0, seed=1)
    kept = [clip for clip in clips if clip.dataset == NEGATIVE]
    train = [clip for clip in clips if clip.dataset != NEGATIVE]
    assert len(kept) == 6 and {clip.split for clip in kept} == {"dev"}
    assert all(clip.text != "stop" for clip in kept)
    assert not {clip.id for clip in kept} & {clip.id for clip in train}
    assert all("yes" not in clip.text and clip.split == "train" for clip in clips if clip not in kept)
    counts = Counter(clip.dataset for clip in train)
    assert 0 < counts["words"] <= 20 and counts["books"] < 40
    assert sum(clip.seconds for clip in train) == pytest.approx(60, abs=8)
    copied = Corpus([copy_clips(corpus, clips, tmp_path / "copy")])
    for clip, copy in zip(clips, copied.clips, strict=True):
        assert np.array_equal(copied.samples(copy), corpus.samples(clip))
    with pytest.raises(ConfigError, match="no clip of the train split"):
        choose_real(corpus, 1.0, 0, {"page", "yes", "stop"}, True, bool, 12.0, seed=1)


def test_real_speech_that_holds_words_of_the_commands_comes_first(tmp_path) -> None:
    rows = [("books", "train", 4.0, f"page {'ab'[n % 2] * (n + 1)}") for n in range(60)]
    rows += [("books", "train", 4.0, text) for text in ["a rare latte", "two of them", *30 * ["two two two"]]]
    corpus = flat(tmp_path / "c", rows)
    chosen = choose_real(corpus, 80 / 3600, 0, {"latte", "two"}, False, bool, 12.0, seed=1)
    texts = Counter(clip.text for clip in chosen)
    assert texts["a rare latte"] == 1
    assert texts["two two two"] + texts["two of them"] >= 9
    assert sum(count for text, count in texts.items() if text.startswith("page")) >= 5
    assert len({clip.id for clip in chosen}) == len(chosen) == 20
