"""Public data sets: fetched, checked, and described by a manifest.tsv that training reads."""

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tqdm import tqdm

from edge_las.audio import audio_duration
from edge_las.errors import ConfigError
from edge_las.tokens import normalize_text
from edge_las.train.fetch import Archive, DownloadError, fetch, unpack


@dataclass(frozen=True)
class Row:
    """A line of manifest.tsv; `path` is relative to its folder."""

    id: str
    path: str
    dataset: str
    speaker: str
    split: str
    seconds: str
    text: str


# From the folder of an unpacked archive and the folder of the manifest to lines of it.
Lister = Callable[[Path, Path], Iterator[Row]]


@dataclass(frozen=True)
class DatasetSource:
    """A public data set: its archives by the name of the part that each holds."""

    archives: dict[str, Archive]
    rows: Lister


def prepare_dataset(
    name: str, root: str | Path, parts: Sequence[str] = (), mirror: str | None = None
) -> Path:
    """Fetch and unpack a data set, or some of its parts, below `root`, and write `root`/manifest.tsv.

    What is there already is not fetched again. `mirror` is another address that serves the same files.
    Raises: ConfigError for an unknown name or part, DownloadError or AudioError naming the file.
    """
    if name not in DATASETS:
        raise ConfigError(f"{name}: no such data set; there are {', '.join(DATASETS)}")
    source, root = DATASETS[name], Path(root)
    unknown = [part for part in parts if part not in source.archives]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such part of {name}; there are {', '.join(source.archives)}")
    folders = []
    for part in parts or source.archives:
        folder = root / part
        if not folder.is_dir():
            unpack(fetch(_from(source.archives[part], mirror), root), folder)
        folders.append(folder)
    rows = (row for folder in folders for row in source.rows(folder, root))
    return _write_manifest(root / "manifest.tsv", tqdm(rows, desc=f"list {name}", unit="clip", mininterval=5))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-las download`."""
    parser.add_argument("dataset", help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("out", metavar="DIR", help="folder for archives, recordings and manifest.tsv")
    parser.add_argument("--parts", nargs="+", default=[], metavar="PART", help="only these (default: all)")
    parser.add_argument("--mirror", metavar="URL", help="fetch the same files from this address")


def run(args: argparse.Namespace) -> int:
    """Fetch as the command line says."""
    print(prepare_dataset(args.dataset, args.out, args.parts, args.mirror))
    return 0


def _from(archive: Archive, mirror: str | None) -> Archive:
    return archive if mirror is None else Archive(f"{mirror.rstrip('/')}/{archive.file}", archive.checksum)


def _write_manifest(path: Path, rows: Iterable[Row]) -> Path:
    part = path.with_name(path.name + ".part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(row) for row in rows)
    part.replace(path)
    return path


def _librispeech_rows(folder: Path, root: Path) -> Iterator[Row]:
    """List LibriSpeech/<part>/<speaker>/<chapter>/*.trans.txt and the FLAC files beside each."""
    split = folder.name.split("-")[0]
    transcripts = sorted(folder.glob("LibriSpeech/*/*/*/*.trans.txt"))
    if not transcripts:
        raise DownloadError(f"{folder}: no LibriSpeech transcript is there")
    for transcript in transcripts:
        for line in transcript.read_text(encoding="utf-8").splitlines():
            clip, _, text = line.partition(" ")
            path = transcript.with_name(f"{clip}.flac")
            yield _row("librispeech", clip, path, root, f"libri{clip.split('-')[0]}", split, text)


def _speech_commands_rows(folder: Path, root: Path) -> Iterator[Row]:
    """List <word>/<speaker>_nohash_<n>.wav; the published lists say which are for validation and testing."""
    splits = {}
    for name, split in (("validation_list.txt", "dev"), ("testing_list.txt", "test")):
        if not (folder / name).is_file():
            raise DownloadError(f"{folder / name}: is missing")
        splits.update(dict.fromkeys((folder / name).read_text().split(), split))
    for path in sorted(folder.glob("[!_]*/*.wav")):  # _background_noise_ holds no words
        word, speaker = path.parent.name, path.stem.split("_")[0]
        split = splits.get(f"{word}/{path.name}", "train")
        yield _row("speech_commands", f"{word}-{path.stem}", path, root, f"gsc{speaker}", split, word)


def _row(dataset: str, clip: str, path: Path, root: Path, speaker: str, split: str, text: str) -> Row:
    seconds = f"{audio_duration(path):.3f}"
    where = path.relative_to(root).as_posix()
    return Row(f"{dataset}-{clip}", where, dataset, speaker, split, seconds, normalize_text(text))


def _librispeech(number: int, checksums: dict[str, str]) -> DatasetSource:
    url = f"https://www.openslr.org/resources/{number}"
    archives = {part: Archive(f"{url}/{part}.tar.gz", checksum) for part, checksum in checksums.items()}
    return DatasetSource(archives, _librispeech_rows)


DATASETS = {
    # 960 hours to train on, 60 GB; `--parts train-clean-100 dev-clean` is 7 GB.
    "librispeech": _librispeech(12, {
        "train-clean-100": "sha256:d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        "train-clean-360": "sha256:146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
        "train-other-500": "sha256:ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
        "dev-clean": "sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
        "dev-other": "sha256:12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
        "test-clean": "sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        "test-other": "sha256:d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    }),
    # Five hours of it, 0.5 GB; the publisher's own checksums.
    "mini_librispeech": _librispeech(31, {
        "train-clean-5": "md5:5df7d4e78065366204ca6845bb08f490",
        "dev-clean-2": "md5:6d7ab67ac6a1d2c993d050e16d61080d",
    }),
    # 35 words, 105,829 recordings of one second, 2.4 GB.
    "speech_commands": DatasetSource(
        {
            "speech_commands_v0.02": Archive(
                "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            )
        },
        _speech_commands_rows,
    ),
}  # fmt: skip
