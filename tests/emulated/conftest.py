"""Emulated boards with the wheel of this checkout, and nothing else of it."""

from collections.abc import Callable

import pytest

from benchmarks.emulation.board import Board, board
from benchmarks.emulation.build import Unavailable, install_edge_las

Boards = Callable[[str], Board]


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    """Makes the board of a CPU or system; skips where this machine cannot build it."""
    edge_las = install_edge_las(tmp_path_factory.mktemp("wheel") / "edge_las")

    def made(name: str) -> Board:
        try:
            return board(name, edge_las)
        except Unavailable as error:
            pytest.skip(f"no emulated {name}: {error}")

    return made
