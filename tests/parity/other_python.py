"""An engine in another Python, one whose packages differ from this one's: calls go over a pipe."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_las.errors import ArtifactError
from edge_las.runtime.engine import Array, Listened, State, load_engine

ROOT = Path(__file__).resolve().parents[2]


class OtherPython:
    """The engine "tflite" of an artifact folder, run by another interpreter of Python."""

    name = "tflite"

    def __init__(self, python: str, folder: Path) -> None:
        command = [python, "-m", "tests.parity.other_python", str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def listener_chunk(self, features: Array, states: list[Array]) -> Listened:
        return self._call("listener_chunk", features, states)

    def speller_step(
        self, token: Array, encoded: Array, keys: Array, mask: Array, state: State
    ) -> tuple[Array, State]:
        return self._call("speller_step", token, encoded, keys, mask, state)

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _call(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        pickle.dump((method, arguments), self._process.stdin)
        self._process.stdin.flush()
        try:
            answer = pickle.load(self._process.stdout)
        except EOFError:
            answer = ArtifactError("the other Python died of it")
        if isinstance(answer, Exception):
            raise answer
        return answer


def main(folder: Path) -> None:
    from edge_las.artifact import load_manifest

    engine = None
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            engine = engine or load_engine("tflite", folder, load_manifest(folder).engines, 1)
            answer = getattr(engine, method)(*arguments)
        except Exception as error:  # for the other side to raise
            answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
