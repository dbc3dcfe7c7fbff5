"""What a build will do and how long it takes, from the minutes it is given."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_las.domain.texts import Counts
from edge_las.domain.voices import Voice

# Measured on one busy x86-64 core: seconds for a command's clip, the program's start included.
SECONDS_PER_CLIP = {"espeak": 0.04, "flite": 0.06, "festival": 0.4, "piper": 0.35}
SECONDS_OF_SPEECH = 2.4
# Hours of audio that training hears in an hour, compiled or not (2.2 M parameters, a core of its own).
# Where another training ran on the same core it was 48 and 30.
HEARD_PER_HOUR = {True: 90.0, False: 60.0}
EXPORT_MINUTES, MEASURE_SECONDS_PER_CLIP = 2.0, 0.1
REAL_MINUTES, DECODE_REAL_TIME = 0.3, 250.0
# Recordings that rejection is chosen by; read sentences take longer than commands.
REAL_NEGATIVES, NEGATIVE_SECONDS_PER_CLIP = 120, 0.5
# Times that the dev split is recognized (with each weight of the language model), and the test split.
DEV_ROUNDS, TEST_ROUNDS = 2, 1
# Of the minutes, what speaking may take; and how many sentences are enough for any of them.
_SPEECH_SHARE, _MOST_SENTENCES, _FEWEST = 0.15, 12_000, 40
_LEAST_TEACHING_SHARE = 0.3
# Command, near miss, other.
_MIX = (0.55, 0.15, 0.30)
_KEPT_MIX = (0.50, 0.15, 0.35)


@dataclass(frozen=True)
class Plan:
    """Sentences of each split, and the minutes of each step."""

    counts: Mapping[str, Counts]
    minutes: Mapping[str, float]
    heard_per_hour: float

    @property
    def total_minutes(self) -> float:
        return sum(self.minutes.values())

    def lines(self) -> Iterator[str]:
        """Say it for people."""
        for number, (step, minutes) in enumerate(self.minutes.items(), start=1):
            yield f"{number}. {step:<8} about {minutes:5.1f} min   {self._detail(step)}"
        yield f"   in all   about {self.total_minutes:5.1f} min"

    def _detail(self, step: str) -> str:
        if step == "speech":
            spoken = sum(counts.total for counts in self.counts.values())
            parts = ", ".join(
                f"{split} {c.command} commands + {c.near} near misses + {c.other} others"
                for split, c in self.counts.items()
            )
            return f"{spoken} sentences, {spoken * SECONDS_OF_SPEECH / 3600:.1f} h ({parts})"
        if step == "teach":
            hours = self.minutes[step] / 60 * self.heard_per_hour
            return f"about {hours:.0f} h of speech heard at {self.heard_per_hour:.0f} h an hour"
        details = {
            "real": "decode and choose recordings of --speech",
            "export": "int8, calibrated and proved",
        }
        return details.get(step, "threshold of rejection, and the test on voices that were kept back")


def make_plan(
    minutes: float,
    cast: Mapping[str, Sequence[Voice]],
    jobs: int,
    decode_hours: float | None = None,
    sentences: int = 0,
    compiled: bool = False,
) -> Plan:
    """Share out the minutes; `sentences` are spoken for training, or as many as there is time for.

    decode_hours: recordings of real speech that must be decoded; None = none are heard.
    """
    clip_s = seconds_per_clip(cast["train"]) / jobs
    wanted = sentences or int(min(_MOST_SENTENCES, 60 * minutes * _SPEECH_SHARE / clip_s))
    train = max(_FEWEST, wanted)
    kept = max(_FEWEST // 2, min(600, train // 10))
    counts = {
        "train": _counts(train, _MIX),
        "dev": _counts(kept, _KEPT_MIX),
        "test": _counts(kept, _KEPT_MIX),
    }
    spoken = sum(part.total for part in counts.values())
    steps = {"speech": spoken * clip_s / 60}
    if decode_hours is not None:
        steps["real"] = REAL_MINUTES + decode_hours * 60 / DECODE_REAL_TIME / jobs
    after = {"export": EXPORT_MINUTES, "measure": _measure_minutes(kept, decode_hours is not None)}
    left = minutes - sum(steps.values()) - sum(after.values())
    steps["teach"] = round(max(_LEAST_TEACHING_SHARE * minutes, left), 2)
    return Plan(counts, {**steps, **after}, HEARD_PER_HOUR[compiled])


def _measure_minutes(kept: int, real: bool) -> float:
    negatives_s = DEV_ROUNDS * REAL_NEGATIVES * NEGATIVE_SECONDS_PER_CLIP if real else 0.0
    return ((DEV_ROUNDS + TEST_ROUNDS) * kept * MEASURE_SECONDS_PER_CLIP + negatives_s) / 60


def seconds_per_clip(voices: Sequence[Voice]) -> float:
    """Estimate how long a clip takes to speak on one core, voices drawn by weight."""
    total = sum(voice.weight for voice in voices)
    return sum(voice.weight * SECONDS_PER_CLIP.get(voice.engine, 1.0) for voice in voices) / total


def _counts(total: int, shares: tuple[float, float, float]) -> Counts:
    command, near, other = (max(1, round(total * share)) for share in shares)
    return Counts(command, near, other)
