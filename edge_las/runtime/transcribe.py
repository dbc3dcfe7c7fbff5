"""`edge-las transcribe`: files in, text or JSON lines out."""

import argparse
import json
import sys
from collections.abc import Iterator

from edge_las.audio import FloatArray, stream_audio
from edge_las.cli_support import fail
from edge_las.errors import AudioError, EdgeLasError
from edge_las.runtime.grammar_options import add_grammar_arguments, hotword_scorers, with_grammar_options
from edge_las.runtime.options import add_recognizer_arguments, chosen_profile, load_recognizer

# Small enough that the Listener keeps up with a file as it would with a microphone.
_BLOCK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="WAV, FLAC, Ogg, MP3 or AIFF of any rate; -: standard input"
    )
    add_recognizer_arguments(parser)
    add_grammar_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON line for each file")


def run(args: argparse.Namespace) -> int:
    """Transcribe every file that can be read; return 0 if all could."""
    recognizer = with_grammar_options(load_recognizer(args, chosen_profile(args)), args)
    scorers = hotword_scorers(recognizer, args)
    status = 0
    for name in args.files:
        try:
            result = recognizer.transcribe(_blocks(name, recognizer.sample_rate), scorers)
        except EdgeLasError as error:
            status = fail(error)
            continue
        if args.json:
            print(json.dumps({"file": name, **result.to_dict()}, ensure_ascii=False), flush=True)
        else:
            print(result.text, flush=True)
    return status


def _blocks(name: str, sample_rate: int) -> Iterator[FloatArray]:
    if name != "-":
        yield from stream_audio(name, sample_rate, _BLOCK_S)
        return
    import shutil
    import tempfile

    # Through a file: whether all came is seen from its length and its end, which a pipe does not show.
    with tempfile.NamedTemporaryFile(prefix="edge-las-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield from stream_audio(file.name, sample_rate, _BLOCK_S)
        except AudioError as error:
            raise AudioError(str(error).replace(file.name, "standard input")) from None
