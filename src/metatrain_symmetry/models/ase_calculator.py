"""Evaluates any calculator of ASE, by rotating structures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
import torch
from ase.calculators.calculator import all_changes
from ase.stress import voigt_6_to_full_3x3_stress
from metatomic.torch import System

from ..messages import did_you_mean, quoted, reason
from . import irrep_blocks
from .engine import Block, Prepared, Values, prepared_as
from .structures import volume
from .sweep import is_out_of_memory
from .system_extras import atoms_of, system_with_extras


@dataclass(frozen=True)
class Property:
    """What a calculator can be asked for.

    :param sample_kind: ``system`` or ``atom``
    :param unit: that of ASE
    :param components: axes as :func:`~.irrep_blocks.split` names them
    """

    sample_kind: str
    unit: str
    components: tuple[str, ...] = ()


PROPERTIES = {
    "energy": Property("system", "eV"),
    "forces": Property("atom", "eV/A", ("xyz",)),
    "stress": Property("system", "eV/A^3", ("xyz_1", "xyz_2")),
    "dipole": Property("system", "e*A", ("xyz",)),
}
"""What is measured of a calculator, under the names of ASE."""


@dataclass
class AtomsStructure(Prepared):
    """A structure of ASE.

    :param atoms: unrotated, without a calculator
    :param volume: of the cell, Å³; zero unless periodic in three dimensions
    """

    atoms: ase.Atoms
    volume: float


class CalculatorEngine:
    """Engine of a calculator of ASE: energy, forces, stress and dipole, as far as it goes.

    Every orientation is a new structure, and the calculator forgets the one before. A
    stress is asked for where a structure is periodic in three dimensions, a dipole where it
    is not periodic at all. A lattice stays the same when its vectors change sign: cells
    keep their handedness under improper rotations, because some calculators take
    right-handed ones only.

    :param calculator: of ASE
    :param targets: of ``energy``, ``forces``, ``stress``, ``dipole``; None for all that the
        calculator implements
    :raises ValueError: if it implements none of them, or not one that is named

    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import CalculatorEngine
    >>> engine = CalculatorEngine(EMT())
    >>> [f"{block.name} {block.irrep} {block.unit}" for block in engine.blocks[:2]]
    ['energy (0,+) eV', 'forces (1,+) eV/A']
    """

    dtype = torch.float32
    """What is counted on: ASE does not say in which precision a calculator computes."""
    device = torch.device("cpu")
    at_once = 4
    """Copies that are evaluated before the budget is looked at: they come one by one."""

    def __init__(self, calculator: Any, targets: Iterable[str] | None = None) -> None:
        self.calculator = calculator
        self.targets = _choose(calculator, targets)
        self.probes: list[str] = []
        self.bases: Mapping[str, torch.Tensor] = {}

    @property
    def name(self) -> str:
        """How messages call the calculator."""
        return type(self.calculator).__name__

    @property
    def blocks(self) -> list[Block]:
        """Irrep blocks of the targets."""
        shapes = {"energy": (1, 1), "forces": (1, 3, 1), "stress": (1, 3, 3, 1),
                  "dipole": (1, 3, 1)}  # fmt: skip
        return [
            block
            for name in self.targets
            for block in _blocks(name, torch.zeros(shapes[name], dtype=torch.float64))
        ]

    def prepare(
        self, system: "System | ase.Atoms", name: str = "structure"
    ) -> AtomsStructure:
        """Take a structure.

        :param system: structure, in Å
        :param name: how messages call it
        :return: the prepared structure
        """
        atoms = system.copy() if isinstance(system, ase.Atoms) else atoms_of(system)
        if isinstance(system, ase.Atoms):
            system = system_with_extras(system)
        return AtomsStructure(name, system, len(atoms), 0, atoms, volume(system))

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Estimate of what is kept of a rotated copy; what a calculator takes is unknown.

        :param structure: prepared by this engine
        :param probes: none
        :return: bytes
        """
        return 8 * 20 * (structure.n_atoms + 1)

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate rotated copies, one after the other.

        :param structure: prepared by this engine
        :param matrices: ``(n, 3, 3)``
        :param blocks: of :attr:`blocks`
        :param probes: none
        :raises ValueError: if a probe is asked for, or if the calculator fails
        :return: float64
        """
        if probes:
            raise ValueError(
                f"layer '{probes[0]}' cannot be measured in a calculator of ASE, which "
                "hides its modules: give the checkpoint, or leave out the probes"
            )
        structure = prepared_as(structure, AtomsStructure)
        wanted = _possible({block.target for block in blocks}, structure)
        rows = [
            self._rotated(structure, matrix, wanted)
            for matrix in matrices.detach().cpu().to(torch.float64).numpy()
        ]
        found: dict[Block, torch.Tensor] = {}
        for name in wanted:
            found |= _blocks(name, torch.stack([row[name] for row in rows]))
        return Values({block: found[block] for block in blocks if block in found}, {})

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Evaluate the structure as it is.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        one = torch.eye(3, dtype=torch.float64)[None]
        values = self.evaluate(structure, one, self.blocks, [])
        return {block: part[0] for block, part in values.targets.items()}

    def _rotated(
        self, structure: AtomsStructure, matrix: np.ndarray, wanted: list[str]
    ) -> dict[str, torch.Tensor]:
        """Properties of one copy."""
        if not wanted:
            return {}
        try:
            results = self._ask(rotated_atoms(structure.atoms, matrix), wanted)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(self._failure(structure, wanted, error)) from error
        n = structure.n_atoms
        return {name: self._read(name, results[name], n, structure) for name in wanted}

    def _ask(self, atoms: ase.Atoms, wanted: list[str]) -> dict[str, Any]:
        """Results for a structure that the calculator has never seen."""
        results = compute(self.calculator, atoms, wanted)
        found = {}
        for name in wanted:
            value = results.get(name)
            if value is None:
                value = self.calculator.get_property(name, atoms)
            # some calculators write into the same array again
            found[name] = np.array(value, dtype=np.float64)
        return found

    def _failure(
        self, structure: AtomsStructure, wanted: list[str], error: Exception
    ) -> str:
        """Say whether the structure or its rotation was too much for the calculator."""
        why = f"({reason(error)})"
        try:
            self._ask(structure.atoms.copy(), wanted)
        except Exception as first:
            fewer = f", or name fewer targets than {', '.join(wanted)}" * (len(wanted) > 1)
            return (
                f"{structure.name}: the calculator {self.name} fails ({reason(first)}): "
                f"correct it, or leave the structure out{fewer}"
            )
        return (
            f"{structure.name}: the calculator {self.name} works as the structure is given "
            f"and fails on a rotated copy {why}, perhaps because it wants cells in one "
            "orientation: its symmetry cannot be measured, so leave it out"
        )

    def _read(
        self, name: str, value: np.ndarray, n: int, structure: AtomsStructure
    ) -> torch.Tensor:
        """A property in the layout of a block: components, then one property."""
        sizes: dict[str, list[tuple[int, ...]]] = {
            "energy": [()],
            "forces": [(n, 3)],
            "stress": [(6,), (3, 3)],
            "dipole": [(3,)],
        }
        value = value.reshape(()) if name == "energy" and value.size == 1 else value
        if value.shape not in sizes[name]:
            raise ValueError(
                f"{structure.name}: the calculator {self.name} returns '{name}' of the "
                f"shape {value.shape}, not {sizes[name][0]}: correct it, or leave "
                f"'{name}' out of the targets"
            )
        if value.shape == (6,):
            value = voigt_6_to_full_3x3_stress(value)
        rows = n if name == "forces" else 1
        axes = [3] * len(PROPERTIES[name].components)
        return torch.from_numpy(value).reshape(rows, *axes, 1)


def rotated_atoms(atoms: ase.Atoms, matrix: np.ndarray) -> ase.Atoms:
    """Copy of a structure, rotated together with its lattice.

    :param atoms: left as it is
    :param matrix: orthogonal, ``(3, 3)``; an improper one changes the sign of the cell
        vectors, which span the same lattice, so that the cell keeps its handedness
    :return: without calculator and constraints
    """
    copy = atoms.copy()
    copy.set_constraint()
    proper = matrix * np.sign(np.linalg.det(matrix))
    copy.set_cell(atoms.cell[:] @ proper.T, scale_atoms=False)
    copy.set_positions(atoms.positions @ matrix.T)
    return copy


def forget(calculator: Any) -> None:
    """Make a calculator forget what it knows of the last structure.

    :param calculator: of ASE; not every one has a ``reset``
    """
    if hasattr(calculator, "reset"):
        calculator.reset()
    elif isinstance(getattr(calculator, "results", None), dict):
        calculator.atoms, calculator.results = None, {}


def compute(calculator: Any, atoms: ase.Atoms, properties: Sequence[str]) -> dict[str, Any]:
    """Ask a calculator about a structure as if it was the first one.

    :param calculator: of ASE
    :param atoms: the structure
    :param properties: that are wanted
    :return: what the calculator leaves in its results, with or without all of these
    """
    forget(calculator)
    if not hasattr(calculator, "calculate"):
        return {name: calculator.get_property(name, atoms) for name in properties}
    calculator.calculate(atoms, list(properties), all_changes)
    return dict(getattr(calculator, "results", {}))


def is_calculator(model: Any) -> bool:
    """Whether something is a calculator of ASE.

    :param model: anything
    :return: true for objects that can be asked for properties
    """
    wanted = ("get_property", "implemented_properties")
    return not isinstance(model, type) and all(hasattr(model, name) for name in wanted)


def _choose(calculator: Any, targets: Iterable[str] | None) -> list[str]:
    """Targets that are wanted and that the calculator implements."""
    if not is_calculator(calculator):
        raise ValueError(
            f"{quoted(calculator)} is no calculator of ASE: give an object that was made, "
            "such as EMT()"
        )
    implemented = list(calculator.implemented_properties)
    known = [name for name in PROPERTIES if name in implemented]
    if not known:
        raise ValueError(
            f"the calculator {type(calculator).__name__} implements none of "
            f"{', '.join(PROPERTIES)} (but {', '.join(implemented) or 'nothing'}): give "
            "one that does"
        )
    names = known if targets is None else list(targets)
    if not names:
        raise ValueError("no targets are named: name one, or leave them out for all")
    for name in names:
        if name not in known:
            raise ValueError(
                f"the calculator {type(calculator).__name__} has no '{name}': "
                f"{did_you_mean(name, known)}"
            )
    return names


def _possible(names: set[str], structure: AtomsStructure) -> list[str]:
    """Properties that mean something for a structure."""
    possible = {
        "stress": structure.volume > 0,
        "dipole": not structure.atoms.pbc.any(),
    }
    return [name for name in PROPERTIES if name in names and possible.get(name, True)]


def _blocks(name: str, values: torch.Tensor) -> dict[Block, torch.Tensor]:
    """Irrep blocks of a property, from ``(..., samples, *components, properties)``."""
    one = PROPERTIES[name]
    axes = 2 + len(one.components)
    leading = values.shape[: values.ndim - axes]
    flat = values.reshape(-1, *values.shape[values.ndim - axes + 1 :])
    parts = irrep_blocks.split(name, {}, list(one.components), flat)
    return {
        Block(name, irrep, one.sample_kind, one.unit): part.reshape(
            *leading, -1, *part.shape[1:]
        )
        for irrep, _, part in parts
    }
