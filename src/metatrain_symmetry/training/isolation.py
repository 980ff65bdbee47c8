"""Watching without touching: copies of the model, random states put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ..models.copies import copied


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put every random state back as it was: Python's, NumPy's, torch's, of all devices."""
    python, cpu = random.getstate(), torch.get_rng_state()
    numpy = np.random.get_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def replica(model: torch.nn.Module) -> torch.nn.Module:
    """Copy a model, on its device and in its dtypes.

    :param model: is left as it is
    :return: in evaluation mode, its parameters without gradients
    """
    twin = copied(model).eval().requires_grad_(False)
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


@torch.no_grad()
def refresh(twin: torch.nn.Module, model: torch.nn.Module) -> None:
    """Bring a copy up to date.

    :param twin: from :func:`replica`; only what training changes is copied: parameters and
        buffers
    :param model: the original
    :raises RuntimeError: if the model has other parameters or buffers now
    """
    for mine, its in (
        (dict(twin.named_parameters()), dict(model.named_parameters())),
        (dict(twin.named_buffers()), dict(model.named_buffers())),
    ):
        if {n: p.shape for n, p in mine.items()} != {n: p.shape for n, p in its.items()}:
            raise RuntimeError("the model has changed its shape since training began")
        for name, tensor in mine.items():
            tensor.copy_(its[name])
