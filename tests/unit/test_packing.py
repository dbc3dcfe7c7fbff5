import io
import os
import random
import tarfile
from dataclasses import asdict

import pytest

from edge_las.artifact import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Manifest,
    describe_files,
    load_manifest,
    sha256_file,
    write_manifest,
)
from edge_las.cli import main
from edge_las.errors import ArtifactError
from edge_las.packing import pack, unpack
from edge_las.tokens import TokenTable
from tests.unit.test_artifact import manifest_values


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    table = TokenTable.characters()
    table.save(folder / "tokens.txt")
    with open(folder / "tokens.txt", "a", encoding="utf-8") as file:
        file.write("th\t-1.0\n")
    for name in ("listener.onnx", "speller.onnx"):
        (folder / name).write_bytes(name.encode() * 100)
    files = describe_files(folder, ["tokens.txt", "listener.onnx", "speller.onnx"])
    values = manifest_values({name: asdict(entry) for name, entry in files.items()})
    write_manifest(folder, Manifest.from_dict(values))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def signed(folder):
    (folder / SIGNATURE_NAME).write_bytes(bytes(64))
    return folder


def test_a_signature_travels_along(signed, tmp_path):
    pack(signed, tmp_path / "a")
    unpack(tmp_path / "a", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(signed)


def test_there_and_back(folder, tmp_path):
    file, again = tmp_path / "model.tar", tmp_path / "again"
    assert main(["pack", str(folder), str(file)]) == 0
    assert main(["unpack", str(file), str(again)]) == 0
    assert contents(again) == contents(folder)


def test_an_earlier_artifact_is_replaced_and_nothing_else(folder, tmp_path, capsys):
    file, again = tmp_path / "model.tar", tmp_path / "again"
    for _ in range(2):
        assert main(["pack", str(folder), str(file)]) == 0
        assert main(["unpack", str(file), str(again)]) == 0
    assert contents(again) == contents(folder)
    thesis, letters = tmp_path / "thesis.txt", tmp_path / "letters"
    thesis.write_text("manifest.sha256 and other hashes")
    letters.mkdir()
    (letters / "one.txt").touch()
    assert main(["pack", str(folder), str(thesis)]) == 2
    assert "thesis.txt: exists and is no packed artifact; it is not replaced" in capsys.readouterr().err
    assert main(["unpack", str(file), str(letters)]) == 2
    assert "letters: exists and is no artifact; it is not replaced" in capsys.readouterr().err
    assert thesis.read_text().startswith("manifest") and (letters / "one.txt").exists()


def test_the_same_artifact_gives_the_same_bytes(folder, tmp_path):
    pack(folder, tmp_path / "a")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack(folder, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_artifact_is_not_packed(folder, tmp_path):
    with open(folder / "tokens.txt", "ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"tokens\.txt: has \d+ bytes"):
        pack(folder, tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def repacked(folder, target, change):
    entries = []
    seal = sha256_file(folder / MANIFEST_NAME).encode()
    for name, data in {"manifest.sha256": seal, **dict(sorted(contents(folder).items()))}.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        entries.append((entry, data))
    change(entries)
    with tarfile.open(target, "w") as archive:
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))
    return target


def added(name, kind=tarfile.REGTYPE, link=""):
    def change(entries):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        entries.append((entry, b""))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (added("../outside"), r"a packed entry is '\.\./outside', must be a plain file name"),
        (added("/tmp/outside"), "must be a plain file name"),
        (added("deep/inside"), "must be a plain file name"),
        (added("link", tarfile.SYMTYPE, "/etc/passwd"), "'link' is not a plain file"),
        (added("link", tarfile.LNKTYPE, "tokens.txt"), "'link' is not a plain file"),
        (added("pipe", tarfile.FIFOTYPE), "'pipe' is not a plain file"),
        (added("folder", tarfile.DIRTYPE), "'folder' is not a plain file"),
        (added("tokens.txt"), r"'tokens\.txt' is there twice"),
        (added("stranger.txt"), r"'stranger\.txt' is not listed in manifest\.json"),
        (lambda entries: entries.pop(), "is missing|no such file"),
    ],
)
def test_what_has_no_business_there_is_refused(folder, tmp_path, change, message):
    file = repacked(folder, tmp_path / "bad.tar", change)
    with pytest.raises(ArtifactError, match=message):
        unpack(file, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar", "model"]


def test_a_size_bomb_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_las.packing.MAX_BYTES", 100)
    pack(folder, tmp_path / "a")
    with pytest.raises(ArtifactError, match="too large for an artifact"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_every_truncation_and_flip_is_refused_or_harmless(folder, tmp_path):
    """A flip in padding, times or owners may pass; the content may not differ."""
    pack(folder, tmp_path / "good")
    good, rng = (tmp_path / "good").read_bytes(), random.Random(0)
    refused = 0
    for number in range(300):
        data = bytearray(good)
        if number % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "bad").write_bytes(data)
        out = tmp_path / f"out{number}"
        try:
            unpack(tmp_path / "bad", out)
        except ArtifactError:
            refused += 1
            assert not out.exists()
        else:
            assert contents(out) == contents(folder)
    assert refused > 100


def test_verify_says_what_is_wrong(folder, capsys):
    manifest = load_manifest(folder)
    assert describe_files(folder, manifest.files) == manifest.files
    (folder / "tokens.txt").unlink()
    assert main(["verify", str(folder)]) == 2
    assert "tokens.txt: is missing" in capsys.readouterr().err
    (folder / MANIFEST_NAME).write_text("{}")
    assert main(["verify", str(folder)]) == 2
    assert "manifest.json: " in capsys.readouterr().err
