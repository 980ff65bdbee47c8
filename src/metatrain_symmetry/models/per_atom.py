"""Reads what a module returns as features of atoms, if that is what it is."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch


Element = int | str | None


def elements(output: Any) -> Iterator[tuple[Element, Any]]:
    """What a module returns, one by one.

    :param output: of a module
    :return: index or key in a tuple, list or dictionary, None for the output itself
    """
    if isinstance(output, dict):
        yield from output.items()
    elif isinstance(output, tuple | list):
        yield from enumerate(output)
    else:
        yield None, output


def features(value: Any, sizes: Sequence[int]) -> torch.Tensor | None:
    """Features of atoms, one row each, in the order of the batch.

    Components of spherical blocks are channels like others: the spectrum says which irreps
    a layer holds, whatever its labels say.

    :param value: a tensor, its first axis the atoms, or a TensorMap with atoms as samples
    :param sizes: number of atoms of each structure of the batch
    :return: ``(atoms, channels)``; None if these are no features of atoms
    """
    if isinstance(value, torch.Tensor):
        whole = value.ndim > 0 and len(value) == sum(sizes) and value.numel() > 0
        return value.reshape(len(value), -1) if whole and _is_real(value) else None
    return _of_blocks(value, sizes) if _is_tensor_map(value) else None


def shapes(value: Any) -> set[tuple[int, ...]]:
    """Shapes without the sample axis, which do not depend on the structure.

    :param value: a tensor or a TensorMap
    :return: that of the tensor, or those of the blocks
    """
    blocks = value.blocks() if _is_tensor_map(value) else []
    parts = [block.values for block in blocks] or [value]
    return {tuple(part.shape[1:]) for part in parts}


def memory(value: Any) -> tuple[tuple[int, int], ...]:
    """Where values are in memory, and how often they were overwritten by now.

    :param value: a tensor or a TensorMap
    :return: the same for two outputs if a module only hands on what it was given
    """
    blocks = value.blocks() if _is_tensor_map(value) else []
    parts = [block.values for block in blocks] or [value]
    return tuple((part.data_ptr(), part._version) for part in parts)


def described(output: Any) -> str:
    """Say what a module returns, for messages.

    :param output: of a module
    """
    words = [_in_words(value) for _, value in elements(output)]
    return ", ".join(dict.fromkeys(words[:4])) + (", ..." if len(words) > 4 else "")


def _in_words(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of the shape {tuple(value.shape)}"
    if _is_tensor_map(value):
        found = {tuple(block.values.shape) for block in value.blocks()}
        names = "/".join(value.sample_names) if len(value) else "no"
        return f"a TensorMap with blocks of the shapes {sorted(found)} ({names} samples)"
    return f"a {type(value).__name__}"


def _is_real(value: torch.Tensor) -> bool:
    return value.dtype.is_floating_point


def _is_tensor_map(value: Any) -> bool:
    # a class of TorchScript, which isinstance does not know
    kind: Any = value._type() if isinstance(value, torch.ScriptObject) else None
    return kind is not None and kind.name() == "TensorMap"


def _of_blocks(value: Any, sizes: Sequence[int]) -> torch.Tensor | None:
    """Blocks beside each other; those of other atoms, such as other species, below."""
    n = sum(sizes)
    found = [_rows(block.samples, sizes) for block in value.blocks()]
    rows_of = [rows for rows in found if rows is not None]
    if not rows_of or len(rows_of) < len(found):
        return None
    places: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block, rows in zip(value.blocks(), rows_of, strict=True):
        part = block.values.reshape(len(rows), -1)
        for tensor, taken in places:
            if tensor.shape[1] == part.shape[1] and not taken[rows].any():
                break
        else:
            tensor = part.new_zeros(n, part.shape[1])
            taken = torch.zeros(n, dtype=torch.bool, device=part.device)
            places.append((tensor, taken))
        tensor[rows], taken[rows] = part.detach(), True
    known = torch.stack([taken for _, taken in places]).any(0).all()
    return torch.cat([tensor for tensor, _ in places], 1) if known else None


def _rows(samples: Any, sizes: Sequence[int]) -> torch.Tensor | None:
    """Atom of each sample, counted through the batch; None if they are no atoms."""
    if not {"system", "atom"} <= set(samples.names):
        return None
    system = samples.column("system").long()
    atom = samples.column("atom").long()
    counts = torch.tensor(list(sizes), device=system.device)
    if len(system) and (system.max() >= len(counts) or (atom >= counts[system]).any()):
        return None
    rows = (counts.cumsum(0) - counts)[system] + atom
    return rows if len(rows.unique()) == len(rows) else None
