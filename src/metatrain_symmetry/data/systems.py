"""Structures of ASE or metatomic: checked, and in the unit of length of a model."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System, systems_to_torch
from metatrain.utils.data.system_to_ase import system_to_ase

from ..messages import quoted
from ..models.ase_calculator import CalculatorEngine
from ..models.engine import Engine
from ..models.lengths import ASE, length_factor, scaled_system
from ..models.live_or_exported import atomic_types, length_unit
from ..models.system_extras import system_with_extras
from ..places import input_file
from .agreement import check_sizes
from .frames import Frames, frames_of
from .targets_of_atoms import of_atoms


FARTHEST = 1e6
"""Å: what lies beyond is a mistake, and float32 would no longer resolve bonds."""

DENSEST = 0.05
"""Å³ for each atom: in less room an atom would have 10^5 neighbours."""


def read_systems(
    source: str | Path | ase.Atoms | Sequence[Any], engine: Engine
) -> list[tuple[ase.Atoms, System]]:
    """Read structures.

    What ASE reads or holds is in Å, and is converted to the unit of length of the model.
    Systems are in that unit already.

    :param source: a file that ASE reads, or structures
    :param engine: whose model shall evaluate them
    :raises ValueError: if there are none, or if the model cannot take one of them
    :return: each structure for ASE and for the engine, in float64 without neighbour lists
        of the model

    >>> from metatrain_symmetry import open_engine, read_systems
    >>> pairs = read_systems("molecules.xyz", open_engine("model.ckpt"))
    >>> len(pairs), len(pairs[0][1])
    (20, 7)
    """
    reader = SystemReader(source, engine)
    return [reader.read(index) for index in range(len(reader))]


class SystemReader:
    """Structures that ASE reads or holds, of which one at a time is converted.

    :param source: a file that ASE reads, or structures
    :param engine: whose model shall evaluate them
    :raises ValueError: if there are none
    """

    def __init__(
        self, source: str | Path | ase.Atoms | Sequence[Any], engine: Engine
    ) -> None:
        from_file = isinstance(source, str | Path)
        self.items: Sequence[Any] = (
            _read(Path(source)) if isinstance(source, str | Path) else _listed(source)
        )
        if not len(self.items):
            raise ValueError("there are no structures: give at least one")
        self.engine, self.known = engine, _atomic_types(engine)
        unit = length_unit(getattr(engine, "model", None))
        self.factor = length_factor(ASE, unit)
        if self.factor != 1 and from_file:
            logging.warning(
                f"'{source}' is taken to be in Å, as files of ASE are, and is converted to "
                f"the unit of the model, {unit}: if it is in another unit, give an options "
                "file with systems: {read_from: ..., length_unit: ...}"
            )

    def __len__(self) -> int:
        return len(self.items)

    def read(self, index: int) -> tuple[ase.Atoms, System]:
        """Read a structure.

        :param index: in the source
        :raises ValueError: if the model cannot take it
        :return: for ASE and for the engine, as :func:`read_systems` has them
        """
        return _prepared(index, self.items[index], self.engine, self.known, self.factor)

    def size(self, index: int) -> int:
        """Number of atoms of a structure.

        :param index: in the source
        """
        if isinstance(self.items, Frames):
            return int(self.items.sizes[index])
        return len(self.items[index])


def _listed(source: Any) -> list[Any]:
    """Structures that were given, each of which is one."""
    try:
        found = [source] if _is_structure(source) else list(source)
    except TypeError as error:
        raise ValueError(
            f"give structures as a file or as a list of ase.Atoms, not {quoted(source)}"
        ) from error
    for index, item in enumerate(found):
        if not _is_structure(item):
            raise ValueError(
                f"structure {index} is {quoted(item)}: give an ase.Atoms or a System"
            )
    return found


def _is_structure(item: Any) -> bool:
    # TorchScript's classes know no isinstance
    return isinstance(item, ase.Atoms) or hasattr(item, "known_neighbor_lists")


def _prepared(
    index: int, item: Any, engine: Engine, known: set[int] | None, factor: float
) -> tuple[ase.Atoms, System]:
    """One structure, checked, for ASE and for the engine."""
    own = getattr(engine, "calculator", None)
    if own is not None and getattr(item, "calc", None) is own:
        item = item.copy()  # without the calculator: what is measured is no label
    atoms = item if isinstance(item, ase.Atoms) else system_to_ase(item)
    _check(atoms if item is atoms else _shrunk(atoms, factor), index, known)
    if not isinstance(item, ase.Atoms):
        return atoms, item
    try:
        if isinstance(engine, CalculatorEngine):
            system = system_with_extras(item)
        else:
            system = scaled_system(systems_to_torch(item, dtype=torch.float64), factor)
        check_sizes(engine, of_atoms(atoms, engine.blocks))
        _add_conditions(atoms, system)
    except ValueError as error:
        raise ValueError(f"structure {index}: {error}") from error
    return atoms, system


def _shrunk(atoms: ase.Atoms, factor: float) -> ase.Atoms:
    """Structure in Å, of one in the unit of the model."""
    copy = atoms.copy()
    copy.set_positions(atoms.positions / factor)
    copy.set_cell(atoms.cell / factor)
    return copy


def _read(path: Path) -> Sequence[ase.Atoms]:
    input_file(path, "the file of structures")
    frames = frames_of(path)
    if frames is not None and len(frames):
        return frames
    try:
        # unlike `read`, always a list
        found = list(ase.io.iread(path, ":"))
    except Exception as error:
        raise ValueError(
            f"'{path}' cannot be read by ASE as structures: check that it is whole, and of "
            "the format that its name says"
        ) from error
    if not found:
        raise ValueError(f"'{path}' holds no structures: give a file with at least one")
    return found


def _check(atoms: ase.Atoms, index: int, known: set[int] | None) -> None:
    if len(atoms) == 0:
        raise ValueError(f"structure {index} has no atoms: take it out")
    values = np.abs([*atoms.positions.flat, *atoms.cell[:].flat])
    if not np.isfinite(values).all():
        raise ValueError(
            f"structure {index} has positions or a cell that are not finite: correct it"
        )
    if values.max() > FARTHEST:
        raise ValueError(
            f"structure {index} reaches out to {values.max():.3g} Å: correct its positions "
            "or its cell"
        )
    _check_cell(atoms, index)
    for number, symbol in zip(atoms.numbers, atoms.symbols, strict=True):
        if known is not None and int(number) not in known:
            raise ValueError(
                f"structure {index} has the element {symbol}, which the model does not "
                f"know: take it out (it knows {', '.join(_symbols(known))})"
            )


def _check_cell(atoms: ase.Atoms, index: int) -> None:
    """A periodic structure has a cell, and atoms that fit into it."""
    lengths = atoms.cell.lengths()
    if (lengths[atoms.pbc] == 0).any():
        raise ValueError(
            f"structure {index} is periodic along a direction in which its cell has no "
            "length: give it a cell, or set pbc to false"
        )
    if atoms.pbc.all() and atoms.cell.volume < DENSEST * len(atoms):
        raise ValueError(
            f"structure {index} has {len(atoms)} atoms in a cell of "
            f"{atoms.cell.volume:.3g} Å³, where there is no room for them: correct its "
            "cell, which is in Å"
        )


def _symbols(numbers: set[int]) -> list[str]:
    symbols = ase.data.chemical_symbols
    return [symbols[n] if n < len(symbols) else str(n) for n in sorted(numbers)]


def _atomic_types(engine: Engine) -> set[int] | None:
    model = getattr(engine, "model", None)
    return None if model is None else set(atomic_types(model))


def _add_conditions(atoms: ase.Atoms, system: System) -> None:
    """Charge and spin, which models with system conditioning want."""
    for name in ("charge", "spin_multiplicity"):
        if name in atoms.info:
            value = torch.tensor([[_number(atoms, name)]], dtype=torch.float64)
            zero = torch.tensor([[0]])
            block = TensorBlock(value, Labels("system", zero), [], Labels(name, zero))
            system.add_data(name, TensorMap(Labels("_", zero), [block]))


def _number(atoms: ase.Atoms, name: str) -> float:
    try:
        number = float(atoms.info[name])
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise ValueError(f"'{name}' is {quoted(atoms.info[name])}: give a number")
    return number
