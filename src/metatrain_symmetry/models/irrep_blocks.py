"""Turns what a model returns into irrep blocks, each with its unit and its name.

Cartesian components become spherical ones, with an orthonormal change of basis, so that
norms stay what they were: ``xyz`` is (1,+) in the order y, z, x; a 3x3 matrix is (0,+),
an antisymmetric (1,-) and (2,+) in the order xy, yz, 3z²-r², xz, x²-y².
"""

import math
from collections.abc import Iterable, Mapping

import torch
from metatensor.torch import LabelsEntry, TensorMap

from ..groups.irreps import Irrep
from .engine import Block
from .units import normal_unit


# matrices that are symmetric by construction: their (1,-) part says nothing
SYMMETRIC_MATRICES = ("non_conservative_stress", "conservative_stress", "stress")
_IRREP_KEYS = ("o3_lambda", "o3_sigma")


def base_name(target: str) -> str:
    """Name of a target without its variant.

    :param target: such as ``energy/pbe``
    :return: such as ``energy``
    """
    return target.split("/", 1)[0]


def key_values(entry: LabelsEntry) -> dict[str, int]:
    """Names and values of a key.

    :param entry: key of one block
    :return: values as plain integers
    """
    return dict(zip(entry.names, map(int, entry.values), strict=True))


def _vector(values: torch.Tensor) -> torch.Tensor:
    return values[:, [1, 2, 0]]


def _matrix(values: torch.Tensor, symmetric: bool) -> list[tuple[Irrep, torch.Tensor]]:
    """Parts of 3x3 matrices (samples, 3, 3, properties)."""
    x, y, z = (values[:, axis] for axis in range(3))
    xx, yy, zz = x[:, 0], y[:, 1], z[:, 2]
    half, trace = math.sqrt(0.5), xx + yy + zz
    scalar = torch.stack([trace / math.sqrt(3)], 1)
    axial = [x[:, 2] - z[:, 0], y[:, 0] - x[:, 1], z[:, 1] - y[:, 2]]
    tensor = [
        (x[:, 1] + y[:, 0]) * half,
        (y[:, 2] + z[:, 1]) * half,
        (3 * zz - trace) / math.sqrt(6),
        (x[:, 2] + z[:, 0]) * half,
        (xx - yy) * half,
    ]
    parts = [(Irrep(0), scalar)]
    if not symmetric:
        parts.append((Irrep(1, -1), torch.stack(axial, 1) * half))
    return [*parts, (Irrep(2), torch.stack(tensor, 1))]


def cartesian_vector(values: torch.Tensor) -> torch.Tensor:
    """Cartesian components of the irrep (1,+).

    :param values: ``(..., 3)`` in the order y, z, x
    :return: the same shape, in the order x, y, z
    """
    return values[..., [2, 0, 1]]


