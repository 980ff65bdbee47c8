"""A calculator of ASE that is averaged over a group of rotations."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import ase
import numpy as np
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from scipy.spatial.transform import Rotation

from ..groups import group_names, named_group
from ..messages import quoted
from .evaluate import evaluate, supported, wanted
from .rotations import rotated, rotated_back


ASCENDING = tuple(dict.fromkeys(group.name for group in group_names().values()))
"""Groups that are tried for a wanted A, by number of elements."""

TRIALS = 4
"""Random orientations from which the A that a group leaves is estimated."""

WITH_SPREAD = ("energy", "forces", "stress")

INPUTS = ("charge", "spin", "spin_multiplicity")
"""Entries of ``Atoms.info`` that models read, and that ASE does not watch."""


class SymmetrizedCalculator(Calculator):
    """Averages any calculator of ASE over a group of rotations.

    Every answer is computed on rotated copies, rotated back, and averaged: energy, forces,
    stress, and dipole, charges or magnetic moments where they come along. Forces and stress
    of the average are the derivatives of the averaged energy as long as the frame stays.
    ``results`` also holds ``energy_rot_std``, ``forces_rot_std`` and ``stress_rot_std``,
    the standard deviation over the copies: component by component, in the units of the
    property.

    ``frame="random"`` draws a new orientation of the group for each new structure. With
    ``group="1"`` this is dynamics with one random rotation for each step: as cheap as the
    calculator itself, and unbiased, since forces have the mean of all orientations. It adds
    noise, so that energy is not conserved and a thermostat is needed.

    :param calculator: what is averaged; the calculator of metatomic-ase gets many rotated
        copies at once
    :param group: ``1``, ``i`` (inversion), ``D2``, ``T``, ``O``, ``I``, or one of the
        latter four with a final ``i``: each rotation with its product with inversion. Full
        names such as ``icosahedral`` and symbols such as ``Oh`` are read, too. The default
        is I, 60 rotations, unless ``max_A`` is given.
    :param frame: ``fixed`` to the laboratory, or ``random``
    :param max_A: largest A of the forces in eV/Å (root mean square of a component) that may
        be left: the smallest group that leaves no more on the first structure is taken
    :param batch_size: copies evaluated at once, None to let the number of atoms decide
    :param seed: of random frames; None for another one each time
    :raises ValueError: if there is no such group or frame, or no group leaves so little A

    >>> from ase.build import molecule
    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import SymmetrizedCalculator
    >>> atoms = molecule("H2O")
    >>> atoms.calc = SymmetrizedCalculator(EMT(), group="O")
    >>> print(f"{atoms.get_potential_energy():.3f} eV")
    2.620 eV
    >>> bool(atoms.calc.results["energy_rot_std"] < 1e-12)  # EMT is equivariant
    True
    """

    implemented_properties: ClassVar[list[str]] = []
    atoms: Any

    def __init__(
        self,
        calculator: Any,
        group: str | None = None,
        frame: Literal["fixed", "random"] = "fixed",
        max_A: float | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        _check(group, frame, max_A, batch_size)
        self.calculator = calculator
        self.implemented_properties = supported(calculator)
        self.group = group if group or max_A else "I"
        self.frame = frame
        self.max_A = max_A
        self.batch_size = batch_size
        self.left: dict[str, float] = {}
        """A in eV/Å that each group that was tried leaves, with ``max_A``."""
        self._random = np.random.default_rng(seed)
        self._matrices: np.ndarray | None = None

    def check_state(self, atoms: ase.Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation.

        :param atoms: the structure
        :param tol: as in ASE
        :return: names of changes; also of inputs of models in ``Atoms.info``
        """
        changes: list[str] = super().check_state(atoms, tol)
        if self.atoms is not None:
            before, now = self.atoms.info, atoms.info
            changes += [key for key in INPUTS if before.get(key) != now.get(key)]
        return changes

    def get_property(
        self, name: str, atoms: Any = None, allow_calculation: bool = True
    ) -> Any:
        """As in ASE, with a sentence about what is missing.

        :param name: of the property
        :param atoms: structure, None for the last one
        :param allow_calculation: whether to compute it
        :raises PropertyNotImplementedError: if the inner calculator has no such property
        :return: the property
        """
        if name not in self.implemented_properties:
            inner = type(self.calculator).__name__
            raise PropertyNotImplementedError(
                f"{inner} has no {name} that could be symmetrised: wrap a calculator with "
                f"'{name}' among its implemented_properties"
            )
        return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute averages.

        :param atoms: the structure
        :param properties: that are needed; energy, forces and the stress of a periodic
            structure are computed together, in the same frame
        :param system_changes: as in ASE; a random frame stays if nothing has changed
        :raises ValueError: if the inner calculator fails on a rotated copy
        """
        super().calculate(atoms, properties, system_changes)
        if self.group is None:
            self.group = self._choose(self.atoms)
        if self._matrices is None or system_changes:
            self._matrices = self._elements(self.group)
        needed = wanted(self.calculator, self.atoms, properties)
        self.results = self._averages(self._evaluate(self._matrices, needed))

    def _evaluate(
        self, matrices: np.ndarray, properties: Sequence[str]
    ) -> dict[str, np.ndarray]:
        copies = [rotated(self.atoms, matrix) for matrix in matrices]
        found = evaluate(self.calculator, copies, properties, self.batch_size)
        return {name: rotated_back(name, found[name], matrices) for name in found}

    def _elements(self, group: str) -> np.ndarray:
        elements = named_group(group).elements.numpy()
        if self.frame == "fixed":
            return elements
        left, right = Rotation.random(2, rng=self._random).as_matrix()
        return left @ elements @ right

    @staticmethod
    def _averages(found: dict[str, np.ndarray]) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for name, values in found.items():
            mean = values.mean(axis=0)
            results[name] = float(mean) if mean.ndim == 0 else mean
            # one rotation says nothing about the spread
            if name in WITH_SPREAD and len(values) > 1:
                spread = values.std(axis=0)
                results[f"{name}_rot_std"] = float(spread) if mean.ndim == 0 else spread
        return results

    def _choose(self, atoms: ase.Atoms) -> str:
        if "forces" not in self.implemented_properties:
            raise ValueError(
                f"max_A is about forces, and {type(self.calculator).__name__} has none: "
                "give group= instead"
            )
        assert self.max_A is not None
        # the same for every group, so that differences are no noise
        turns = Rotation.random(TRIALS, rng=self._random).as_matrix()
        for group in ASCENDING:
            self.left[group] = self._left_by(group, turns)
            if self.left[group] <= self.max_A:
                return group
        least = min(self.left, key=lambda name: self.left[name])
        raise ValueError(
            f"no group leaves an A of {self.max_A:g} eV/Å on the first structure, the best "
            f"is {least} with {self.left[least]:.2g}: raise max_A, or give group="
        )

    def _left_by(self, group: str, turns: np.ndarray) -> float:
        """Standard deviation of averaged forces over random orientations."""
        means = []
        for turn in turns:
            found = self._evaluate(self._elements(group) @ turn, ["energy", "forces"])
            means.append(found["forces"].mean(axis=0))
        return float(np.sqrt(np.var(means, axis=0, ddof=1).mean()))


def _check(
    group: str | None, frame: str, max_A: float | None, batch_size: int | None
) -> None:
    if frame not in ("fixed", "random"):
        raise ValueError(f"there is no frame {quoted(frame)}: give 'fixed' or 'random'")
    if group is not None:
        named_group(group)
        if max_A is not None:
            raise ValueError("max_A chooses the group: give group or max_A, not both")
    if max_A is not None and not (isinstance(max_A, Real) and max_A > 0):
        raise ValueError(f"max_A is {quoted(max_A)}: give a positive number, in eV/Å")
    if batch_size is not None and not (
        isinstance(batch_size, Integral) and batch_size >= 1
    ):
        raise ValueError(f"batch_size is {quoted(batch_size)}: give at least 1")
