"""Targets that stand in a structure file, or in an options file of `mtt eval`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from metatensor.torch import TensorMap
from metatomic.torch import System, unit_conversion_factor

from ..groups import Irrep
from ..messages import quoted
from ..models.engine import Block, Engine
from ..models.gradients import by_target, forces_and_stress
from ..models.irrep_blocks import convert, gradient_blocks, split
from ..models.lengths import per_length
from ..models.live_or_exported import length_unit, target_info
from ..models.structures import volume
from .datasets import open_sets
from .options_files import evaluation


TargetInfos = Mapping[str, Any]

FORCES = ("non_conservative_force", "conservative_force")
STRESSES = ("non_conservative_stress", "conservative_stress")


def of_atoms(atoms: ase.Atoms, blocks: list[Block]) -> dict[Block, torch.Tensor]:
    """Take targets from where ASE keeps what a file says.

    Entries and per-atom arrays named like a target come first; energy, forces and stress
    of a calculation, which ASE keeps per Å, are what there is otherwise.

    :param atoms: a structure
    :param blocks: blocks that are wanted
    :raises ValueError: if what stands there is no number, infinite, or of another shape
    :return: ``(samples, 2 λ + 1, properties)``, float64, for those that are there
    """
    truth: dict[Block, torch.Tensor] = {}
    for target in dict.fromkeys(block.target for block in blocks):
        wanted = [b for b in blocks if b.target == target and not b.detail]
        value, key = _value(atoms, target, bool(wanted) and wanted[0].sample_kind == "atom")
        if value is None:
            continue
        values = _numbers(value, key)
        parts = _match(target, values, wanted, len(atoms))
        if wanted and not parts and not np.isnan(values).all():
            raise ValueError(_misfit(key, target, values, wanted, len(atoms)))
        # a length in the unit of the model, where that is not Å
        factor = per_length(wanted[0].unit) if wanted and key in _OF_ASE else 1.0
        truth |= {block: part * factor for block, part in parts.items()}
    return truth


_OF_ASE = ("forces", "stress")


def _value(atoms: ase.Atoms, target: str, atomic: bool) -> tuple[Any, str]:
    """What a structure says of a target, and under which name."""
    store = atoms.arrays if atomic else atoms.info
    if target in store:
        return store[target], target
    name = _CALCULATED.get(target, "")
    known = {} if atoms.calc is None else atoms.calc.results
    if known.get(name) is None:
        return store.get(name), name
    return (atoms.get_stress(voigt=False) if name == "stress" else known[name]), name


_CALCULATED = {
    "energy": "energy",
    **dict.fromkeys(FORCES, "forces"),
    **dict.fromkeys(STRESSES, "stress"),
}


def _numbers(value: Any, key: str) -> np.ndarray:
    """Labels as numbers; NaN stands for one that is missing."""
    try:
        values = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{key}' is not made of numbers but of {quoted(value)}: correct it, or "
            "take it out"
        ) from error
    if np.isinf(values).any():
        raise ValueError(
            f"'{key}' holds an infinite number: correct it, or write nan where a label is "
            "missing"
        )
    return values


def _misfit(
    key: str, target: str, values: np.ndarray, wanted: list[Block], n_atoms: int
) -> str:
    return (
        f"'{key}' has the shape {values.shape}, and the target '{target}' of the model is "
        f"{_described(wanted)}, with {n_atoms} atoms: rename it if it is something else, "
        "or give an options file that says how to read it"
    )


def _described(blocks: Iterable[Block]) -> str:
    """Irreps and samples of a target."""
    blocks = list(blocks)
    irreps = dict.fromkeys(str(block.irrep) for block in blocks)
    kind = "atom" if blocks[0].sample_kind == "atom" else "structure"
    return f"{' and '.join(irreps)} per {kind}"


def _match(
    target: str, value: np.ndarray, wanted: list[Block], n_atoms: int
) -> dict[Block, torch.Tensor]:
    """Split one value into the blocks of its target, if its shape allows."""
    if not wanted:
        return {}
    tensor = torch.from_numpy(value)
    atomic = wanted[0].sample_kind == "atom"
    rows = n_atoms if atomic else 1
    irreps = [block.irrep for block in wanted]
    parts: list[tuple[Irrep, str, torch.Tensor]] = []
    if target in STRESSES and value.size == 9:
        parts = split(target, {}, ["xyz_1", "xyz_2"], tensor.reshape(1, 3, 3, 1))
    elif irreps == [Irrep(1)] and value.size == 3 * rows:
        parts = split(target, {}, ["xyz"], tensor.reshape(rows, 3, 1))
    elif irreps == [Irrep(0)] and value.size and value.size % rows == 0:
        atoms_first = not atomic or len(np.atleast_1d(value)) == n_atoms
        parts = split(target, {}, [], tensor.reshape(rows, -1)) if atoms_first else []
    found = {irrep: part for irrep, _, part in parts}
    return {block: found[block.irrep] for block in wanted if block.irrep in found}


def of_options(
    path: Path, engine: Engine
) -> tuple[list[System], list[dict[str, TensorMap]], TargetInfos]:
    """Read structures and targets as `mtt eval` does, in the unit of length of a model.

    :param path: options file with ``systems`` and perhaps ``targets`` and ``indices``, or
        with a list of these
    :param engine: of the model
    :raises ValueError: if it cannot be read, or if a target is of another type than in
        the model
    :return: systems, for each the TensorMaps of its targets, and metatrain's
        ``TargetInfo`` of each target
    """
    systems: list[System] = []
    tensors: list[dict[str, TensorMap]] = []
    infos: dict[str, Any] = {}
    unit = length_unit(getattr(engine, "model", None))
    sets, _ = open_sets(evaluation(path), f"'{path}'")
    for number, one in enumerate(sets):
        check_targets(engine, one.infos)
        infos |= one.infos
        for index in one.indices:
            system, parts = one.sample(index, unit)
            _check_labels(parts, f"structure {index}" + f" of data set {number}" * (
                len(sets) > 1
            ))  # fmt: skip
            systems.append(system)
            tensors.append(parts)
    return systems, tensors, infos


def _check_labels(tensors: Mapping[str, TensorMap], where: str) -> None:
    for target, tensor in tensors.items():
        for block in tensor.blocks():
            if block.values.isinf().any():
                raise ValueError(
                    f"{where}: the target '{target}' holds an infinite number: correct it, "
                    "or write nan where a label is missing"
                )


def check_sizes(engine: Engine, truth: Mapping[Block, torch.Tensor]) -> None:
    """Make sure that labels have as many properties as the model.

    :param engine: of the model
    :param truth: labels of one structure
    :raises ValueError: if one has not; exported models do not say how many they have
    """
    for block, values in truth.items():
        info = target_info(getattr(engine, "model", None), block.target)
        if info is None:
            continue
        expected = {len(part.properties) for part in info.layout.blocks()}
        if values.shape[-1] not in expected:
            raise ValueError(
                f"'{block.target}' has {values.shape[-1]} properties, and the model "
                f"predicts {max(expected)}: rename it if it is something else"
            )


def check_targets(engine: Engine, infos: TargetInfos) -> None:
    """Make sure that data and model mean the same by a target.

    :param engine: of the model
    :param infos: for each target of the data metatrain's ``TargetInfo``
    :raises ValueError: if one is of another type
    """
    model = getattr(engine, "model", None)
    for target, info in infos.items():
        known = [b for b in engine.blocks if b.target == target]
        if not known:
            continue
        given = convert(target, info.layout, info.sample_kind, info.unit)
        of_model = None if model is None else target_info(model, target)
        expected = given
        if of_model is not None:
            expected = convert(target, of_model.layout, known[0].sample_kind, "")
        sizes = [sorted(v.shape[-1] for v in parts.values()) for parts in (given, expected)]
        labels = [{(b.irrep, b.detail) for b in parts} for parts in (given, known)]
        kind, own = info.sample_kind, known[0].sample_kind
        if of_model is None and labels[0] == labels[1] and kind != own:
            raise ValueError(
                f"an exported model does not say whether its target '{target}' is per "
                f"{kind}, as in the data: give the checkpoint of the model"
            )
        if labels[0] != labels[1] or sizes[0] != sizes[1] or kind != own:
            raise ValueError(
                f"the target '{target}' is {_described(given)} with {sizes[0][-1]} "
                f"properties in the data, and {_described(known)} with {sizes[1][-1]} in "
                "the model: correct its type, sample_kind and num_subtargets, or its name"
            )


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
