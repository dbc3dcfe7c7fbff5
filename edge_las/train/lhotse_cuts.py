"""lhotse's manifests (https://lhotse.readthedocs.io) as a source of clips; lhotse decodes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.audio import StreamingResampler
from edge_las.errors import AudioError, ConfigError, DeviceError
from edge_las.train.corpus import SAMPLE_RATE

_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class CutClip:
    """A cut with its transcript; `where` names it in messages."""

    cut: Any
    where: str
    id: str
    dataset: str
    speaker: str
    split: str
    text: str

    @property
    def read(self) -> partial[npt.NDArray[np.float32]]:
        """What decodes the cut; unlike the cut's methods, it can be sent to another process."""
        return partial(_samples, self.cut, self.where)


def cut_manifests(folder: Path) -> list[Path]:
    """List the folder's CutSets: cuts.jsonl.gz, and cuts_train.jsonl.gz and so on for the splits."""
    names = ["cuts.jsonl.gz", *(f"cuts_{split}.jsonl.gz" for split in _SPLITS)]
    return [folder / name for name in names if (folder / name).is_file()]


def read_cuts(folder: Path) -> Iterator[CutClip]:
    """Yield the cuts of a folder. Relative paths of recordings are taken from the folder.

    The split is the file's, else the custom field `split` of a cut or its supervision, else train; the custom
    field `dataset` is the folder's name where it is missing.
    Raises: ConfigError naming the cut that has no transcript.
    """
    try:
        from lhotse import CutSet
    except ModuleNotFoundError as error:
        raise DeviceError(f"{folder}: needs the package {error.name}: pip install edge-las[train]") from None
    for path in cut_manifests(folder):
        of_file = path.name.removesuffix(".jsonl.gz").partition("_")[2]
        for cut in CutSet.from_file(path):
            where = f"{path}: cut {cut.id}"
            spoken = sorted(cut.supervisions, key=lambda supervision: supervision.start)
            if not spoken or any(supervision.text is None for supervision in spoken):
                raise ConfigError(f"{where} has no supervision with a text")
            custom = {**(spoken[0].custom or {}), **(getattr(cut, "custom", None) or {})}
            yield CutClip(
                cut.with_recording_path_prefix(folder), where, cut.id,
                dataset=custom.get("dataset", folder.resolve().name),
                speaker=spoken[0].speaker or "unknown",
                split=of_file or custom.get("split", "train"),
                text=" ".join(supervision.text for supervision in spoken),
            )  # fmt: skip


def _samples(cut: Any, where: str) -> npt.NDArray[np.float32]:
    try:
        audio = cut.load_audio()
    except Exception as error:  # lhotse raises many kinds, its backends more
        lines = str(error).strip().splitlines()
        raise AudioError(f"{where}: {lines[0] if lines else type(error).__name__}") from None
    # Not by lhotse: its resampling needs scipy, which it doesn't declare.
    resampler = StreamingResampler(cut.sampling_rate, SAMPLE_RATE)
    mono = np.ascontiguousarray(np.asarray(audio, np.float32).mean(axis=0))
    return np.concatenate([resampler.accept(mono), resampler.finish()])
