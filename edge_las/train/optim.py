"""The optimiser, its learning rate, and the average of the weights that is evaluated and exported."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from edge_las.train.config import OptimConfig


class Muon(torch.optim.AdamW):
    """AdamW whose group `orthogonal` steps along its momentum made orthogonal, by its root mean square.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the scale of Liu et al. 2025
    (arXiv:2502.16982), which lets both kinds of parameters share a learning rate.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; the gradients of the orthogonal group are used up."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"] if group.get("orthogonal") else ():
                if p.grad is not None:
                    alike.setdefault(p.flatten(1).shape, []).append(p)
            for parameters in alike.values():
                self._step_alike(parameters, group["lr"], group["weight_decay"])
        super().step()

    def _step_alike(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """Take a step of matrices of one shape together: one by one, a GPU waits for the next launch."""
        grads = [p.grad for p in parameters if p.grad is not None]
        momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(momenta, grads, 1.0 - _MOMENTUM)
        torch._foreach_lerp_(grads, momenta, _MOMENTUM)
        ahead = torch.stack([grad.flatten(1) for grad in grads])
        update = orthogonal(ahead) * (0.2 * math.sqrt(max(ahead.shape[1:])))
        torch._foreach_mul_(parameters, 1.0 - rate * decay)
        steps = [step.view_as(p) for step, p in zip(update, parameters, strict=True)]
        torch._foreach_add_(parameters, steps, alpha=-rate)
        for p in parameters:
            p.grad = None


_MOMENTUM = 0.95


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of matrices (..., M, N) near 1, by Newton and Schulz's iteration."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).bfloat16()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x if wide else x.mT).to(matrices.dtype)


def build_optimizer(model: nn.Module, config: OptimConfig, cuda: bool) -> torch.optim.AdamW:
    """Make the optimiser; biases and scales don't decay, and matrices alone can be made orthogonal."""
    parameters = dict(model.named_parameters())
    matrices = {n for n, p in parameters.items() if p.ndim > 1 and min(len(p), p[0].numel()) >= _LEAST_RANK}
    if config.optimizer == "adamw":
        matrices = set()
    groups: list[dict[str, Any]] = []
    for of_speller in (False, True):
        own = {n: p for n, p in parameters.items() if n.startswith(BESIDE_LISTENER) == of_speller}
        kinds: list[dict[str, Any]] = [
            {"params": [p for n, p in own.items() if n in matrices], "orthogonal": True},
            {"params": [p for n, p in own.items() if p.ndim > 1 and n not in matrices]},
            {"params": [p for n, p in own.items() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups += [kind | {"share": 1.0 if of_speller else config.listener_share} for kind in kinds]
    kind = Muon if matrices else torch.optim.AdamW
    return kind(
        [group for group in groups if group["params"]],
        lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=config.weight_decay, fused=cuda,
    )  # fmt: skip


# What learns at the full rate beside a Listener that has settled.
BESIDE_LISTENER = ("speller.", "frame_phone_head.")
# Smaller matrices (depthwise kernels, the characters' heads) step by AdamW.
_LEAST_RANK = 64


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
