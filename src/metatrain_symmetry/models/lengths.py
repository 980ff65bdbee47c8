"""Units of length: of structures as they are given, and of the model."""

from metatensor.torch import TensorBlock, TensorMap
from metatomic.torch import System, unit_conversion_factor


ASE = "A"
"""Structures of ASE are in Å, whatever file they come from."""


def length_factor(given: str, wanted: str, what: str = "the structures") -> float:
    """Factor from one unit of length to another.

    :param given: unit of the structures; empty for that of the model
    :param wanted: unit of the model; empty if it does not say
    :param what: how messages call the structures
    :raises ValueError: if a unit is unknown, or none of length
    :return: 1 where one is empty
    """
    _check(given, what)
    _check(wanted, "the model")
    if not given or not wanted:
        return 1.0
    factor = unit_conversion_factor(given, wanted)
    return 1.0 if abs(factor - 1) < 1e-9 else factor


def _check(unit: str, whose: str) -> None:
    try:
        unit_conversion_factor(unit, ASE)
    except ValueError as error:
        raise ValueError(
            f"the length unit '{unit}' of {whose} is none that is known: write angstrom, "
            "bohr or nanometer"
        ) from error


def label(unit: str) -> str:
    """How a unit of length is written in those of forces and stresses.

    :param unit: of a model; empty if it does not say
    :return: ``A`` for Å and for no unit
    """
    return unit if unit and length_factor(unit, ASE) != 1 else ASE


def scaled_system(system: System, factor: float) -> System:
    """Structure in another unit of length.

    :param system: without neighbour lists; left as it is
    :param factor: from its unit to the other
    :return: a copy, or the structure itself where the factor is 1
    """
    if factor == 1:
        return system
    copy = System(
        types=system.types,
        positions=system.positions * factor,
        cell=system.cell * factor,
        pbc=system.pbc,
    )
    for name in system.known_data():
        copy.add_data(name, system.get_data(name))
    return copy


def scaled_gradients(tensor: TensorMap, factor: float) -> TensorMap:
    """Values whose gradients with respect to positions are in another unit of length.

    :param tensor: such as an energy; left as it is
    :param factor: from the unit of the positions to the other
    :return: a copy, or the tensor itself where there is nothing to change
    """
    if factor == 1 or "positions" not in tensor.block(0).gradients_list():
        return tensor
    blocks = []
    for block in tensor.blocks():
        copy = TensorBlock(block.values, block.samples, block.components, block.properties)
        for name, gradient in block.gradients():
            scale = 1 / factor if name == "positions" else 1.0
            copy.add_gradient(
                name,
                TensorBlock(
                    gradient.values * scale, gradient.samples, gradient.components,
                    gradient.properties,
                ),
            )  # fmt: skip
        blocks.append(copy)
    return TensorMap(tensor.keys, blocks)


def per_length(unit: str) -> float:
    """Factor from a value per Å, Å² or Å³ to one in the unit of length of a unit.

    :param unit: such as ``eV/Bohr`` or ``eV/Bohr^3``
    :return: 1 where the unit has no length that is known below the bar
    """
    length, _, power = unit.rpartition("/")[2].partition("^")
    try:
        return length_factor(length, ASE) ** int(power or 1)
    except ValueError:
        return 1.0
