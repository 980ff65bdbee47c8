"""A calculator of ASE whose forces and stress keep the symmetry of the structure."""

import warnings
from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

import ase
import numpy as np
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)

from ..messages import reason
from .evaluate import check_calculator, checked
from .rotations import full, voigt
from .symmetry import Symmetry, check_symprec, find_symmetry


class ProjectedCalculator(Calculator):
    """Projects forces and stress of any calculator of ASE onto a structure's own symmetry.

    The space group of a crystal or a slab, or the point group of a molecule, is found on
    the first structure and followed from there: positions and cell of a relaxation stay
    symmetric to machine precision. No evaluation is added. Energies are those of the
    calculator: on symmetric structures projected forces are their derivatives along all
    displacements that keep the symmetry.

    A structure that has left the symmetry by more than twice the tolerance, or has other
    atoms, is looked at anew. For displaced structures, as for phonons, the tolerance must
    be smaller than the displacements.

    Around :class:`SymmetrizedCalculator` it makes an averaged model keep symmetry exactly;
    the other order gives the same numbers, and looks for symmetry in every rotated copy.

    :param calculator: whose answers are projected
    :param symprec: tolerance in Å; :func:`refine_symmetry` makes a structure exact first
    :raises ValueError: if the tolerance is not positive; in a calculation, if no group is
        found at the tolerance

    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import ProjectedCalculator
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = ProjectedCalculator(EMT())
    >>> forces = atoms.get_forces()
    >>> print(atoms.calc.symmetry.name, abs(forces).max() == 0)
    Fm-3m True
    """

    implemented_properties: ClassVar[list[str]] = []
    atoms: Any

    def __init__(self, calculator: Any, symprec: float = 1e-3) -> None:
        super().__init__()
        check_calculator(calculator)
        check_symprec(symprec)
        self.calculator = calculator
        self.implemented_properties = list(calculator.implemented_properties)
        self.symprec = symprec
        self.symmetry: Symmetry | None = None
        """Found on the first structure; None to look again."""

    def check_state(self, atoms: ase.Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation.

        :param atoms: the structure
        :param tol: as in ASE
        :return: names of changes; also of those that only the inner calculator knows
        """
        changes: list[str] = super().check_state(atoms, tol)
        if not changes and hasattr(self.calculator, "check_state"):
            changes += self.calculator.check_state(atoms, tol)
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
                f"{inner} has no {name} that could be projected: wrap a calculator with "
                f"'{name}' among its implemented_properties"
            )
        return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute and project.

        :param atoms: the structure
        :param properties: that are needed
        :param system_changes: as in ASE
        :raises ValueError: if no group is found at the tolerance
        """
        super().calculate(atoms, properties, system_changes)
        inner = self.calculator
        asked = {name: inner.get_property(name, self.atoms) for name in properties}
        self.results = self._checked({**getattr(inner, "results", {}), **asked})
        self.symmetry = self._followed(self.atoms)
        self._project(self.symmetry, self.results)

    def _checked(self, results: dict[str, Any]) -> dict[str, Any]:
        """Copies of answers, of which forces, stress and dipole can be projected."""
        found, n = {}, len(self.atoms)
        try:
            for name, value in results.items():
                vectors = name in ("forces", "stress", "dipole") and value is not None
                found[name] = checked(name, value, n) if vectors else copy(value)
                if vectors and not np.isfinite(found[name]).all():
                    # some divide by the volume of a molecule
                    if name != "stress" or self.atoms.pbc.all():
                        raise ValueError(f"it returns {name} that are not finite")
                    found[name] = None
        except ValueError as error:
            kind = type(self.calculator).__name__
            raise ValueError(f"{kind} cannot be projected: {reason(error)}") from error
        return {name: value for name, value in found.items() if value is not None}

    def _project(self, symmetry: Symmetry, results: dict[str, Any]) -> None:
        if "forces" in results:
            results["forces"] = symmetry.vectors(self.atoms, results["forces"])
        if "stress" in results and symmetry.pbc.any():
            stress = full(results["stress"])
            results["stress"] = voigt(symmetry.tensor(self.atoms, stress))
        if "dipole" in results:
            results["dipole"] = symmetry.vector(self.atoms, results["dipole"])

    def _followed(self, atoms: ase.Atoms) -> Symmetry:
        known = self.symmetry
        if known is not None and known.fits(atoms):
            if known.deviation(atoms) <= 2 * self.symprec:
                return known
        else:
            known = None
        try:
            found = find_symmetry(atoms, self.symprec)
        except ValueError as error:
            raise ValueError(f"forces cannot be projected: {reason(error)}") from error
        self._warn(known, found)
        return found

    def _warn(self, before: Symmetry | None, found: Symmetry) -> None:
        if before is not None and len(found) < len(before):
            warnings.warn(
                f"the structure has left its symmetry {before.name} by more than "
                f"{2 * self.symprec:g} Å and now has {found.name}: forces are projected "
                "onto that",
                stacklevel=2,
            )
        elif len(found) == 1:
            warnings.warn(
                f"the structure has no symmetry at symprec={self.symprec:g}, nothing is "
                "projected: raise symprec if it should have one",
                stacklevel=2,
            )
