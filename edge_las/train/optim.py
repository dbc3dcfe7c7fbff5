"""The optimiser, its learning rate, and the average of the weights that is evaluated and exported."""

import math

import torch
from torch import Tensor, nn

from edge_las.train.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig, cuda: bool) -> torch.optim.AdamW:
    """Make AdamW; biases and scales don't decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=cuda)


def learning_rate(config: OptimConfig, step: int, minutes: float) -> float:
    """Warm up linearly, then fall as a cosine to the final rate at max_steps or max_minutes."""
    done = step / config.max_steps
    if config.max_minutes > 0:
        done = max(done, minutes / config.max_minutes)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))
    rate = config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine
    return rate * min(1.0, (step + 1) / max(1, config.warmup_steps))


@torch.no_grad()
def move_average(average: dict[str, Tensor], now: dict[str, Tensor], step: int, decay: float) -> None:
    """Move the average of weights and statistics, in place, by those after `step` steps."""
    decay = min(decay, step / (step + 10))
    names = [name for name in now if now[name].is_floating_point()]
    torch._foreach_lerp_([average[n] for n in names], [now[n] for n in names], 1.0 - decay)
