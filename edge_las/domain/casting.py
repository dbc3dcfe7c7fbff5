"""Which voices are heard in training, and which are kept for choosing and for proving."""

from collections.abc import Sequence

import numpy as np

from edge_las.domain.voices import Voice

# One person's voice may be served by several programs, under several names.
_SAME_SPEAKER = {"kal16": "kal", "kal_diphone": "kal", "ked_diphone": "ked", "cmu_us_slt_arctic_hts": "slt"}
# espeak-ng's speakers are variants of one synthesizer; everybody else was a person once.
_FORMANT = "espeak"
_LEAST_FOR_TEST, _LEAST_FOR_DEV, _KEPT_SHARE = 3, 6, 8


def speaker(voice: Voice) -> str:
    """Name whose voice it is: an espeak-ng variant is the same speaker in every accent."""
    name = voice.name.rpartition("+")[2]
    return _SAME_SPEAKER.get(name, name)


def cast(voices: Sequence[Voice], seed: int) -> dict[str, list[Voice]]:
    """Give each speaker to one of train, dev and test: about an eighth to dev and to test.

    Few recorded speakers all go to training, but for one kept for the test. Where none can be kept, all
    voices are heard in each: whoever reports results must say so.
    """
    rng = np.random.default_rng([seed, 11])
    split: dict[str, str] = {}
    for formant in (True, False):
        people = sorted({speaker(voice) for voice in voices if (voice.engine == _FORMANT) == formant})
        people = [people[int(i)] for i in rng.permutation(len(people))]
        kept = max(1, len(people) // _KEPT_SHARE)
        tested = kept if len(people) >= _LEAST_FOR_TEST else 0
        chosen = kept if len(people) >= _LEAST_FOR_DEV else 0
        splits = ["test"] * tested + ["dev"] * chosen
        split |= dict(zip(people, splits + ["train"] * (len(people) - len(splits)), strict=True))
    parts: dict[str, list[Voice]] = {"train": [], "dev": [], "test": []}
    for voice in voices:
        parts[split[speaker(voice)]].append(voice)
    if not parts["test"]:
        return {name: list(voices) for name in parts}
    # With a handful of voices, what is proved on serves for choosing too.
    return {**parts, "dev": parts["dev"] or parts["test"]}
