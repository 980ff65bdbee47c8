"""Targets that metatrain has read: TensorMaps, split into the blocks of a model."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from metatensor.torch import TensorMap
from metatomic.torch import System, unit_conversion_factor

from ..models.engine import Block
from ..models.gradients import by_target, forces_and_stress
from ..models.irrep_blocks import convert, gradient_blocks
from ..models.structures import volume
from .datasets import Infos


def of_tensors(
    system: System,
    tensors: Mapping[str, TensorMap],
    infos: Infos,
    blocks: list[Block],
) -> dict[Block, torch.Tensor]:
    """Split the TensorMaps of one structure into blocks, in the units of the model.

    :param system: the structure
    :param tensors: for each target its TensorMap
    :param infos: for each target metatrain's ``TargetInfo``
    :param blocks: blocks that are wanted
    :raises ValueError: if a unit cannot be converted
    :return: ``(samples, 2 λ + 1, properties)``, float64
    """
    by_label = {(b.target, b.irrep, b.detail): b for b in blocks}
    size = volume(system)
    truth = {}
    for target, tensor in tensors.items():
        info = infos[target]
        found = convert(target, tensor, info.sample_kind, info.unit)
        derived = _derivatives(target, tensor, info.unit, size)
        for given, values in (found | derived).items():
            block = by_label.get((given.target, given.irrep, given.detail))
            if block is None:
                continue
            if given in derived:
                given = _with_length_of(given, info.unit, block)
            if (
                block.sample_kind == "atom"
                and not block.detail
                and (len(values) != len(system))
            ):
                raise ValueError(
                    f"the target '{target}' has labels on {len(values)} of {len(system)} "
                    "atoms: give one for each, nan where there is none"
                )
            truth[block] = values.to(torch.float64) * _factor(given, block)
    return truth


def _derivatives(
    target: str, tensor: TensorMap, unit: str, size: float
) -> dict[Block, torch.Tensor]:
    """Forces and stress: metatrain keeps both as gradients of the energy."""
    energy = tensor.block(0)
    gradients = {kind: energy.gradient(kind).values for kind in energy.gradients_list()}
    sources = {
        block: (target, kind)
        for block, kind in gradient_blocks(target, gradients, unit).items()
    }
    wanted = by_target(sources, sources, size).get(target, {})
    found = forces_and_stress(wanted, gradients, 1, size)
    return {block: values[0] for block, values in found.items()}


def _with_length_of(given: Block, energy: str, wanted: Block) -> Block:
    """Gradients are in the unit of length of the model already."""
    length = wanted.unit.rpartition("/")[2]
    return replace(given, unit=f"{energy}/{length}" if energy and length else "")


def _factor(given: Block, wanted: Block) -> float:
    """Factor from the unit of the file to that of the model, 1 where one is unknown."""
    if not given.unit or not wanted.unit or given.unit == wanted.unit:
        return 1.0
    try:
        return unit_conversion_factor(given.unit, wanted.unit)
    except ValueError as error:
        raise ValueError(
            f"target '{given.target}' is given in '{given.unit}', the model predicts it in "
            f"'{wanted.unit}': correct the unit, because there is no conversion"
        ) from error