def cartesian_matrix(scalar: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Symmetric matrix of its irreps (0,+) and (2,+), as :func:`split` makes them.

    :param scalar: ``(..., 1)``
    :param tensor: ``(..., 5)``
    :return: ``(..., 3, 3)``
    """
    trace = scalar[..., 0] * math.sqrt(3)
    xy, yz, mostly_zz, xz, difference = (tensor[..., i] for i in range(5))
    zz = (math.sqrt(6) * mostly_zz + trace) / 3
    xx = (trace - zz + math.sqrt(2) * difference) / 2
    half = math.sqrt(0.5)
    rows = [[xx, xy * half, xz * half], [xy * half, trace - zz - xx, yz * half],
            [xz * half, yz * half, zz]]  # fmt: skip
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def split(
    target: str, key: Mapping[str, int], components: list[str], values: torch.Tensor
) -> list[tuple[Irrep, str, torch.Tensor]]:
    """Irrep parts of the values of one block.

    :param target: name of the target
    :param key: names and values of the block's key
    :param components: names of the component axes
    :param values: ``(samples, *components, properties)``
    :raises ValueError: if the components are not of an irrep that we know
    :return: irrep, detail (see :class:`Block`), ``(samples, 2 λ + 1, properties)``
    """
    detail = ",".join(
        f"{name}={value}"
        for name, value in key.items()
        if name != "_" and name not in _IRREP_KEYS
    )
    spherical = all(name in key for name in _IRREP_KEYS)
    if components == ["o3_mu"] and spherical:
        irrep = Irrep(int(key["o3_lambda"]), int(key["o3_sigma"]))
        parts = [(irrep, values)]
    elif not components and not any(name.startswith("o3_") for name in key):
        parts = [(Irrep(0), values.unsqueeze(1))]
    elif components == ["xyz"]:
        parts = [(Irrep(1), _vector(values))]
    elif components == ["xyz_1", "xyz_2"]:
        parts = _matrix(values, base_name(target) in SYMMETRIC_MATRICES)
    else:
        raise ValueError(
            f"target '{target}' has a block with components {components} and key "
            f"{dict(key)}: only scalars, 'xyz', 'xyz_1' with 'xyz_2', and 'o3_mu' with "
            "'o3_lambda' and 'o3_sigma' in the key can be read as irreps"
        )
    return [(irrep, detail, part) for irrep, part in parts]


def convert(
    target: str, tensor: TensorMap, sample_kind: str, unit: str
) -> dict[Block, torch.Tensor]:
    """All irrep blocks of a target.

    :param target: name of the target
    :param tensor: what the model returned for it
    :param sample_kind: ``system`` or ``atom``
    :param unit: unit of the values; the blocks carry it as
        :func:`~metatrain_symmetry.models.units.normal_unit` spells it
    :raises ValueError: see :func:`split`
    :return: for each block ``(samples, 2 λ + 1, properties)``, samples ordered by system
    """
    converted, unit = {}, normal_unit(unit)
    for labels, block in tensor.items():
        key = key_values(labels)
        components = [name for axis in block.components for name in axis.names]
        values = block.values
        if "system" in block.samples.names and len(block.samples) > 1:
            order = torch.argsort(block.samples.column("system"), stable=True)
            values = values[order.to(values.device)]
        for irrep, detail, part in split(target, key, components, values):
            converted[Block(target, irrep, sample_kind, unit, detail)] = part
    return converted


def drop_missing(
    values: dict[Block, torch.Tensor], volume: float
) -> dict[Block, torch.Tensor]:
    """Keep the blocks that exist for a structure.

    :param values: blocks with ``(n, samples, 2 λ + 1, properties)``
    :param volume: of the cell in Å³, zero unless periodic in three dimensions
    :return: without stresses where there is no volume, without blocks of no samples
    """
    return {
        block: part
        for block, part in values.items()
        if part.shape[1] and (volume > 0 or not is_stress(block.target))
    }


def is_stress(target: str) -> bool:
    """Whether a target exists only for structures periodic in three dimensions.

    :param target: name of a target
    :return: true for stresses
    """
    return base_name(target) in SYMMETRIC_MATRICES


def part_name(target: str, irrep: Irrep) -> str:
    """What an irrep part of a stress is called.

    :param target: name of the target
    :param irrep: of the block
    :return: ``trace/sqrt(3)`` for (0,+), which is -sqrt(3) times the pressure, and
        ``deviatoric part`` for (2,+); empty for anything but a stress
    """
    if not is_stress(target):
        return ""
    return {Irrep(0): "trace/sqrt(3)", Irrep(2): "deviatoric part"}.get(irrep, "")


def grows(target: str, sample_kind: str) -> bool:
    """Whether a target grows with the structure, so that it is given per atom.

    A stress is one tensor of the structure too, but does not grow with it.

    :param target: name of the target
    :param sample_kind: ``system`` or ``atom``
    :return: true for energies and the like
    """
    return sample_kind == "system" and not is_stress(target)


def gradient_names(target: str) -> dict[str, str]:
    """What the gradients of an energy are called.

    :param target: name of the energy
    :return: names for the keys ``positions`` and ``strain``
    """
    suffix = "" if target == "energy" else f"/{target}"
    return {
        "positions": f"conservative_force{suffix}",
        "strain": f"conservative_stress{suffix}",
    }


def gradient_blocks(
    target: str, kinds: Iterable[str], unit: str, length: str = "A"
) -> dict[Block, str]:
    """Blocks of the gradients of an energy.

    :param target: name of the energy
    :param kinds: of ``positions`` and ``strain``
    :param unit: of the energy
    :param length: unit of length of the model
    :return: the kind of each block
    """
    names, kinds, unit = gradient_names(target), set(kinds), normal_unit(unit)
    blocks = {}
    if "positions" in kinds:
        force_unit = f"{unit}/{length}" if unit else ""
        blocks[Block(names["positions"], Irrep(1), "atom", force_unit)] = "positions"
    if "strain" in kinds:
        stress_unit = f"{unit}/{length}^3" if unit else ""
        for degree in (0, 2):
            block = Block(names["strain"], Irrep(degree), "system", stress_unit)
            blocks[block] = "strain"
    return blocks


def convert_forces(
    block: Block, gradient: torch.Tensor, n: int
) -> dict[Block, torch.Tensor]:
    """Forces from the gradient of an energy.

    :param block: the block of the forces
    :param gradient: dE/dr of all copies, ``(n * atoms, 3, properties)``
    :param n: number of copies
    :return: ``(n, atoms, 3, properties)`` in the order y, z, x
    """
    force = -_vector(gradient)
    return {block: force.reshape(n, -1, 3, gradient.shape[-1])}


def convert_stress(
    blocks: Iterable[Block], gradient: torch.Tensor, volume: float
) -> dict[Block, torch.Tensor]:
    """Stress from the gradient of an energy.

    :param blocks: the blocks of the stress
    :param gradient: dE/d(strain), ``(n, 3, 3, properties)``
    :param volume: of the cell, Å³
    :return: ``(n, 1, 2 λ + 1, properties)``
    """
    symmetric = (gradient + gradient.transpose(1, 2)) / (2 * volume)
    parts = dict(_matrix(symmetric, True))
    return {block: parts[block.irrep].unsqueeze(1) for block in blocks}
