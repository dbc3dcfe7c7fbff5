"""The measured part of the model card, as Markdown, from what the benchmarks wrote."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.card_live import confidence_part, live_part
from benchmarks.markdown import percent, table

Results = Mapping[str, Any]

# What each data set is and under which licence; NOTICE has the credits.
SETS = {
    "librispeech": ("read English books, a part", "CC BY 4.0"),
    "speechocean762": (
        "sentences by Mandarin speakers, half of them children",
        "free for commercial and non-commercial use",
    ),
    "kathleen": ("one woman, ARCTIC prompts", "CC0"),
    "ljspeech": ("one woman, read", "public domain"),
    "speech_commands": ("single words, over two thousand speakers", "CC BY 4.0"),
    "fsdd": ("digits, telephone bandwidth", "CC BY-SA 4.0"),
    "alphanumeric": ("spelled names, telephone numbers", "MIT"),
    "asterisk": ("telephone prompts, one woman", "CC BY-SA 3.0"),
    "mycroft": ("wake words", "public domain"),
    "custom_keywords": ("wake words and short phrases", "CC BY 4.0"),
    "spelling": ("letters and digits, two men", "MIT repository"),
    "kokoro_home": ("synthetic (Kokoro-82M): Home Assistant sentences", "Apache-2.0, text CC BY 4.0"),
    "kokoro_read": ("synthetic (Kokoro-82M): LibriSpeech text", "Apache-2.0, text CC BY 4.0"),
    "kokoro_digits": ("synthetic (Kokoro-82M): digit strings", "Apache-2.0"),
    "kokoro_words": ("synthetic (Kokoro-82M): command words", "Apache-2.0"),
    "kokoro_everyday": ("synthetic (Kokoro-82M): everyday requests", "Apache-2.0"),
}


def render(
    accuracy: Results,
    float_accuracy: Results | None,
    memory: Results | None,
    latency: Results | None,
    confidence: Results | None = None,
    live: Results | None = None,
) -> str:
    """Write the measured part of the card; what was not measured is left out."""
    parts = [_model(accuracy), _data(accuracy["hours"]), _dev(accuracy)]
    if float_accuracy:
        parts.append(_int8_against_float(accuracy, float_accuracy))
    if "noise" in accuracy:
        parts.append(_noise(accuracy["noise"]))
    if memory or latency:
        parts.append(_cost(memory, latency))
    if confidence:
        parts.append(confidence_part(confidence))
    if live:
        parts.append(live_part(live))
    parts.append(_failures(accuracy))
    return "\n\n".join("\n".join(part) for part in parts)


def summary(accuracy: Results, float_accuracy: Results | None) -> dict[str, Any]:
    """Give the numbers for a manifest's `accuracy`."""
    numbers: dict[str, Any] = {}
    for label, results in ((None, accuracy), ("float", float_accuracy)):
        for beam, found in (results or {"beams": {}})["beams"].items():
            name = "greedy" if beam == "1" else f"beam_{beam}"
            name = f"{label}_{name}" if label else name
            numbers[name] = {
                dataset: {
                    key: scores[key]
                    for key in ("utterances", "wer", "cer", "accuracy", "snapped_accuracy", "digits_wer")
                    if key in scores
                }
                for dataset, scores in found["sets"].items()
            }
    if "noise" in accuracy:
        numbers["no_text_from_noise"] = accuracy["noise"]["only"]["empty_rate"]
    return numbers


def _model(accuracy: Results) -> Iterator[str]:
    model, machine = accuracy["model"], accuracy["measured_on"]
    yield (
        f"`{model['name']}`, {model['precision']}, {model['bytes'] / 1e6:.2f} MB on disk, from checkpoint "
        f"`{model['parent_checkpoint_sha256'][:12]}`."
    )
    yield (
        f"Measured {machine['date']} on {machine['machine']} ({machine['cpu']}), one thread, Python "
        f"{machine['python']}; no figure here is of a board."
    )


def _data(hours: Results) -> Iterator[str]:
    yield "### Data"
    yield ""
    rows = []
    totals = {"train": 0.0, "dev": 0.0}
    for name in sorted(hours, key=lambda name: -hours[name].get("train", 0.0)):
        what, licence = SETS.get(name, ("", "see its source"))
        for split in totals:
            totals[split] += hours[name].get(split, 0.0)
        rows.append([name, what, licence, *_hours(hours[name])])
    rows.append(["all", "", "", *_hours(totals)])
    yield from table(["set", "what", "licence", "train h", "dev h"], rows, text_columns=3)


def _hours(splits: Mapping[str, float]) -> list[str]:
    return [f"{splits[split]:.2f}" if splits.get(split) else "" for split in ("train", "dev")]


