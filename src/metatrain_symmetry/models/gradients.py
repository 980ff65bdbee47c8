"""Forces and stresses, the derivatives of energies."""

from collections.abc import Iterable, Mapping

import torch

from . import irrep_blocks
from .engine import Block


def gradient_of(energy: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Derivatives of energies, one property after the other.

    :param energy: ``(..., properties)``, summed over everything but the properties
    :param inputs: what to differentiate by
    :return: for each input its shape and ``properties``; zeros where nothing depends
    """
    n = energy.shape[-1]
    if not energy.requires_grad:
        return [torch.zeros(*part.shape, n).to(part) for part in inputs]
    columns = []
    for index in range(n):
        gradients = torch.autograd.grad(
            energy[..., index].sum(), inputs, retain_graph=True, allow_unused=True
        )
        columns.append(
            [
                torch.zeros_like(part) if gradient is None else gradient
                for gradient, part in zip(gradients, inputs, strict=True)
            ]
        )
    return [torch.stack(parts, -1) for parts in zip(*columns, strict=True)]


def by_target(
    blocks: Iterable[Block], sources: Mapping[Block, tuple[str, str]], volume: float
) -> dict[str, dict[str, list[Block]]]:
    """Sort blocks by the target that has to be evaluated for them.

    :param blocks: that are wanted
    :param sources: of each gradient: the energy and the kind, ``positions`` or ``strain``
    :param volume: of the cell in Å³; where it is zero there is no stress
    :return: for each target the blocks of its gradients by kind
    """
    wanted: dict[str, dict[str, list[Block]]] = {}
    for block in blocks:
        if block not in sources:
            wanted.setdefault(block.target, {})
            continue
        target, kind = sources[block]
        if kind == "positions" or volume > 0:
            wanted.setdefault(target, {}).setdefault(kind, []).append(block)
    return wanted


def forces_and_stress(
    wanted: Mapping[str, list[Block]],
    gradients: Mapping[str, torch.Tensor],
    n: int,
    volume: float,
) -> dict[Block, torch.Tensor]:
    """Turn the gradients of an energy into blocks.

    :param wanted: blocks by kind
    :param gradients: by kind: ``positions``, dE/dr, ``(n * atoms, 3, properties)``, and
        ``strain``, dE/d(strain), ``(n, 3, 3, properties)``
    :param n: number of copies
    :param volume: of the cell, Å³
    :return: ``(n, samples, 2 λ + 1, properties)``
    """
    found: dict[Block, torch.Tensor] = {}
    for block in wanted.get("positions", []):
        found |= irrep_blocks.convert_forces(block, gradients["positions"], n)
    if "strain" in wanted:
        strain = gradients["strain"]
        found |= irrep_blocks.convert_stress(wanted["strain"], strain, volume)
    return found
