"""Runs of `edge-las train`, read from their folders: recipe, size of the model, curves over hours heard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_las.config import read_toml
from edge_las.errors import ConfigError
from edge_las.textfiles import read_json

Curve = list[tuple[float, float]]  # hours heard, value
# How a run is watched, not what it learns; what is excluded shows in `sets`.
_NO_MATTER = {
    *("name", "data.exclude", "data.workers"),
    *("loop.evaluate_steps", "loop.log_steps", "loop.checkpoint_minutes"),
}


@dataclass(frozen=True)
class Run:
    """What a run's folder tells.

    settings: the recipe by dotted keys, data sets and their hours, other inputs; None if the run is older
    than the record of them.
    listener: parameters with the CTC head; spelling: with the Speller too, without heads for training.
    """

    name: str
    settings: Mapping[str, Any] | None
    listener: int
    spelling: int
    curves: Mapping[str, Curve]

    def by_dataset(self, prefix: str) -> dict[str, Curve]:
        """Give the curves whose tags begin so, by the rest of the tag: the data set."""
        found = {tag.removeprefix(prefix): row for tag, row in self.curves.items() if tag.startswith(prefix)}
        return {name: found[name] for name in sorted(found)}

    @property
    def ctc_wer(self) -> dict[str, Curve]:
        """WER of the CTC head's best path on each data set's dev clips, in percent."""
        return self.by_dataset("dev_wer/ctc_")

    @property
    def spells(self) -> bool:
        """Whether the Speller was evaluated: where the Listener learns alone, the mean is of CTC."""
        return any(tag.startswith("dev_wer/") and not _is_of_all(tag) for tag in self.curves)


def read_run(folder: Path, name: str = "") -> Run:
    """Read a run; weights need not be there.

    Raises: ConfigError naming what is missing or wrong; ArtifactError for its tokens.
    """
    listener, spelling = _parameters(folder / "last")
    return Run(name or folder.name, _settings(folder), listener, spelling, _curves(folder))


def flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Give tables within tables as one, by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat


def differences(run: Run, first: Run) -> dict[str, tuple[Any, Any]]:
    """Give the settings that decide what is learnt and differ: the run's, the first's; None = not there.

    Raises: ConfigError naming a run without a record.
    """
    for one in (run, first):
        if one.settings is None:
            raise ConfigError(f"{one.name}: holds no recipe.toml, so nothing can be told of what differs")
    mine, theirs = dict(run.settings or {}), dict(first.settings or {})
    keys = [*mine, *(key for key in theirs if key not in mine)]
    pairs = {key: (mine.get(key), theirs.get(key)) for key in keys if key not in _NO_MATTER}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _is_of_all(tag: str) -> bool:
    return tag in ("dev_wer/mean", "dev_wer/ctc") or tag.startswith("dev_wer/ctc_")


def read_record(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read a run's recipe and inputs; None if it is older than the record of them.

    Raises: ConfigError naming the file that is damaged.
    """
    from edge_las.train.record import INPUTS, RECIPE

    if not (folder / RECIPE).is_file():
        return None
    return read_toml(folder / RECIPE), read_json(folder / INPUTS)


def _settings(folder: Path) -> dict[str, Any] | None:
    record = read_record(folder)
    if record is None:
        return None
    recipe, inputs = record
    hours = inputs.pop("hours")
    # Paths differ from machine to machine, and a checkpoint is named by its run.
    others = {name: path and "/".join(Path(path).parts[-2:]) for name, path in inputs.items()}
    return {"hours": round(sum(hours.values()), 1), "sets": sorted(hours), **others, **flatten(recipe)}


def _parameters(checkpoint: Path) -> tuple[int, int]:
    """Count the Listener's parameters with the CTC head's, and the Speller's with them."""
    from edge_las.config import from_dict
    from edge_las.tokens import TokenTable
    from edge_las.train.checkpoint import CONFIG, TOKENS
    from edge_las.train.config import ModelConfig
    from edge_las.train.model import LasModel, count_parameters

    path = checkpoint / CONFIG
    if not path.is_file():
        raise ConfigError(f"{checkpoint.parent}: no run of edge-las train is there (last/{CONFIG})")
    config = from_dict(ModelConfig, read_json(path).get("model", {}), str(path))
    model = LasModel(config, len(TokenTable.load(checkpoint / TOKENS)))
    listener = count_parameters(model.listener) + count_parameters(model.ctc_head)
    return listener, listener + count_parameters(model.speller)


def _curves(folder: Path) -> dict[str, Curve]:
    """Read the log's scalars over hours heard, which older logs tell by the steps alone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from edge_las.train.checkpoint import STATE
    from edge_las.train.progress import Progress

    path = folder / "last" / STATE
    progress = Progress.from_saved(read_json(path), path)
    hours_per_step = progress.audio_hours / max(1, progress.step)
    log = EventAccumulator(str(folder / "log"), size_guidance={"scalars": 0})
    tags = log.Reload().Tags()["scalars"] if (folder / "log").is_dir() else []
    heard = {e.step: e.value for e in log.Scalars("audio_hours")} if "audio_hours" in tags else {}
    curves = {
        tag: [(heard.get(e.step, e.step * hours_per_step), e.value) for e in log.Scalars(tag)]
        for tag in tags
        if tag.startswith("dev_")
    }
    if "dev_wer/mean" not in curves:
        raise ConfigError(f"{folder / 'log'}: holds no dev WER")
    return curves
