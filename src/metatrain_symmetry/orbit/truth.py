"""Targets that stand in a structure file, or in an options file of `mtt eval`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from metatensor.torch import TensorMap
from metatomic.torch import System, unit_conversion_factor

from ..group import Irrep
from .engine import Block
from .gradients import by_target, forces_and_stress
from .outputs import convert, gradient_blocks, split
from .structures import volume


TargetInfos = Mapping[str, Any]

FORCES = ("non_conservative_force", "conservative_force")
STRESSES = ("non_conservative_stress", "conservative_stress")


def of_atoms(atoms: ase.Atoms, blocks: list[Block]) -> dict[Block, torch.Tensor]:
    """Take energy, forces and stress from where ASE keeps what a file says.

    Per-structure scalars and per-atom arrays named like a target are taken as well.

    :param atoms: a structure
    :param blocks: blocks that are wanted
    :return: ``(samples, 2 λ + 1, properties)``, float64, for those that are there
    """
    known = dict(atoms.calc.results) if atoms.calc is not None else {}
    sources: dict[str, Any] = {"energy": known.get("energy")}
    sources |= dict.fromkeys(FORCES, known.get("forces"))
    stress = known.get("stress")
    if stress is not None:
        sources |= dict.fromkeys(STRESSES, atoms.get_stress(voigt=False))
    truth: dict[Block, torch.Tensor] = {}
    for target in dict.fromkeys(block.target for block in blocks):
        value = sources.get(target)
        for store in (atoms.info, atoms.arrays):
            value = store.get(target) if value is None else value
        if value is not None:
            truth |= _match(target, np.asarray(value, dtype=float), blocks, len(atoms))
    return truth


def _match(
    target: str, value: np.ndarray, blocks: list[Block], n_atoms: int
) -> dict[Block, torch.Tensor]:
    """Split one value into the blocks of its target, if its shape allows."""
    wanted = [block for block in blocks if block.target == target and not block.detail]
    tensor = torch.from_numpy(value)
    parts: list[tuple[Irrep, str, torch.Tensor]] = []
    if target in STRESSES and value.shape == (3, 3):
        parts = split(target, {}, ["xyz_1", "xyz_2"], tensor[None, :, :, None])
    elif target in FORCES and value.ndim == 2 and value.shape[1] == 3:
        parts = split(target, {}, ["xyz"], tensor[:, :, None])
    elif [block.irrep for block in wanted] == [Irrep(0)]:
        samples = n_atoms if wanted[0].sample_kind == "atom" else 1
        if value.size % samples == 0:
            parts = split(target, {}, [], tensor.reshape(samples, -1))
    found = {irrep: part for irrep, _, part in parts}
    return {block: found[block.irrep] for block in wanted if block.irrep in found}


def of_options(path: Path) -> tuple[list[System], list[dict[str, TensorMap]], TargetInfos]:
    """Read structures and targets as `mtt eval` does.

    :param path: options file with ``systems`` and ``targets``, and perhaps ``indices``,
        or with a list of these
    :raises ValueError: if it cannot be read
    :return: systems, for each the TensorMaps of its targets, and metatrain's
        ``TargetInfo`` of each target
    """
    from metatrain.utils.omegaconf import check_dataset_options, expand_dataset_config
    from omegaconf import OmegaConf

    systems: list[System] = []
    tensors: list[dict[str, TensorMap]] = []
    infos: dict[str, Any] = {}
    try:
        parts = expand_dataset_config(OmegaConf.load(path))
        # one unit for a target, whichever part it is in
        check_dataset_options(parts)
        for options in parts:
            samples, known = _read(options)
            systems += [sample.system for sample in samples]
            tensors += [{name: getattr(s, name) for name in known} for s in samples]
            infos |= known
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f"'{path}' cannot be read as options with 'systems' and 'targets', as for "
            f"mtt eval: {reason[0]}"
        ) from error
    return systems, tensors, infos


def _read(options: Any) -> tuple[list[Any], TargetInfos]:
    """Samples of one dataset, and what its targets are."""
    from metatrain.utils.data import get_dataset, load_indices

    dataset, infos, _ = get_dataset(options)
    chosen = range(len(dataset))
    if "indices" in options:
        chosen = load_indices(options["indices"])
    return [dataset[i] for i in chosen], infos


def of_tensors(
    system: System,
    tensors: Mapping[str, TensorMap],
    infos: TargetInfos,
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
        found |= _derivatives(target, tensor, info.unit, size)
        for given, values in found.items():
            block = by_label.get((given.target, given.irrep, given.detail))
            if block is not None:
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


def _factor(given: Block, wanted: Block) -> float:
    """Factor from the unit of the file to that of the model, 1 where one is unknown."""
    if not given.unit or not wanted.unit or given.unit == wanted.unit:
        return 1.0
    try:
        return unit_conversion_factor(given.unit, wanted.unit)
    except ValueError as error:
        raise ValueError(
            f"target '{given.target}' is given in '{given.unit}', the model predicts it in "
            f"'{wanted.unit}': there is no conversion"
        ) from error
