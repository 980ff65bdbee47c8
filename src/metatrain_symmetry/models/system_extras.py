"""What a calculator of ASE reads besides atoms and cell, kept in a System."""

from numbers import Real

import ase
import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System, systems_to_torch
from metatrain.utils.data.system_to_ase import system_to_ase


ARRAYS = ("tags", "initial_charges", "initial_magmoms")
"""Scalars of the atoms."""

INFO = ("charge", "spin", "spin_multiplicity")
"""Numbers of the structure."""

_PREFIX = "ase::"

_BOX = "box"
"""Lattice vectors of directions that are not periodic: a System has none."""


def system_with_extras(atoms: ase.Atoms) -> System:
    """Structure for the engine of a calculator, which gets back the same atoms.

    :param atoms: in Å
    :raises ValueError: if magnetic moments are vectors, which would have to be rotated
    :return: float64, with what calculators read besides atoms and cell
    """
    periodic = atoms.copy()
    periodic.cell[~atoms.pbc] = 0
    system = systems_to_torch(periodic, dtype=torch.float64)
    attach(atoms, system)
    return system


def attach(atoms: ase.Atoms, system: System) -> None:
    """Give a structure what calculators may read.

    :param atoms: where it stands
    :param system: the same structure, which gets it as data
    :raises ValueError: if magnetic moments are vectors, which would have to be rotated
    """
    zero = Labels("system", torch.tensor([[0]]))
    box = np.where(atoms.pbc[:, None], 0.0, atoms.cell.array)
    if box.any():
        _add(system, _BOX, torch.from_numpy(box.reshape(1, 9)), zero)
    for name in INFO:
        value = atoms.info.get(name)
        if isinstance(value, Real):  # also those of NumPy, as read from a file
            _add(system, name, torch.tensor([[float(value)]]), zero)
    for name in ARRAYS:
        if name not in atoms.arrays:
            continue
        values = torch.as_tensor(atoms.arrays[name], dtype=torch.float64)
        if values.ndim != 1:
            raise ValueError(
                f"'{name}' are vectors, which rotate in a way that depends on the "
                "calculator: take them out, or give numbers"
            )
        rows = Labels("atom", torch.arange(len(values))[:, None])
        _add(system, name, values[:, None], rows)


def _add(system: System, name: str, values: torch.Tensor, samples: Labels) -> None:
    zero = torch.tensor([[0]])
    columns = Labels(name, torch.arange(values.shape[1])[:, None])
    block = TensorBlock(values.to(torch.float64), samples, [], columns)
    tensor = TensorMap(Labels("_", zero), [block])
    system.add_data(_PREFIX + name, tensor)


def atoms_of(system: System) -> ase.Atoms:
    """Structure for a calculator.

    :param system: perhaps with what :func:`attach` has given it
    :return: with a cell of float64, without a calculator
    """
    atoms = system_to_ase(system)
    known = system.known_data()
    if _PREFIX + _BOX in known:
        box = system.get_data(_PREFIX + _BOX).block().values.reshape(3, 3).numpy()
        atoms.set_cell(atoms.cell.array + box)
    for name in INFO:
        for key in (_PREFIX + name, name):
            if key in known and name not in atoms.info:
                number = float(system.get_data(key).block().values)
                atoms.info[name] = int(number) if number.is_integer() else number
    for name in ARRAYS:
        if _PREFIX + name in known:
            values = system.get_data(_PREFIX + name).block().values[:, 0].numpy()
            atoms.set_array(name, values.astype(int) if name == "tags" else values)
    return atoms
