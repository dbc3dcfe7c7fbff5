"""The processes that torchrun started: which one this is, and what they decide together."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

# The others wait while the first decodes a corpus or evaluates.
_PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """This process among all that train together."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def current(cls) -> "Processes":
        """Read what torchrun says; alone without it."""
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if torch.cuda.is_available():
            return cls(rank, world, torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))))
        return cls(rank, world, torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, prints and evaluates."""
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Tell for each flag whether any process raised it."""
        if self.world == 1:
            return flags
        raised = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return tuple(value > 0 for value in raised.tolist())

    def from_first(self, value: float) -> float:
        """Give all processes the first one's number."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)


def join_processes() -> None:
    """Join the processes that torchrun started, if it did."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)


def leave_processes() -> None:
    """Part from the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


class FirstAlone:
    """Rank 0 goes through the block first, then the others."""

    def __enter__(self) -> None:
        if dist.is_initialized() and dist.get_rank() != 0:
            dist.barrier()

    def __exit__(self, kind: object, *_: object) -> None:
        if dist.is_initialized() and dist.get_rank() == 0 and kind is None:
            dist.barrier()
