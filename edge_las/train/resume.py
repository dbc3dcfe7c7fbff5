"""A run's checkpoints: what continuing needs beside the weights, checked before it is used."""

from pathlib import Path

import torch
from torch import Tensor

from edge_las.errors import ArtifactError, ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import STATE, TRAINING, load_checkpoint, load_training, save_checkpoint
from edge_las.train.model import LasModel
from edge_las.train.progress import Progress
from edge_las.train.quantize_aware import ranges


def save_run(
    folder: Path,
    model: LasModel,
    tokens: TokenTable,
    average: dict[str, Tensor],
    progress: Progress,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    """Write a checkpoint whose weights are the average; with the optimiser, a run can go on from it."""
    training = None
    if optimizer is not None:
        tensors = {f"model.{name}": w for name, w in model.state_dict().items()}
        tensors |= {f"range.{name}": value for name, value in ranges(model).items()}
        for name, parameter in model.named_parameters():
            for moment, value in optimizer.state[parameter].items():
                tensors[f"optim.{name}.{moment}"] = torch.as_tensor(value)
        training = (tensors, vars(progress))
    save_checkpoint(folder, model, tokens, average, training)


def load_run(
    folder: Path, model: LasModel, tokens: TokenTable, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], Progress]:
    """Put a run's weights and moments back; return the average and the progress.

    Raises: ConfigError if the recipe's model or the tokens are others, ArtifactError naming a damaged file.
    """
    averaged, its_tokens = load_checkpoint(folder)
    if averaged.config != model.config:
        raise ConfigError(f"{folder}: its model differs from the recipe's; give another --out to begin anew")
    if its_tokens.pieces != tokens.pieces:
        raise ConfigError(f"{folder}: its tokens differ from the run's")
    tensors, state = load_training(folder)
    progress = Progress.from_saved(state, folder / STATE)
    try:
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise ArtifactError(f"{folder / TRAINING}: {str(error).splitlines()[-1].strip()}") from None
    for name, value in ranges(model).items():
        value.copy_(tensors.get(f"range.{name}", value))
    for name, parameter in model.named_parameters():
        prefix = f"optim.{name}."
        moments = {n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)}
        if moments:
            optimizer.state[parameter] = _placed(moments, parameter, bool(optimizer.defaults["fused"]))
    return {
        name: w.to(next(model.parameters()).device) for name, w in averaged.state_dict().items()
    }, progress


def _placed(moments: dict[str, Tensor], parameter: Tensor, fused: bool) -> dict[str, Tensor]:
    """Bring moments to the parameter's device; the count of steps only where the fused optimiser wants it."""
    return {n: v if n == "step" and not fused else v.to(parameter.device) for n, v in moments.items()}
