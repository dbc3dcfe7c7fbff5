"""`edge-las listen`: sound in as it is spoken, text or JSON events out."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import FrameType
from typing import Any

from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.runtime.detectors import DEFAULT_DETECTOR, DETECTORS, VoiceDetector, make_detector
from edge_las.runtime.device import DeviceProfile
from edge_las.runtime.endpointer import Endpointer
from edge_las.runtime.events import JsonLines, TextLines
from edge_las.runtime.grammar_options import add_grammar_arguments, hotword_scorers, with_grammar_options
from edge_las.runtime.live import Session, listen
from edge_las.runtime.microphone import Microphone, MicrophoneConfig
from edge_las.runtime.options import add_recognizer_arguments, chosen_profile, load_recognizer
from edge_las.runtime.saving import Saver
from edge_las.runtime.sources import FileSource, PcmSource, Source
from edge_las.runtime.speech_states import EndpointConfig
from edge_las.runtime.wake import MicroWakeDetector, WakeGate

# How long an orderly end may take before a reader that takes no output is given up.
_PATIENCE_S = 3.0
_ENDPOINT_OPTIONS = {
    "trailing_silence_s": "--silence",
    "pre_roll_s": "--pre-roll",
    "min_speech_s": "--min-speech",
    "max_utterance_s": "--max-length",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", nargs="?", choices=["-"], help="-: 16-bit PCM from standard input")
    parser.add_argument("--wav", metavar="FILE", help="a file instead of the microphone, as fast as it goes")
    add_recognizer_arguments(parser, ("--profile",))
    add_grammar_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print every event as a JSON line")
    parser.add_argument(
        "--wake-word", metavar="NAME", help="hear only what follows it, such as okay_nabu, or a .json file"
    )
    parser.add_argument("--save", metavar="DIR", help="keep each utterance there as WAV and JSON")
    add_device_arguments(parser)
    add_endpoint_arguments(parser)


def add_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where utterances begin and end; what is not given is the profile's."""
    defaults = EndpointConfig()
    group = parser.add_argument_group("where utterances begin and end (seconds)")
    group.add_argument("--vad", choices=DETECTORS, help="what hears voices (default: webrtc+silero)")
    for option, default, text in (
        ("--silence", defaults.trailing_silence_s, "pause that ends an utterance"),
        ("--pre-roll", defaults.pre_roll_s, "taken from before the first speech"),
        ("--min-speech", defaults.min_speech_s, "shorter sounds are ignored"),
    ):
        group.add_argument(option, type=float, metavar="S", help=f"{text} (default {default:g})")
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
    if args.wav and (args.rate or args.channels):
        raise ConfigError("--rate and --channels are of a microphone or of -: a file tells its own")
    if args.device and (args.wav or args.input):
        raise ConfigError(f"--device {args.device}: no microphone is needed (a profile is --profile here)")
    profile = chosen_profile(args)
    recognizer = with_grammar_options(load_recognizer(args, profile), args)
    scorers = hotword_scorers(recognizer, args)
    detector = _detector(args, profile, recognizer.sample_rate)
    endpoints = endpoint_config(args, profile, recognizer.manifest.speller.max_utterance_s)
    endpointer = Endpointer(detector, endpoints, recognizer.sample_rate)
    saver = Saver(args.save, recognizer.sample_rate) if args.save else None
    wake = _wake_gate(args.wake_word, recognizer.sample_rate) if args.wake_word else None
    show = JsonLines(sys.stdout) if args.json else TextLines(sys.stdout, sys.stderr)
    with StopSignals() as signals:
        source = _source(args, profile, recognizer.sample_rate, show)
        try:
            listen(source, Session(recognizer, endpointer, show, saver, scorers, wake), signals.reason)
        finally:
            show.close()
    return 130 if signals.received == signal.SIGINT else 0


def _wake_gate(name: str, sample_rate: int) -> WakeGate:
    return WakeGate(MicroWakeDetector(name, sample_rate), sample_rate)


def _detector(args: argparse.Namespace, profile: DeviceProfile | None, sample_rate: int) -> VoiceDetector:
    if profile and args.vad in (None, profile.vad.detector):
        return make_detector(profile.vad.detector, sample_rate, profile.vad.mode)
    return make_detector(args.vad or DEFAULT_DETECTOR, sample_rate)


def endpoint_config(
    args: argparse.Namespace, profile: DeviceProfile | None, longest_s: float
) -> EndpointConfig:
    """Take the limits from options first, then from the profile; the model takes at most longest_s.

    Raises: ConfigError for limits that contradict each other or the model.
    """
    if args.max_length is not None and not args.max_length <= longest_s:
        raise ConfigError(f"--max-length {args.max_length:g}: the model takes at most {longest_s:g} s")
    config = profile.endpoint if profile else EndpointConfig(max_utterance_s=longest_s)
    # A profile is of a board, which any model may run on.
    longest_s = min(longest_s, config.max_utterance_s)
    given = {
        "pre_roll_s": args.pre_roll,
        "min_speech_s": args.min_speech,
        "trailing_silence_s": args.silence,
        "max_utterance_s": longest_s if args.max_length is None else args.max_length,
    }
    try:
        return replace(config, **{name: value for name, value in given.items() if value is not None})
    except ConfigError as error:
        name, _, what = str(error).partition(" ")
        raise ConfigError(f"{_ENDPOINT_OPTIONS.get(name, name)} {what}") from None


def microphone_config(args: argparse.Namespace, profile: DeviceProfile | None) -> MicrophoneConfig:
    """Take the microphone's settings from options first, then from the profile."""
    if profile is None:
        return MicrophoneConfig(args.device, args.rate, args.channels)
    audio = profile.audio
    return MicrophoneConfig(
        args.device or audio.device or None,
        args.rate or audio.rate_hz,
        args.channels or audio.channels,
        audio.chunk_ms / 1000.0,
    )


def _source(
    args: argparse.Namespace,
    profile: DeviceProfile | None,
    sample_rate: int,
    show: Callable[[dict[str, Any]], None],
) -> Source:
    if args.wav:
        return FileSource(args.wav, sample_rate)
    if args.input == "-":
        return PcmSource(sys.stdin.fileno(), args.rate or sample_rate, args.channels or 1, sample_rate)
    microphone = Microphone(microphone_config(args, profile), sample_rate)
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
