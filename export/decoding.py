"""The gate's last part: what each form of a model hears in dev recordings, by the runtime's recognizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from edge_las.runtime.recognizer import Recognizer
from export.parity import Form
from export.recordings import FloatArray, Recording, held_out, spread


@dataclass(frozen=True)
class Spoken:
    """A dev recording in memory: samples (S,)."""

    dataset: str
    text: str
    samples: FloatArray


@dataclass
class Decoded:
    """What a form heard in each recording, and how sure it was."""

    label: str
    texts: list[str] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)


def read_dev(recordings: Sequence[Recording], per_set: int, set_samples: int) -> list[Spoken]:
    """Read up to `per_set` recordings with words of each data set, of about `set_samples` samples together.

    Of a set with longer recordings there are fewer, so that short ones, of which it takes many to tell two
    error rates apart, don't wait for them.
    """
    dev = [recording for recording in held_out(recordings, len(recordings)) if recording.text.strip()]
    chosen = []
    for dataset in sorted({recording.dataset for recording in dev}):
        room = set_samples
        for recording in spread([r for r in dev if r.dataset == dataset], per_set):
            if room <= 0:
                break
            chosen.append(Spoken(dataset, recording.text, recording.samples()))
            room -= len(chosen[-1].samples)
    return chosen


def bound(recognizer: Recognizer, form: Form) -> Recognizer:
    """Give a recognizer of the same settings over another form of its model."""
    return Recognizer(replace(recognizer.setup, engine=form.engine, manifest=form.manifest))


def decode(
    label: str, recognizer: Recognizer, spoken: Sequence[Spoken], progress: Callable[[str], None]
) -> Decoded:
    """Transcribe recordings with the search and the gates of the artifact."""
    decoded = Decoded(label)
    for number, recording in enumerate(spoken, start=1):
        result = recognizer.transcribe(recording.samples)
        decoded.texts.append(result.text)
        decoded.confidences.append(result.confidence)
        if number % 200 == 0 or number == len(spoken):
            progress(f"{label}: {number} of {len(spoken)} dev recordings decoded")
    return decoded
