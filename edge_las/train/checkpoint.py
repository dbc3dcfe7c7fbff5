"""Checkpoints: safetensors and JSON only, so nothing that a user hands us is ever unpickled."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edge_las.config import from_dict, to_dict
from edge_las.errors import ArtifactError
from edge_las.tokens import TokenTable
from edge_las.train.config import ModelConfig
from edge_las.train.model import LasModel

FORMAT_VERSION = 1
CONFIG, TOKENS, WEIGHTS = "config.json", "tokens.txt", "weights.safetensors"
TRAINING, STATE = "training.safetensors", "state.json"


def save_checkpoint(
    folder: Path,
    model: LasModel,
    tokens: TokenTable,
    weights: dict[str, Tensor],
    training: tuple[dict[str, Tensor], dict[str, Any]] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint, whole or not at all: `weights` are what is evaluated and exported.

    `training` is what a run needs to continue: tensors, and plain numbers. `half` stores weights as fp16.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    config = {"format_version": FORMAT_VERSION, "model": to_dict(model.config)}
    (part / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tokens.save(part / TOKENS)
    dtype = torch.float16 if half else torch.float32
    # What counts is no weight: in fp16 it would end at 65,504.
    stored = {name: w.to(dtype) if w.is_floating_point() else w for name, w in weights.items()}
    save_file({name: w.detach().cpu().contiguous() for name, w in stored.items()}, part / WEIGHTS)
    if training is not None:
        tensors, state = training
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, part / TRAINING)
        (part / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    _replace(part, folder)


def load_checkpoint(folder: str | Path) -> tuple[LasModel, TokenTable]:
    """Read the model, in evaluation mode, and the tokens.

    Raises: ArtifactError naming the file that is missing or wrong.
    """
    folder = Path(folder)
    config = _read_json(folder / CONFIG)
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder / CONFIG}: format_version is {version!r}, this program reads {FORMAT_VERSION}"
        )
    tokens = TokenTable.load(folder / TOKENS)
    model = LasModel(from_dict(ModelConfig, config.get("model", {}), CONFIG, ArtifactError), len(tokens))
    weights = {name: w.float() for name, w in _read_tensors(folder / WEIGHTS).items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ArtifactError(f"{folder / WEIGHTS}: {reason}") from None
    return model.eval(), tokens


def load_training(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what a run needs to continue, as given to `save_checkpoint`."""
    return _read_tensors(folder / TRAINING), _read_json(folder / STATE)


def slim(source: str | Path, target: str | Path) -> None:
    """Copy a checkpoint with fp16 weights and no optimiser: what is committed and fine-tuned from."""
    model, tokens = load_checkpoint(source)
    save_checkpoint(Path(target), model, tokens, model.state_dict(), half=True)


def recover(folder: Path) -> None:
    """Finish a replacement that a kill interrupted."""
    old = folder.with_name(folder.name + ".old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _replace(part: Path, folder: Path) -> None:
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON: {error}") from None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: {error}") from None
