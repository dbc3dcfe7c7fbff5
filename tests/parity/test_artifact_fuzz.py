"""A whole artifact, damaged in thousands of ways: always an ArtifactError, and no engine sees any of it."""

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_las.artifact import MANIFEST_NAME, Manifest, describe_files
from edge_las.errors import ArtifactError
from edge_las.manifest_text import parse, render
from edge_las.packing import pack, unpack
from edge_las.runtime import recognizer
from edge_las.runtime.recognizer import Recognizer
from tests.unit.test_artifact import at, is_free, paths

Tiny = tuple[Path, Manifest]
CASES = 2000


@pytest.fixture
def folder(tiny_int8: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy whose engines must never be asked for."""

    def reached(*_: object) -> None:
        pytest.fail("an engine was given a damaged artifact")

    monkeypatch.setattr(recognizer, "load_engine", reached)
    return Path(shutil.copytree(tiny_int8[0], tmp_path / "model"))


def refuse(folder: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        Recognizer.load(folder)
    assert "\n" not in str(caught.value)


def flip(data: bytearray, dice: random.Random) -> None:
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def overwrite(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    data[start : start + dice.randrange(1, 64)] = dice.randbytes(dice.randrange(1, 64))


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def extend(data: bytearray, dice: random.Random) -> None:
    data.extend(dice.randbytes(dice.randrange(1, 64)))


def lose(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    del data[start : start + dice.randrange(1, 64)]


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, flip, overwrite, cut, extend, lose)


def test_thousands_of_damages_to_any_file(folder: Path) -> None:
    dice = random.Random(0)
    files = sorted(path for path in folder.iterdir())
    wholes = {path: path.read_bytes() for path in files}
    tried = 0
    while tried < CASES:
        path = dice.choice(files)
        data = bytearray(wholes[path])
        dice.choice(DAMAGES)(data, dice)
        if data == wholes[path]:
            continue
        path.write_bytes(data)
        refuse(folder)
        path.write_bytes(wholes[path])
        tried += 1


def test_files_that_are_missing_swapped_or_no_files(folder: Path) -> None:
    names = [path.name for path in folder.iterdir()]
    for name in names:
        whole = (folder / name).read_bytes()
        for other in names:
            if other != name:
                (folder / name).write_bytes((folder / other).read_bytes())
                refuse(folder)
        (folder / name).unlink()
        refuse(folder)
        (folder / name).mkdir()
        refuse(folder)
        (folder / name).rmdir()
        (folder / name).write_bytes(whole)


def test_every_field_deleted_even_by_someone_who_seals_it_anew(folder: Path) -> None:
    manifest = folder / MANIFEST_NAME
    whole = manifest.read_bytes()
    values = parse(whole)
    checked = 0
    for path in paths(values):
        damaged = copy.deepcopy(values)
        del at(damaged, path[:-1])[path[-1]]
        text = json.dumps({**damaged, "manifest_sha256": json.loads(whole)["manifest_sha256"]}, indent=2)
        manifest.write_text(text, "utf-8")
        refuse(folder)
        is_state = isinstance(path[-1], int) and str(at(values, path)).startswith("{'name': 'state_")
        # Of what this model does not give, a manifest need not tell.
        is_none = path[:1] == ("listener",) and str(path[-1]).startswith("middle_")
        spared = is_free(path) or "shape" in path or is_state or is_none
        if path != ("format_version",) and not spared:
            manifest.write_bytes(render(damaged))
            refuse(folder)
            checked += 1
    assert checked > 150


def test_graphs_that_are_no_graphs_but_listed_so(tiny_int8: Tiny, tmp_path: Path) -> None:
    """Whoever seals rubbish gets an error of one line from the engine's own reader, not a crash."""
    dice = random.Random(1)
    folder = Path(shutil.copytree(tiny_int8[0], tmp_path / "model"))
    values = parse((folder / MANIFEST_NAME).read_bytes())
    graph = folder / values["engines"]["onnx"]["speller"]["file"]
    whole = graph.read_bytes()
    for content in (b"", b"no graph", whole[: len(whole) // 2], dice.randbytes(5000)):
        graph.write_bytes(content)
        entry = describe_files(folder, [graph.name])[graph.name]
        values["files"][graph.name] = {"size": entry.size, "sha256": entry.sha256}
        (folder / MANIFEST_NAME).write_bytes(render(values))
        refuse(folder)


def test_a_packed_artifact_is_refused_or_whole(folder: Path, tmp_path: Path) -> None:
    """Of a packed file only padding and what tar keeps of owners and times may change."""
    pack(folder, tmp_path / "packed")
    whole = (tmp_path / "packed").read_bytes()
    dice = random.Random(2)
    for number in range(200):
        data = bytearray(whole)
        dice.choice(DAMAGES)(data, dice)
        (tmp_path / "damaged").write_bytes(data)
        out = tmp_path / f"out{number}"
        try:
            unpack(tmp_path / "damaged", out)
        except ArtifactError:
            assert not out.exists()
        else:
            assert {p.name: p.read_bytes() for p in out.iterdir()} == {
                p.name: p.read_bytes() for p in folder.iterdir()
            }
            shutil.rmtree(out)
