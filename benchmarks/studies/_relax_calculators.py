"""The calculators that the relaxation study compares, and how often each is asked."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import ase
from ase.calculators.calculator import Calculator, all_changes
from metatomic_ase import MetatomicCalculator
from metatomic_ase import SymmetrizedCalculator as MetatomicSymmetrized

from metatrain_symmetry import ProjectedCalculator, SymmetrizedCalculator


BARE = "bare"
VACUUM = 16.0  # Å

PACKAGES = {"CHGNet": "chgnet", "SevenNet": "sevenn"}

CONTROLS = tuple(PACKAGES)
"""Models that are invariant or equivariant by construction: the negative controls."""


class Counting(MetatomicCalculator):
    """Counts the structures that the model sees."""

    evaluations = 0

    def compute_energy(
        self, atoms: Any, compute_forces_and_stresses: bool = False, **options: Any
    ) -> Any:
        """As in metatomic-ase, which calls this for batches.

        :param atoms: structures
        :param compute_forces_and_stresses: whether to differentiate
        :param options: others
        """
        self.evaluations += 1 if isinstance(atoms, ase.Atoms) else len(atoms)
        return super().compute_energy(atoms, compute_forces_and_stresses, **options)

    def calculate(
        self, atoms: ase.Atoms, properties: list[str], system_changes: list[str]
    ) -> None:
        """As in metatomic-ase, which calls this for single structures.

        :param atoms: the structure
        :param properties: that are needed
        :param system_changes: as in ASE
        """
        self.evaluations += 1
        super().calculate(atoms, properties, system_changes)


class CountingControl(Calculator):
    """Counts the evaluations of any other calculator."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]
    atoms: Any

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.evaluations = 0

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """As in ASE.

        :param atoms: the structure
        :param properties: that are needed
        :param system_changes: as in ASE
        """
        super().calculate(atoms, properties, system_changes)
        self.evaluations += 1
        atoms = self.atoms if self.atoms.pbc.any() else boxed(self.atoms)
        self.inner.calculate(atoms, ["energy", "forces"], list(all_changes))
        self.results = dict(self.inner.results)


def boxed(atoms: ase.Atoms) -> ase.Atoms:
    """A molecule in a large periodic box: some calculators take nothing else.

    :param atoms: without periodic directions
    :return: a copy
    """
    copy = atoms.copy()
    copy.set_constraint()
    copy.set_cell([VACUUM] * 3)
    copy.pbc = True
    return copy


def control(name: str) -> Any:
    """A calculator whose forces are equivariant but for rounding.

    :param name: one of ``CONTROLS``
    :return: a calculator of ASE
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "CHGNet":
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator("7net-0", device="cpu")


# what each makes of the counting calculator
Wrap = Callable[[Any], Any]

WRAPPERS: dict[str, Wrap] = {
    BARE: lambda model: model,
    "projection": ProjectedCalculator,
    "metatomic, space group": lambda model: MetatomicSymmetrized(
        model, l_max=0, include_inversion=False, apply_space_group_symmetry=True
    ),
    "metatomic, 84": MetatomicSymmetrized,
    "O": lambda model: SymmetrizedCalculator(model, group="O"),
    "I": lambda model: SymmetrizedCalculator(model, group="I"),
    "O, projection": lambda model: ProjectedCalculator(
        SymmetrizedCalculator(model, group="O")
    ),
}


def variants(model: Path | None) -> dict[str, tuple[Any, Any]]:
    """All calculators that can be had.

    :param model: exported model, None for the controls alone
    :return: the calculator to use, and the one that counts, by name
    """
    found: dict[str, tuple[Any, Any]] = {}
    if model is not None:
        inner = Counting(str(model), device="cpu")
        found = {name: (wrap(inner), inner) for name, wrap in WRAPPERS.items()}
    for name in CONTROLS:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            print(f"left out: {name}, the package {PACKAGES[name]} is not installed")
        else:
            counter = CountingControl(control(name))
            found[name] = (counter, counter)
    return found
