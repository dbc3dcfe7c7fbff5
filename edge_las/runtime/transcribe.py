"""`edge-las transcribe`: files in, text or JSON lines out."""

import argparse
import json

from edge_las.cli_support import fail
from edge_las.runtime.grammar_options import add_grammar_arguments, hotword_scorers, with_grammar_options
from edge_las.runtime.options import add_recognizer_arguments, chosen_profile, load_recognizer

# Small enough that the Listener keeps up with a file as it would with a microphone.
_BLOCK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="WAV, FLAC or Ogg Opus, any rate and channels"
    )
    add_recognizer_arguments(parser)
    add_grammar_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON line for each file")


def run(args: argparse.Namespace) -> int:
    """Transcribe every file that can be read; return 0 if all could."""
    from edge_las.audio import stream_audio
    from edge_las.errors import EdgeLasError

    recognizer = with_grammar_options(load_recognizer(args, chosen_profile(args)), args)
    scorers = hotword_scorers(recognizer, args)
    status = 0
    for name in args.files:
        try:
            audio = stream_audio(name, recognizer.sample_rate, _BLOCK_S)
            result = recognizer.transcribe(audio, scorers)
        except EdgeLasError as error:
            status = fail(error)
            continue
        if args.json:
            print(json.dumps({"file": name, **result.to_dict()}, ensure_ascii=False), flush=True)
        else:
            print(result.text, flush=True)
    return status
