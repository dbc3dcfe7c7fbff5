"""The `edge-las` command: picks a command and calls it; nothing is imported that the command does not use."""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edge_las import __version__
from edge_las.cli_support import fail
from edge_las.errors import ConfigError, DeviceError, EdgeLasError, system_reason


@dataclass(frozen=True)
class Command:
    """A command: the module with its `add_arguments(parser)` and `run(args) -> exit status`.

    extra names the part of the package (`pip install edge-las[extra]`) that brings what the module imports.
    """

    module: str
    help: str
    extra: str = ""


# To add a command, add a line.
COMMANDS = {
    "transcribe": Command("edge_las.runtime.transcribe", "print the words of audio files"),
    "info": Command("edge_las.runtime.info", "describe a model"),
    "verify": Command("edge_las.runtime.verify", "check a model's files, and load it"),
    "sign": Command("edge_las.runtime.sign", "sign a model folder with an Ed25519 key"),
    "pack": Command("edge_las.runtime.pack", "write a model folder as one file"),
    "unpack": Command("edge_las.runtime.unpack", "make a model folder of a packed one"),
    "lm": Command("edge_las.runtime.lm", "make a language model of texts"),
    "lexicon": Command("edge_las.runtime.lexicon", "look up how the words of texts are said"),
    "listen": Command("edge_las.runtime.listen", "recognize speech from a microphone as it is spoken"),
    "serve": Command("edge_las.runtime.serve", "serve Home Assistant and others (Wyoming)", extra="serve"),
    "profile": Command("edge_las.runtime.profile", "tell this board and what its device profile sets"),
    "devices": Command("edge_las.runtime.devices", "list microphones"),
    "doctor": Command("edge_las.runtime.doctor", "check microphone, engine, model and machine"),
    "bench": Command("edge_las.runtime.bench", "measure speed and memory on this device"),
    "train": Command("edge_las.train.run", "train a model from a recipe", extra="train"),
    "align": Command("edge_las.train.align", "find when each word of a corpus is said", extra="align"),
    "cut": Command("edge_las.train.cut", "cut long aligned recordings at pauses", extra="train"),
    "distill": Command("edge_las.train.distill", "let a Whisper teach: hear a corpus once", extra="distill"),
    "domain": Command("edge_las.domain.command", "make a model understand your own commands", extra="domain"),
    "download": Command("edge_las.train.downloads", "fetch a public data set", extra="train"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 or 2 for errors, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal cannot show; in JSON this is an escape, too.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except EdgeLasError as error:
        return fail(error)
    except KeyboardInterrupt:
        print("edge-las: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to say, nor to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return fail(f"not everything could be written: {system_reason(error)}")
        if error.filename is None:
            raise
        return fail(f"{error.filename}: {system_reason(error)}")


def _run(argv: list[str]) -> int:
    _check_not_empty(argv)
    parser = argparse.ArgumentParser(prog="edge-las", description="Speech recognition on small computers.")
    parser.add_argument("--version", action="version", version=f"edge-las {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), "")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            with _explained_imports(name, command):
                importlib.import_module(command.module).add_arguments(subparser)
    args = parser.parse_args(argv)
    with _explained_imports(chosen, COMMANDS[chosen]):
        status: int = importlib.import_module(COMMANDS[chosen].module).run(args)
    return status


def _check_not_empty(argv: list[str]) -> None:
    """Raise ConfigError for an empty word: a script's unset variable would else pass for no option."""
    for before, word in zip(["edge-las", *argv], argv, strict=False):
        if not word:
            raise ConfigError(f"the argument after {before} is empty")
        if word.startswith("--") and word.endswith("="):
            raise ConfigError(f"the argument {word} is empty")


@contextmanager
def _explained_imports(name: str, command: Command) -> Iterator[None]:
    """Turn a missing package of an extra into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not command.extra or package == "edge_las":
            raise
        advice = f"pip install edge-las[{command.extra}]"
        raise DeviceError(f"{name} needs the package {package}, which is not installed: {advice}") from None
