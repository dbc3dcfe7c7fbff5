"""`python -m benchmarks.tune`: which gate thresholds and search settings suit a model, on dev recordings."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.noise import FloatArray, load_noises, pieces
from benchmarks.recordings import Recording, choose, load_recordings
from edge_las.metrics import measure
from edge_las.runtime.confidence import mean_prob
from edge_las.runtime.engine import EngineSpeller
from edge_las.runtime.gate import GateConfig, LevelMeter, expected_ctc_tokens, silent_ids
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.greedy import greedy_search
from edge_las.search.hypothesis import Hypothesis


@dataclass(frozen=True)
class Sound:
    """A recording or a stretch of noise as the Listener heard it, once for all settings."""

    source: str
    text: str
    heard: Heard
    level_dbfs: float
    ctc_tokens: float
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What a search made of a sound before any gate."""

    text: str
    confidence: float


def listen(recognizer: Recognizer, source: str, text: str, samples: FloatArray) -> Sound | None:
    """Run the Listener; None where the sound has no encoded frame or not the least level."""
    setup = recognizer.setup
    stream = ListenerStream(setup.engine, setup.manifest)
    meter = LevelMeter(recognizer.sample_rate)
    meter.accept(samples)
    stream.accept(samples)
    heard = stream.finish()
    if heard is None or meter.dbfs == -np.inf:
        return None
    tokens = expected_ctc_tokens(heard.ctc_log_probs, silent_ids(setup.tokens))
    return Sound(source, text, heard, meter.dbfs, tokens, samples.size / recognizer.sample_rate)


def answer(recognizer: Recognizer, sound: Sound, config: BeamConfig) -> Answer:
    """Search a sound that was listened to."""
    setup = recognizer.setup
    graph = setup.manifest.engines[setup.engine.name].speller
    speller = EngineSpeller(setup.engine, graph, sound.heard.encoded, sound.heard.keys)
    most = int(setup.manifest.speller.max_tokens_per_s * sound.seconds) + 4
    config = replace(config, max_tokens=most)
    best: Hypothesis
    if config.beam_size == 1:
        best = greedy_search(speller, config)
    else:
        best = beam_search(speller, config, sound.heard.ctc_log_probs)[0]
    text = setup.tokens.decode(best.tokens)
    return Answer(text, mean_prob(best.token_log_probs) if text else 0.0)


def passes(gate: GateConfig, sound: Sound, answered: Answer) -> bool:
    """Tell whether the gates let an answer through, as `Utterance` does."""
    return (
        bool(answered.text)
        and sound.level_dbfs > gate.gate_min_level_dbfs
        and sound.ctc_tokens >= gate.gate_min_ctc_tokens
        and answered.confidence >= gate.gate_min_confidence
    )


def sweep_gate(
    speech: Sequence[tuple[Sound, Answer]], noise: Sequence[tuple[Sound, Answer]]
) -> list[dict[str, float]]:
    """Try pairs of thresholds: the share of noise that gives text, and of speech that loses its text."""
    rows = []
    grid = itertools.product(
        (0.3, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0), (0.0, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
    )
    for tokens, confidence in grid:
        gate = GateConfig(gate_min_ctc_tokens=tokens, gate_min_confidence=confidence)
        spoken = [pair for pair in speech if pair[1].text]
        right = [pair for pair in spoken if pair[0].text == pair[1].text]
        rows.append(
            {
                "gate_min_ctc_tokens": tokens,
                "gate_min_confidence": confidence,
                "noise_with_text": _share(passes(gate, *pair) for pair in noise),
                "speech_lost": _share(not passes(gate, *pair) for pair in spoken),
                "right_lost": _share(not passes(gate, *pair) for pair in right),
            }
        )
    return rows


def best_gate(rows: Sequence[dict[str, float]], most_right_lost: float = 0.01) -> dict[str, float]:
    """Choose the thresholds that let least noise through, of those that lose few right answers."""
    allowed = [row for row in rows if row["right_lost"] <= most_right_lost] or list(rows)
    return min(allowed, key=lambda row: (row["noise_with_text"], row["right_lost"], row["speech_lost"]))


def _share(truths: Iterable[bool]) -> float:
    values = list(truths)
    return round(sum(values) / len(values), 4) if values else 0.0


def search_settings(base: BeamConfig) -> Iterator[tuple[str, BeamConfig]]:
    """Name the searches to try: greedy, the weight of CTC, then length, then width."""
    yield "beam_size=1", replace(base, beam_size=1)
    for weight in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6):
        yield f"beam_size=4 ctc_weight={weight}", replace(base, beam_size=4, ctc_weight=weight)
    for bonus in (0.2, 0.5):
        yield f"beam_size=4 token_bonus={bonus}", replace(base, beam_size=4, token_bonus=bonus)
    for penalty in (0.3, 0.6):
        yield f"beam_size=4 length_penalty={penalty}", replace(base, beam_size=4, length_penalty=penalty)
    for size in (2, 8):
        yield f"beam_size={size}", replace(base, beam_size=size)


