"""`edge-las transcribe`: files in, text or JSON lines out."""

import argparse
import json

from edge_las.cli_support import at_least_one, fail

# Small enough that the Listener keeps up with a file as it would with a microphone.
_BLOCK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="WAV, FLAC or Ogg Opus, any rate and channels"
    )
    parser.add_argument("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    parser.add_argument("--beam", type=at_least_one, metavar="N", help="hypotheses kept; 1 = greedy search")
    parser.add_argument(
        "--threads", type=at_least_one, default=1, metavar="N", help="engine threads (default 1)"
    )
    parser.add_argument("--engine", default="auto", help="auto (default), onnx")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each file")


def run(args: argparse.Namespace) -> int:
    """Transcribe every file that can be read; return 0 if all could."""
    from edge_las.audio import stream_audio
    from edge_las.errors import EdgeLasError
    from edge_las.runtime.recognizer import Recognizer

    recognizer = Recognizer.load(args.model, args.engine, args.threads, args.beam)
    status = 0
    for name in args.files:
        try:
            result = recognizer.transcribe(stream_audio(name, recognizer.sample_rate, _BLOCK_S))
        except EdgeLasError as error:
            status = fail(error)
            continue
        if args.json:
            print(json.dumps({"file": name, **result.to_dict()}, ensure_ascii=False), flush=True)
        else:
            print(result.text, flush=True)
    return status