def _dev(accuracy: Results) -> Iterator[str]:
    beams = accuracy["beams"]
    utterances = sum(scores["utterances"] for scores in next(iter(beams.values()))["sets"].values())
    yield "### Dev recordings, clean"
    yield ""
    yield (
        f"{utterances} recordings of speakers who are not in the training data. Exact: the whole text is "
        "right. Snapped: so is the nearest word of the set's word list (edit distance), as an application "
        "with a fixed list would take it."
    )
    yield ""
    heads = ["set", "utterances", "search", "WER", "CER", "exact", "snapped", "digit strings WER"]
    rows = [
        [name, str(scores["utterances"]), _search(beam), *_scores(scores)]
        for name in next(iter(beams.values()))["sets"]
        for beam, scores in ((beam, found["sets"][name]) for beam, found in beams.items())
    ]
    yield from table(heads, rows)


def _scores(scores: Mapping[str, Any]) -> list[str]:
    keys = ("wer", "cer", "accuracy", "snapped_accuracy", "digits_wer")
    return [percent(scores.get(key)) for key in keys]


def _int8_against_float(accuracy: Results, reference: Results) -> Iterator[str]:
    precision = accuracy["model"]["precision"]
    yield f"### {precision} against {reference['model']['precision']}"
    yield ""
    yield f"WER of the same checkpoint in both forms; the float artifact has {_mb(reference)}."
    yield ""
    rows = []
    for beam, found in accuracy["beams"].items():
        for name, scores in found["sets"].items():
            other = reference["beams"].get(beam, {"sets": {}})["sets"].get(name)
            if other and other["utterances"] == scores["utterances"]:
                change = f"{100.0 * (scores['wer'] - other['wer']):+.1f}"
                rows.append([name, _search(beam), percent(scores["wer"]), percent(other["wer"]), change])
    yield from table(["set", "search", precision, "float", "difference"], rows)


def _mb(results: Results) -> str:
    return f"{results['model']['bytes'] / 1e6:.2f} MB"


def _noise(noise: Results) -> Iterator[str]:
    curve, only = noise["snr_db"], noise["only"]
    yield "### In noise"
    yield ""
    yield (
        f"WER with the noise `{noise['noise']}`, which training did not hear, mixed in at a ratio of mean "
        f"powers (pauses included), {_search(str(noise['beam']))}, at most "
        f"{max(scores['utterances'] for scores in curve['clean'].values())} recordings of a set."
    )
    yield ""
    heads = ["set", *(label if label == "clean" else f"{label} dB" for label in curve)]
    rows = [[name, *(percent(curve[label][name]["wer"]) for label in curve)] for name in curve["clean"]]
    yield from table(heads, rows)
    yield ""
    kinds = ", ".join(f"{name} {percent(rate)}" for name, rate in only["empty_rate_by_noise"].items())
    yield (
        f"Of {only['pieces']} stretches of noise alone and of digital silence (2 to 10 s, -20 to -50 dBFS), "
        f"{percent(only['empty_rate'])} gave no text, as they should: {kinds}."
    )


def _cost(memory: Results | None, latency: Results | None) -> Iterator[str]:
    yield "### Speed and memory, one thread"
    yield ""
    if memory:
        files = memory["files"].values()
        peaks = ", ".join(f"{found['peak_mb']:.0f} MB with {found['seconds']:g} s" for found in files)
        speeds = [found["times_real_time"] for found in files]
        yield f"- Peak memory of the process: {memory['peak_mb_2_s']:.0f} MB with 2 s of audio, {peaks}."
        yield (
            f"- {min(speeds):.0f} times faster than real time on long files "
            f"({_search(str(memory['beam']))}), counted in CPU seconds after the start."
        )
        yield (
            f"- Cold start, from process start to the text of 2 s of audio: {memory['cold_start_s']:.2f} s, "
            f"of which importing the runtime with numpy {memory['import_s']:.2f} s."
        )
    if latency:
        yield ""
        yield from _stages(latency)


def _stages(latency: Results) -> Iterator[str]:
    rows = []
    for beam, found in latency["beams"].items():
        for name, stage in found["stages"].items():
            times = [f"{stage[p]:.2f}" for p in ("p50_ms", "p95_ms")]
            rows.append([name.replace("_", " "), _search(beam), *times])
    yield from table(["stage", "search", "p50 ms", "p95 ms"], rows)
    yield ""
    yield (
        "Features are those of one Listener chunk; search is what follows the last chunk without the "
        "Speller's steps, delay all from the last sample to the text, both for a whole utterance."
    )


def _failures(accuracy: Results) -> Iterator[str]:
    beam, found = list(accuracy["beams"].items())[-1]
    yield "### Known failures"
    yield ""
    yield f"Wrong results ({_search(beam)}), taken at even distances among all that are wrong:"
    yield ""
    rows = [
        [name, pair["reference"], pair["heard"] or "(nothing)"]
        for name, pairs in found["examples"].items()
        for pair in pairs
    ]
    yield from table(["set", "said", "heard"], rows, text_columns=3)


def _search(beam: str) -> str:
    return "greedy" if beam == "1" else f"beam {beam}"