def sweep_search(recognizer: Recognizer, sounds: Sequence[Sound], progress: Progress) -> list[dict[str, Any]]:
    """Decode with each setting, without gates: WER of each data set, their mean, and seconds it took."""
    rows = []
    for name, config in search_settings(recognizer.setup.search):
        started = time.process_time()
        texts = [answer(recognizer, sound, config).text for sound in sounds]
        seconds = time.process_time() - started
        wers = {}
        for source in dict.fromkeys(sound.source for sound in sounds):
            pairs = [(s.text, t) for s, t in zip(sounds, texts, strict=True) if s.source == source]
            wers[source] = round(measure(*map(list, zip(*pairs, strict=True))).wer, 4)
        mean = round(sum(wers.values()) / len(wers), 4)
        rows.append({"setting": name, "mean_wer": mean, "cpu_s": round(seconds, 1), **wers})
        progress(f"{name}: mean WER {mean:.2%}, {seconds:.1f} s, {wers}")
    return rows


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say."""
    recognizer = Recognizer.load(options.model, options.engine, 1, options.beam)
    limit_s = recognizer.manifest.speller.max_utterance_s
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", limit=options.limit)
    sounds = list(_listened(recognizer, [r for rows in chosen.values() for r in rows if r.seconds < limit_s]))
    noises = pieces(load_noises(options.noise, recognizer.sample_rate), recognizer.sample_rate)
    stretches = [listen(recognizer, piece.source, "", piece.samples) for piece in noises]
    progress(f"{len(sounds)} recordings and {len(stretches)} stretches of noise listened to")
    config = recognizer.setup.search
    speech = [(sound, answer(recognizer, sound, config)) for sound in sounds]
    noise = [(sound, answer(recognizer, sound, config)) for sound in stretches if sound]
    rows = sweep_gate(speech, noise)
    results: Results = {"kind": "tune", "gate": rows, "best_gate": best_gate(rows)}
    results["noise"] = [_described(*pair) for pair in noise]
    results["speech_percentiles"] = _percentiles([pair for pair in speech if pair[0].text == pair[1].text])
    progress(f"gate: {results['best_gate']}")
    if options.search:
        results["search"] = sweep_search(recognizer, sounds, progress)
    return results


def _listened(recognizer: Recognizer, recordings: Iterable[Recording]) -> Iterator[Sound]:
    for recording in recordings:
        sound = listen(recognizer, recording.dataset, recording.text, recording.samples())
        if sound is not None:
            yield sound


def _described(sound: Sound, answered: Answer) -> dict[str, Any]:
    return {
        "noise": sound.source,
        "level_dbfs": round(sound.level_dbfs, 1),
        "ctc_tokens": round(sound.ctc_tokens, 2),
        "confidence": round(answered.confidence, 3),
        "text": answered.text,
    }


def _percentiles(right: Sequence[tuple[Sound, Answer]]) -> dict[str, list[float]]:
    """Give the lowest values of recordings that were understood: at 0, 0.5, 1, 2, 5 and 50 percent."""
    if not right:
        return {}
    columns = {
        "level_dbfs": [sound.level_dbfs for sound, _ in right],
        "ctc_tokens": [sound.ctc_tokens for sound, _ in right],
        "confidence": [answered.confidence for _, answered in right],
    }
    points = (0, 0.5, 1, 2, 5, 50)
    return {name: np.percentile(values, points).round(3).tolist() for name, values in columns.items()}


def show(results: Results) -> None:
    """Print what was found best, as JSON."""
    print(json.dumps({"best_gate": results["best_gate"], "search": results.get("search", [])}, indent=2))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("tune", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--noise", type=Path, required=True, metavar="DIR", help="folder of noise recordings")
    add("--limit", type=int, default=150, metavar="N", help="recordings of each data set (150)")
    add("--beam", type=int, metavar="N", help="for the gate (default: the model's)")
    add("--search", action="store_true", help="try search settings too, which takes minutes")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
