"""Symmetry fine-tuning with structures of other molecules, of which there are no labels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.build import molecule
from ase.collections import g2
from metatrain.pet import PET

from benchmarks._polish_cases import Study
from benchmarks._polish_tables import OTHERS
from metatrain_symmetry.data.labelled import LabelledStructure, raw_values
from metatrain_symmetry.data.splits import StructureSet
from metatrain_symmetry.data.systems import read_systems
from metatrain_symmetry.finetune.held_out import engine_of


ATOMS = range(4, 13)
DISPLACEMENT = 0.1
"""Standard deviation of every coordinate, in Å."""

UNLABELLED = "full, unlabelled"


@dataclass(frozen=True)
class Others:
    """Structures of molecules of which the data sets hold none.

    :param given: to the fine-tuning, without labels
    :param held_out: of other formulas, which no fine-tuning sees
    """

    given: list[ase.Atoms]
    held_out: list[ase.Atoms]

    def settings(self) -> dict[str, Any]:
        """Molecules and numbers of structures, for the results file."""
        found: dict[str, Any] = {}
        for name, part in (("given", self.given), ("held_out", self.held_out)):
            molecules = sorted({atoms.info["name"] for atoms in part})
            found[name] = {"structures": len(part), "molecules": molecules}
        return found


def formulas(sets: dict[str, StructureSet]) -> set[tuple[int, ...]]:
    """Sorted atomic numbers of each structure of some sets."""
    every = (one.read(index) for one in sets.values() for index in range(len(one)))
    return {tuple(sorted(given.system.types.tolist())) for given in every}


def other_molecules(
    elements: set[int], known: set[tuple[int, ...]], seed: int, count: int
) -> Others:
    """Make structures of molecules of the G2 set, and split them by molecule.

    :param elements: atomic numbers that the model knows
    :param known: formulas to leave out
    :param seed: of the split and of the displacements
    :param count: of structures; half of them, rounded up, are given
    :raises ValueError: if there are fewer than two formulas or structures
    :return: both halves, the molecules of each in turn; isomers are in the same half
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in sorted(g2.names):
        formula = tuple(sorted(molecule(name).numbers.tolist()))
        if len(formula) in ATOMS and elements.issuperset(formula) and formula not in known:
            groups.setdefault(formula, []).append(name)
    if len(groups) < 2 or count < 2:
        raise ValueError(
            f"{len(groups)} formulas of the G2 set are new to the model, for {count} "
            "structures: give a model of more elements of molecules, and --structures 2"
        )
    rng = np.random.default_rng(seed)
    halves: tuple[list[str], list[str]] = ([], [])
    for index in rng.permutation(len(groups)):
        # the next formula goes where fewer molecules are
        min(halves, key=len).extend(list(groups.values())[index])
    sizes = (count - count // 2, count // 2)
    return Others(*(list(_displaced(*one, rng)) for one in zip(halves, sizes, strict=True)))


def _displaced(
    names: list[str], count: int, rng: np.random.Generator
) -> Iterator[ase.Atoms]:
    for index in range(count):
        plain = molecule(name := names[index % len(names)])
        moved = plain.positions + rng.normal(0, DISPLACEMENT, plain.positions.shape)
        yield ase.Atoms(plain.numbers, moved, info={"name": name})


def without_labels(model: PET, structures: list[ase.Atoms]) -> list[LabelledStructure]:
    """Structures whose own predictions stand for labels, on which A does not depend.

    :param structures: in Å
    """
    engine, found = engine_of(model), []
    for index, (_, system) in enumerate(read_systems(structures, engine)):
        structure = engine.prepare(system, f"structure {index}")
        bare = raw_values(engine, structure, list(engine.blocks))
        found.append(LabelledStructure(structure, bare_targets=bare))
    return found


def prepare(study: Study, count: int) -> Others:
    """Make other molecules, and have the study evaluate those that are held out.

    :param study: whose ``before`` has not been asked for
    :param count: of structures
    """
    elements = {int(number) for number in study.model.dataset_info.atomic_types}
    seed = study.settings()["seed"]
    others = other_molecules(elements, formulas(study.sets), seed, count)
    study.data[OTHERS] = without_labels(study.model, others.held_out)
    return others


def run(study: Study, others: Others, method: str) -> dict[str, dict[str, Any]]:
    """Fine-tune with or without the structures that have no labels.

    :param study: of :func:`prepare`, as ``others``
    :param method: ``full`` or :data:`UNLABELLED`
    :return: entry of the results file by name
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "others.xyz"
        ase.io.write(path, others.given, format="extxyz")
        section = {"read_from": str(path), "length_unit": "angstrom"}
        own = section if method == UNLABELLED else None
        study.changes = {**study.changes, "unlabelled": own}
        (entry,) = study.run("full").values()
    return {method: {**entry, OTHERS: without_errors(entry[OTHERS])}}


def without_errors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copies of rows, with None for all that is made of labels."""
    empty = {"rmse_change_interval": [None, None]}
    made = ("rmse", "asymmetric")
    return [
        {key: empty.get(key) if key.startswith(made) else row[key] for key in row}
        for row in rows
    ]
