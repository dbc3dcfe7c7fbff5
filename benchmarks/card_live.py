"""The part of the model card on confidence and on the live loop."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import percent, table

Results = Mapping[str, Any]


def confidence_part(results: Results) -> Iterator[str]:
    """Write how far confidences can be trusted, and what a threshold on them costs."""
    text, word, gate = results["text"], results["word"], results["gate"]
    yield "### Confidence"
    yield ""
    yield (
        f"Fitted to dev recordings by logistic regression, measured by cross-validation on them: expected "
        f"calibration error {text['expected_calibration_error']:.3f} for whole texts ({text['count']}, "
        f"{percent(text['right'])} right), {word['expected_calibration_error']:.3f} for words "
        f"({word['count']}, {percent(word['right'])} right). The gates refuse "
        f"{percent(gate['right_refused'])} of the texts that are right; of those with at least half of their "
        f"letters right, {_by_set(gate['mostly_right_refused_by_set'])}."
    )
    yield ""
    rows = [
        [f"{row['from']:.1f} to {row['from'] + 0.1:.1f}", str(row["count"]), percent(row["true"])]
        for row in text["reliability"]
    ]
    yield from table(["confidence of the text", "texts", "right"], rows)
    yield ""
    rows = [
        [f"{row['threshold']:.1f}", percent(row["false_accepts"]), percent(row["false_rejects"])]
        for row in text["rejection"][2::4]
    ]
    yield from table(["`--min-confidence`", "wrong texts accepted", "right texts rejected"], rows)


def _by_set(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{percent(lost)} in {name}" for name, lost in shares.items())


def live_part(results: Results) -> Iterator[str]:
    """Write what the live loop shows, when, and what it makes of noise."""
    yield "### Live"
    yield ""
    yield (
        "Through the loop of `edge-las listen`: delay from the end of speech being known to the text, and "
        "words of partial text that a later one took back."
    )
    yield ""
    rows = [
        [
            name,
            str(found["utterances"]),
            percent(found["wer"]),
            f"{found['delay_ms_p50']:.1f}",
            f"{found['delay_ms_p95']:.1f}",
            f"{found['partial_words_taken_back']} of {found['partial_words']}",
        ]
        for name, found in results["sets"].items()
        if found["utterances"]
    ]
    heads = ["set", "utterances", "WER", "delay p50 ms", "p95 ms", "partial words taken back"]
    yield from table(heads, rows)
    if "noise" in results:
        noise = results["noise"]
        yield ""
        yield (
            f"Of {noise['seconds']:.0f} s of noise and silence {noise['utterances']} stretches were taken "
            f"for speech, {noise['with_text']} gave text."
        )
