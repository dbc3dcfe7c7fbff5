import csv
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_las.errors import AudioError, ConfigError
from edge_las.train import downloads
from edge_las.train.downloads import DATASETS, DatasetSource, prepare_dataset
from edge_las.train.fetch import Archive, DownloadError, Retry, fetch, unpack

QUICK = Retry(attempts=2, wait_s=0.01)


class Server(ThreadingHTTPServer):
    """Serves `files`; breaks off after `break_after` bytes as often as `breaks` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.break_after = 0
        self.breaks = 0
        self.statuses: list[int] = []  # answered before anything else
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def archive(self, name: str, data: bytes) -> Archive:
        self.files[name] = data
        return Archive(f"{self.url}/{name}", f"sha256:{hashlib.sha256(data).hexdigest()}")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.requests.append(asked)
        if self.server.statuses:
            return self.send_error(self.server.statuses.pop(0))
        data = self.server.files.get(self.path.lstrip("/"))
        if data is None:
            return self.send_error(404)
        match = re.fullmatch(r"bytes=(\d+)-", asked) if self.server.ranges else None
        start = int(match[1]) if match else 0
        if start >= len(data):
            return self.send_error(416)
        self.send_response(206 if match else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            self.wfile.write(data[start : start + self.server.break_after])
            return None
        self.wfile.write(data[start:])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def tar(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                file.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def audio(seconds: float, kind: str) -> bytes:
    out = io.BytesIO()
    samples = np.random.default_rng(1).uniform(-0.1, 0.1, int(seconds * 16000))
    soundfile.write(out, samples, 16000, format=kind, subtype="PCM_16")
    return out.getvalue()


def read_manifest(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_fetch_stores_the_file_once(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(100_000))
    path = fetch(archive, tmp_path / "new", QUICK)
    assert path.read_bytes() == server.files["a.bin"]
    assert fetch(archive, tmp_path / "new", QUICK) == path and len(server.requests) == 1
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_broken_connection_is_resumed_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(100_000))
    server.break_after, server.breaks = 30_000, 3
    path = fetch(archive, tmp_path, QUICK)
    assert path.read_bytes() == server.files["a.bin"]
    assert server.requests == ["", "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_next_run_continues_an_interrupted_one(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(100_000))
    server.break_after, server.breaks = 0, 5
    (tmp_path / "a.bin.part").write_bytes(server.files["a.bin"][:70_000])
    with pytest.raises(DownloadError, match=r"a\.bin: .*70000 bytes are kept, run again"):
        fetch(archive, tmp_path, QUICK)
    server.breaks = 0
    assert fetch(archive, tmp_path, QUICK).read_bytes() == server.files["a.bin"]
    assert server.requests[-1] == "bytes=70000-"


def test_complete_part_file_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(1000))
    (tmp_path / "a.bin.part").write_bytes(server.files["a.bin"])
    assert fetch(archive, tmp_path, QUICK).read_bytes() == server.files["a.bin"]


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(50_000))
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"x" * 100)
    assert fetch(archive, tmp_path, QUICK).read_bytes() == server.files["a.bin"]


def test_passing_errors_are_retried_and_final_ones_are_not(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(1000))
    server.statuses = [503]
    fetch(archive, tmp_path, QUICK)
    with pytest.raises(DownloadError, match=r"gone\.bin: 404"):
        fetch(Archive(f"{server.url}/gone.bin", "md5:0"), tmp_path, QUICK)
    assert len(server.requests) == 3


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"a\.bin: .*refused") as caught:
        fetch(Archive("http://127.0.0.1:9/a.bin", "md5:0"), tmp_path, QUICK)
    assert "\n" not in str(caught.value)


def test_wrong_checksum_names_the_file_and_fetches_anew(server: Server, tmp_path: Path) -> None:
    archive = server.archive("a.bin", noise(1000))
    server.files["a.bin"] = b"something else"
    with pytest.raises(DownloadError, match=r"^a\.bin: sha256 is [0-9a-f]{64}, should be [0-9a-f]{64}"):
        fetch(archive, tmp_path, QUICK)
    assert not list(tmp_path.iterdir())
    server.files["a.bin"] = noise(1000)
    assert fetch(archive, tmp_path, QUICK).read_bytes() == noise(1000)


def test_md5_and_a_file_that_was_put_there(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")
    good = Archive("http://127.0.0.1:9/a.bin", f"md5:{hashlib.md5(b'mine').hexdigest()}")
    assert fetch(good, tmp_path, QUICK) == tmp_path / "a.bin"
    with pytest.raises(DownloadError, match=r"a\.bin: md5 is"):
        fetch(Archive(good.url, "md5:" + "0" * 32), tmp_path, QUICK)
    assert (tmp_path / "a.bin").exists()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../evil": b"x"}, "'../evil' would be written outside"),
        ({"a/../../evil": b"x"}, "'a/../../evil' would be written outside"),
        ({"/tmp/edge-las-evil": b"x"}, "'/tmp/edge-las-evil' would be written outside"),
        ({"up": link("up", "..")}, "'up' is neither"),
        ({"hard": link("hard", "/etc/passwd", tarfile.LNKTYPE)}, "'hard' is neither"),
        ({"fifo": link("fifo", "", tarfile.FIFOTYPE)}, "'fifo' is neither"),
    ],
)
def test_tar_cannot_write_outside(members: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "bad.tar.gz"
    path.write_bytes(tar({"first": b"ok", **members}))
    with pytest.raises(DownloadError, match=message) as caught:
        unpack(path, tmp_path / "inner" / "out")
    assert "bad.tar.gz" in str(caught.value)
    assert not (tmp_path / "inner" / "out").exists() and not (tmp_path / "evil").exists()


def test_unpack_is_whole_or_not_at_all(tmp_path: Path) -> None:
    data = tar({"a/b": noise(50_000), "c": b"c"})
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(data[:20_000])
    with pytest.raises(DownloadError, match=r"cut\.tar\.gz: cannot be unpacked"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    path.write_bytes(data)
    assert (unpack(path, tmp_path / "out") / "a" / "b").read_bytes() == noise(50_000)


def librispeech_part(part: str, speaker: int) -> bytes:
    folder = f"LibriSpeech/{part}/{speaker}/7"
    return tar({
        "LibriSpeech/README.TXT": b"about",
        f"{folder}/{speaker}-7-0000.flac": audio(1.25, "FLAC"),
        f"{folder}/{speaker}-7-0001.flac": audio(2.0, "FLAC"),
        f"{folder}/{speaker}-7.trans.txt":
            f"{speaker}-7-0000 CHAPTER ONE\n{speaker}-7-0001 IT'S A FINE DAY\n".encode(),
    })  # fmt: skip


def serve_dataset(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, parts: dict[str, bytes]
) -> None:
    archives = {part: server.archive(f"{part}.tar.gz", data) for part, data in parts.items()}
    monkeypatch.setitem(downloads.DATASETS, name, DatasetSource(archives, DATASETS[name].rows))


def test_librispeech_layout(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = {
        "train-clean-100": librispeech_part("train-clean-100", 19),
        "dev-clean": librispeech_part("dev-clean", 84),
    }
    serve_dataset(server, monkeypatch, "librispeech", parts)
    manifest = prepare_dataset("librispeech", tmp_path)
    rows = read_manifest(manifest)
    assert manifest == tmp_path / "manifest.tsv" and len(rows) == 4
    assert rows[1] == {
        "id": "librispeech-19-7-0001",
        "path": "train-clean-100/LibriSpeech/train-clean-100/19/7/19-7-0001.flac",
        "dataset": "librispeech", "speaker": "libri19", "split": "train", "seconds": "2.000",
        "text": "it's a fine day",
    }  # fmt: skip
    assert [row["split"] for row in rows] == ["train", "train", "dev", "dev"]
    assert all((tmp_path / row["path"]).is_file() for row in rows)
    prepare_dataset("librispeech", tmp_path, ["dev-clean"])
    assert len(read_manifest(manifest)) == 2 and len(server.requests) == 2


def test_librispeech_names_a_missing_recording(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tar({"LibriSpeech/dev-clean/84/7/84-7.trans.txt": b"84-7-0000 WORDS\n"})
    serve_dataset(server, monkeypatch, "librispeech", {"dev-clean": data})
    with pytest.raises(AudioError, match=r"84-7-0000\.flac"):
        prepare_dataset("librispeech", tmp_path)
    assert not (tmp_path / "manifest.tsv").exists()


def test_speech_commands_layout(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wav = audio(1.0, "WAV")
    data = tar({
        "./README.md": b"about",
        "./validation_list.txt": b"yes/bb_nohash_0.wav\n",
        "./testing_list.txt": b"no/cc_nohash_1.wav\n",
        "./_background_noise_/running_tap.wav": audio(2.0, "WAV"),
        "./yes/aa_nohash_0.wav": wav,
        "./yes/bb_nohash_0.wav": wav,
        "./no/cc_nohash_1.wav": wav,
    })  # fmt: skip
    serve_dataset(server, monkeypatch, "speech_commands", {"speech_commands_v0.02": data})
    rows = read_manifest(prepare_dataset("speech_commands", tmp_path, mirror=server.url + "/"))
    assert [(row["text"], row["speaker"], row["split"], row["seconds"]) for row in rows] == [
        ("no", "gsccc", "test", "1.000"),
        ("yes", "gscaa", "train", "1.000"),
        ("yes", "gscbb", "dev", "1.000"),
    ]
    assert len({row["id"] for row in rows}) == 3
    assert (tmp_path / "speech_commands_v0.02" / "_background_noise_" / "running_tap.wav").is_file()


def test_unknown_names_are_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nonesuch: no such data set; there are librispeech"):
        prepare_dataset("nonesuch", tmp_path)
    with pytest.raises(ConfigError, match="train: no such part of librispeech; there are train-clean-100"):
        prepare_dataset("librispeech", tmp_path, ["train"])


def test_every_archive_has_a_checksum_of_its_length() -> None:
    for source in DATASETS.values():
        for archive in source.archives.values():
            algorithm, digest = archive.checksum.split(":")
            assert re.fullmatch({"md5": "[0-9a-f]{32}", "sha256": "[0-9a-f]{64}"}[algorithm], digest)
            assert archive.url.startswith("https://") and archive.file.endswith(".tar.gz")
