"""`python -m benchmarks.latency`: how long each stage takes on dev recordings, one thread."""

import argparse
import sys

from benchmarks.command import Results, execute, measuring_parser
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import choose, load_recordings
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.stages import measure_stages


def run(options: argparse.Namespace) -> Results:
    """Measure each beam size on the same recordings."""
    folder = model_folder(options.model)
    results: Results = {
        "kind": "latency",
        "measured_on": describe_machine(),
        "threads": 1,
        "beams": {},
    }
    for beam in map(int, options.beam.split(",")):
        recognizer = Recognizer.load(folder, options.engine, 1, beam)
        longest_s = recognizer.manifest.speller.max_utterance_s
        chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", limit=options.limit)
        clips = [r.samples() for rows in chosen.values() for r in rows if r.seconds < longest_s]
        times = measure_stages(recognizer, clips, options.repeats)
        results["model"] = describe_model(folder, recognizer.manifest, recognizer.setup.engine.name)
        results["beams"][str(beam)] = {
            "clips": len(clips),
            "audio_s": round(times.audio_s, 1),
            "rtf": round(times.busy_s / times.audio_s, 6),
            "cpu_s_per_audio_s": round(times.cpu_s / times.audio_s, 6),
            "stages": times.summary(),
        }
    return results


def show(results: Results) -> None:
    """Print the times of each beam size."""
    for beam, found in results["beams"].items():
        print(f"beam {beam}: {found['clips']} recordings, rtf {found['rtf']:.4f}")
        for name, stage in found["stages"].items():
            figures = ", ".join(f"{p} {stage[f'{p}_ms']:8.3f} ms" for p in ("p50", "p95"))
            print(f"  {name:16}{stage['count']:7d} times, {figures}")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("latency", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--beam", default="1,4", metavar="LIST", help="beam sizes, 1 = greedy (default 1,4)")
    add("--limit", type=int, default=12, metavar="N", help="recordings of each data set (12)")
    add("--repeats", type=int, default=3, metavar="N", help="rounds that count, after one that does not (3)")
    # fmt: on
    return execute(parser, arguments, run, show)


if __name__ == "__main__":
    sys.exit(main())
