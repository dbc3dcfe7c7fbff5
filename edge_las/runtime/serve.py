"""`edge-las serve`: speech recognition for Home Assistant and others, over the Wyoming protocol."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np

from edge_las.cli_support import at_least_one
from edge_las.runtime.engine import EngineSpeller
from edge_las.runtime.frames import Limits
from edge_las.runtime.grammar_options import add_grammar_arguments, hotword_scorers, with_grammar_options
from edge_las.runtime.options import add_recognizer_arguments, chosen_profile, load_recognizer
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.session import Service, describe
from edge_las.runtime.wyoming_server import Server
from edge_las.search.fusion import Scorer

_DEFAULTS = Limits()


@dataclass(frozen=True)
class ServeConfig:
    """Where to listen and how to work."""

    uri: str
    limits: Limits
    workers: int
    part_s: float
    zeroconf: str | None
    http: str | None = None
    scorers: Sequence[Scorer] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--uri",
        default="tcp://127.0.0.1:10300",
        help="tcp://HOST:PORT or unix:///PATH (default: %(default)s)",
    )
    add_recognizer_arguments(parser)
    add_grammar_arguments(parser)
    parser.add_argument(
        "--max-clients", type=at_least_one, metavar="N",
        help=f"more are refused (default: the profile's, or {_DEFAULTS.max_clients})",
    )  # fmt: skip
    for option, default, text in (
        ("--max-seconds", _DEFAULTS.max_seconds, "longest utterance"),
        ("--idle-timeout", _DEFAULTS.idle_s, "a client that sends no event for so long is dropped"),
        ("--write-timeout", _DEFAULTS.write_s, "a client that reads nothing for so long is dropped"),
    ):
        parser.add_argument(
            option, type=float, default=default, metavar="S", help=f"{text} (default {default:g})"
        )
    parser.add_argument(
        "--workers",
        type=at_least_one,
        default=1,
        metavar="N",
        help="utterances worked on at once (default 1)",
    )
    parser.add_argument(
        "--http", metavar="URI", help="serve POST /v1/audio/transcriptions too, at http://HOST:PORT"
    )
    parser.add_argument(
        "--zeroconf", nargs="?", const="edge-las", metavar="NAME", help="announce on the local network"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return 0."""
    import wyoming.asr  # noqa: F401  # a missing package is told before the model is loaded

    profile = chosen_profile(args)
    limits = Limits(
        max_clients=args.max_clients or (profile.limits.max_clients if profile else _DEFAULTS.max_clients),
        max_seconds=args.max_seconds,
        idle_s=args.idle_timeout,
        write_s=args.write_timeout,
    )
    part_s = profile.audio.chunk_ms / 1000 if profile else Service.part_s
    recognizer = with_grammar_options(load_recognizer(args, profile), args)
    scorers = hotword_scorers(recognizer, args)
    prime(recognizer)
    config = ServeConfig(args.uri, limits, args.workers, part_s, args.zeroconf, args.http, scorers)
    asyncio.run(serve(recognizer, config))
    return 0


async def serve(recognizer: Recognizer, config: ServeConfig) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with ThreadPoolExecutor(config.workers, "edge-las") as pool:
        service = Service(recognizer, config.limits, pool, config.part_s, config.scorers)
        async with AsyncExitStack() as stack:
            if config.zeroconf:
                from edge_las.runtime.announce import announced

                await stack.enter_async_context(announced(config.uri, config.zeroconf))
            if config.http:
                from edge_las.runtime.http_server import http_served

                address = await stack.enter_async_context(http_served(service, config.http))
                print(f"edge-las: HTTP on {address}", file=sys.stderr, flush=True)
            await Server(service).serve(config.uri, stop)


def prime(recognizer: Recognizer) -> None:
    """Run every graph and search once, so that the first client waits no longer than the others."""
    rng = np.random.default_rng(0)
    utterance = recognizer.utterance()
    utterance.accept((0.05 * rng.standard_normal(recognizer.sample_rate)).astype(np.float32))
    utterance.finish()
    # The Speller, which noise alone doesn't wake.
    setup = recognizer.setup
    graph = setup.manifest.engines[setup.engine.name].speller
    shapes = {tensor.name: tensor.shape for tensor in graph.inputs}
    encoded, keys = (np.zeros((1, 8, shapes[name][-1] or 1), np.float32) for name in ("encoded", "keys"))
    speller = EngineSpeller(setup.engine, graph, encoded, keys)
    speller.step(np.array([setup.search.sos_id], dtype=np.int64), speller.initial_state())
    describe(recognizer)
