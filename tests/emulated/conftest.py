"""Emulated boards with the wheel of this checkout, and nothing else of it."""

from collections.abc import Callable

import pytest

from benchmarks.emulation.board import Board, board
from benchmarks.emulation.build import Unavailable, install_edge_las
from edge_las.errors import DeviceError

Boards = Callable[[str], Board]


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    """Makes the board of a CPU or system; skips where this machine cannot build it."""
    edge_las = install_edge_las(tmp_path_factory.mktemp("wheel") / "edge_las")

    known: dict[str, Board | DeviceError] = {}

    def made(name: str) -> Board:
        if name not in known:
            try:
                known[name] = board(name, edge_las)
            except DeviceError as error:
                known[name] = error
        found = known[name]
        if isinstance(found, Unavailable):
            pytest.skip(f"no emulated {name}: {found}")
        if isinstance(found, DeviceError):
            raise found
        return found

    return made
