"""One process, or several started by ``torchrun`` that share the structures."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist


# the first process solves and measures while the others wait for its next sums
TIMEOUT = timedelta(hours=24)


class Processes:
    """What a process knows of the others.

    :param rank: number of this one
    :param size: how many there are
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Indices of the structures that this process takes.

        :param count: of all structures
        :return: every ``size``-th
        """
        return range(self.rank, count, self.size)

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their sums over all processes.

        :param tensors: the same shapes everywhere, in the same order
        """
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)


def local_device(name: str) -> torch.device:
    """Device of this process.

    :param name: ``cpu`` or ``cuda``, perhaps with a number
    :raises ValueError: if there is no such device
    :return: of several processes on GPUs each has its own
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"there is no device '{name}': write cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"PET does not run on '{name}': write cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no GPU was found: write device: cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the other processes, if there are any.

    :param device: of this one: NCCL between GPUs, gloo otherwise
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    own = not dist.is_initialized()
    if own:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        if own:
            dist.destroy_process_group()
