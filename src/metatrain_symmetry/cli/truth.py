"""Targets that stand in a structure file, or in an options file of `mtt eval`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch

from ..group import Irrep
from ..orbit.engine import Block
from ..orbit.outputs import convert, gradient_names, split


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
            truth |= _match(target, np.asarray(value, dtype=float), blocks)
    return truth


def _match(
    target: str, value: np.ndarray, blocks: list[Block]
) -> dict[Block, torch.Tensor]:
    """Split one value into the blocks of its target, if its shape allows."""
    wanted = [block for block in blocks if block.target == target and not block.detail]
    tensor = torch.from_numpy(value)
    parts: list[tuple[Irrep, str, torch.Tensor]] = []
    if target in STRESSES and value.shape == (3, 3):
        parts = split(target, {}, ["xyz_1", "xyz_2"], tensor[None, :, :, None])
    elif target in FORCES and value.ndim == 2 and value.shape[1] == 3:
        parts = split(target, {}, ["xyz"], tensor[:, :, None])
    elif wanted and wanted[0].irrep == Irrep(0) and value.ndim <= 1:
        parts = split(target, {}, [], tensor.reshape(-1, 1))
    found = {irrep: part for irrep, _, part in parts}
    return {block: found[block.irrep] for block in wanted if block.irrep in found}


def of_options(path: Path) -> tuple[list[Any], list[dict[str, Any]], dict[str, Any]]:
    """Read structures and targets as `mtt eval` does.

    :param path: options file with ``systems`` and ``targets``
    :raises ValueError: if it cannot be read
    :return: systems, for each the TensorMaps of its targets, and what each target is
    """
    from metatrain.utils.data import get_dataset
    from metatrain.utils.omegaconf import expand_dataset_config
    from omegaconf import OmegaConf

    try:
        options = expand_dataset_config(OmegaConf.load(path))[0]
        dataset, infos, _ = get_dataset(options)
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f"'{path}' cannot be read as options with 'systems' and 'targets', as for "
            f"mtt eval: {reason[0]}"
        ) from error
    samples = [dataset[i] for i in range(len(dataset))]
    targets = [{name: getattr(s, name, None) or s[name] for name in infos} for s in samples]
    return [sample["system"] for sample in samples], targets, infos


def of_tensors(
    tensors: Mapping[str, Any], infos: Mapping[str, Any], blocks: list[Block]
) -> dict[Block, torch.Tensor]:
    """Split the TensorMaps of one structure into blocks.

    :param tensors: for each target its TensorMap
    :param infos: for each target metatrain's ``TargetInfo``
    :param blocks: blocks that are wanted
    :return: ``(samples, 2 λ + 1, properties)``, float64
    """
    by_label = {(b.target, b.irrep, b.detail): b for b in blocks}
    truth = {}
    for target, tensor in tensors.items():
        found = convert(target, tensor, infos[target].sample_kind, infos[target].unit)
        for gradient, name in gradient_names(target).items():
            if gradient not in tensor.block(0).gradients_list():
                continue
            block = tensor.block(0).gradient(gradient)
            values, components = block.values, ["xyz"]
            if gradient == "strain":
                continue  # needs the volume; files of ASE have the stress itself
            found |= {
                Block(name, irrep): -part
                for irrep, _, part in split(name, {}, components, values)
            }
        for block, values in found.items():
            key = (block.target, block.irrep, block.detail)
            if key in by_label:
                truth[by_label[key]] = values.to(torch.float64)
    return truth
