"""`edge-las listen`: sound in as it is spoken, text or JSON events out."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.runtime.detectors import DETECTORS, make_detector
from edge_las.runtime.endpointer import EndpointConfig, Endpointer
from edge_las.runtime.events import JsonLines, TextLines
from edge_las.runtime.live import Session, listen
from edge_las.runtime.microphone import Microphone, MicrophoneConfig
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.saving import Saver
from edge_las.runtime.sources import FileSource, PcmSource, Source

# How long an orderly end may take before a reader that takes no output is given up.
_PATIENCE_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", nargs="?", choices=["-"], help="-: 16-bit PCM from standard input")
    parser.add_argument("--wav", metavar="FILE", help="a file instead of the microphone, as fast as it goes")
    parser.add_argument("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    parser.add_argument("--beam", type=at_least_one, metavar="N", help="hypotheses kept; 1 = greedy search")
    parser.add_argument(
        "--threads", type=at_least_one, default=1, metavar="N", help="engine threads (default 1)"
    )
    parser.add_argument("--engine", default="auto", help="auto (default), onnx, tflite")
    parser.add_argument("--json", action="store_true", help="print every event as a JSON line")
    parser.add_argument("--save", metavar="DIR", help="keep each utterance there as WAV and JSON")
    add_device_arguments(parser)
    defaults = EndpointConfig()
    group = parser.add_argument_group("where utterances begin and end (seconds)")
    group.add_argument("--vad", choices=DETECTORS, default="webrtc", help="default: webrtc")
    group.add_argument(
        "--silence", type=float, default=defaults.trailing_silence_s, metavar="S",
        help=f"pause that ends an utterance (default {defaults.trailing_silence_s:g})",
    )  # fmt: skip
    group.add_argument(
        "--pre-roll", type=float, default=defaults.pre_roll_s, metavar="S",
        help=f"taken from before the first speech (default {defaults.pre_roll_s:g})",
    )  # fmt: skip
    group.add_argument(
        "--min-speech", type=float, default=defaults.min_speech_s, metavar="S",
        help=f"shorter sounds are ignored (default {defaults.min_speech_s:g})",
    )  # fmt: skip
    group.add_argument(
        "--max-length", type=float, metavar="S", help="longest utterance (default: what the model takes)"
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the microphone is chosen."""
    parser.add_argument("--device", metavar="NAME", help="input device: index, name or part of it")
    parser.add_argument("--rate", type=at_least_one, metavar="HZ", help="record at (-: has) this rate")
    parser.add_argument("--channels", type=at_least_one, metavar="N", help="record (-: has) so many channels")


def run(args: argparse.Namespace) -> int:
    """Listen until the source ends or a signal comes; return 0, or 130 after Ctrl-C."""
    if args.wav and args.input:
        raise ConfigError("--wav and - are both given: choose one")
    recognizer = Recognizer.load(args.model, args.engine, args.threads, args.beam)
    detector = make_detector(args.vad, recognizer.sample_rate)
    endpointer = Endpointer(detector, _endpoint_config(args, recognizer), recognizer.sample_rate)
    saver = Saver(args.save, recognizer.sample_rate) if args.save else None
    show = JsonLines(sys.stdout) if args.json else TextLines(sys.stdout, sys.stderr)
    with StopSignals() as signals:
        source = _source(args, recognizer.sample_rate, show)
        try:
            listen(source, Session(recognizer, endpointer, show, saver), signals.reason)
        finally:
            show.close()
    return 130 if signals.received == signal.SIGINT else 0


def _endpoint_config(args: argparse.Namespace, recognizer: Recognizer) -> EndpointConfig:
    most = recognizer.manifest.speller.max_utterance_s
    return EndpointConfig(
        pre_roll_s=args.pre_roll,
        min_speech_s=args.min_speech,
        trailing_silence_s=args.silence,
        max_utterance_s=most if args.max_length is None else min(most, args.max_length),
    )


def _source(args: argparse.Namespace, sample_rate: int, show: Callable[[dict[str, Any]], None]) -> Source:
    if args.wav:
        return FileSource(args.wav, sample_rate)
    if args.input == "-":
        return PcmSource(sys.stdin.fileno(), args.rate or sample_rate, args.channels or 1, sample_rate)
    microphone = Microphone(MicrophoneConfig(args.device, args.rate, args.channels), sample_rate)
    channels = f"{microphone.channels} channel{'s' if microphone.channels > 1 else ''}"
    text = f"listening to {microphone.device} at {microphone.rate_hz} Hz, {channels}; Ctrl-C ends"
    show({"event": "notice", "text": text})
    return microphone


class StopSignals(AbstractContextManager["StopSignals"]):
    """Turns Ctrl-C and SIGTERM into a request to stop, which is given time, but not for ever."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def reason(self) -> str:
        """Why to stop; empty while there is no reason."""
        return "stopped" if self.received else ""

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        # Nobody reads our output: flushing it at exit would block as writing it does now.
        os.write(2, b"edge-las: error: the reader of the output takes no more; it was not all written\n")
        os._exit(2)
