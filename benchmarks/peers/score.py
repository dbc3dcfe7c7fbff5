"""What a system's texts are worth: as they are, and snapped to the nearest sentence of the grammar."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.peers.cells import PreparedSet
from benchmarks.peers.grammars import nearest
from benchmarks.peers.texts import spoken
from benchmarks.scoring import percentile
from edge_las.domain.proof import report
from edge_las.metrics import measure
from edge_las.search.automaton import Automaton


def score_cell(cell: dict[str, Any], prepared: PreparedSet) -> dict[str, Any]:
    """Score one system on one set, and add up its cost."""
    heard = cell["clips"]
    texts = [spoken(heard[clip.id]["text"]) for clip in prepared.clips.clips]
    delays, worked = ([one[name] for one in heard.values()] for name in ("delay_ms", "delay_cpu_ms"))
    audio_s = sum(prepared.seconds.values())
    cpu_s = sum(found["cpu_s"] for found in heard.values())
    return {
        **_accuracy(prepared, texts),
        "clips": len(texts),
        "audio_s": round(audio_s, 2),
        "cpu_s": round(cpu_s, 3),
        "cpu_s_per_audio_s": round(cpu_s / audio_s, 5),
        "delay_ms_p50": round(median(delays), 2),
        "delay_ms_p95": round(percentile(delays, 95), 2),
        "delay_cpu_ms_p50": round(median(worked), 2),
        "delay_cpu_ms_p95": round(percentile(worked, 95), 2),
        "peak_mb": cell["peak_mb"],
        "load_s": cell["load_s"],
        "load_cpu_s": cell["load_cpu_s"],
        "disk": cell["disk"],
        "unknown_words": cell.get("unknown_words", []),
        "date": cell["date"],
        "load_1min": cell["load_1min"],
    }


def _accuracy(prepared: PreparedSet, texts: Sequence[str]) -> dict[str, float]:
    grammar = prepared.clips.grammar
    automaton = Automaton(grammar) if grammar else None
    if prepared.clips.of_intents:
        assert automaton is not None
        return _intents(prepared, texts, automaton)
    said = [clip.text for clip in prepared.clips.clips]
    raw = measure(said, texts)
    found = {"wer": round(raw.wer, 4), "exact": round(raw.accuracy, 4)}
    if automaton is not None:
        snapped = measure(said, [nearest(automaton, text) for text in texts])
        found["snapped"] = round(snapped.accuracy, 4)
    return found


def _intents(prepared: PreparedSet, texts: Sequence[str], automaton: Automaton) -> dict[str, float]:
    """Count commands whose intent is right; "exact" where all slots are too."""
    cases = [clip.case for clip in prepared.clips.clips if clip.case is not None]
    found: dict[str, float] = {}
    for prefix, read in (("", texts), ("snapped_", [nearest(automaton, text) for text in texts])):
        counted = report(cases, [_meaning(automaton, text) for text in read])
        for name in ("intent_accuracy", "exact", "false_accepts"):
            if counted[name] is not None:
                found[prefix + name] = counted[name]
    return found


def _meaning(automaton: Automaton, text: str) -> dict[str, Any] | None:
    match = automaton.interpret(text)
    return {"intent": match.intent, "slots": match.slots} if match else None
