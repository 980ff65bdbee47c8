"""Which relaxations keep their space group: bare, averaged, projected, equivariant.

Thirty crystals over the seven crystal systems and five molecules, strained and rattled
within their symmetry, are relaxed (ASE's BFGS, with the cell for crystals) to 1 meV/Å: with
a model alone, with averages over rotations, with a projection, and with two models that are
equivariant by construction. ``built`` crystals stand as they were built, often along the
axes of the laboratory; ``rotated`` ones are rotated at random. For ten crystals phonopy
computes the frequencies at Γ, with the symmetry that it finds and without.

    python -m benchmarks.studies.relaxation MODEL.pt

MODEL.pt is an exported model of many elements, such as that of ``benchmarks.studies.pes``.
The controls need the packages ``chgnet`` and ``sevenn``; those that are not there are left
out. Each relaxation is kept in ``--runs`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ase
import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from benchmarks._results import hardware, write_json
from benchmarks.studies._relax import FMAX, relax
from benchmarks.studies._relax_calculators import CONTROLS, variants
from benchmarks.studies._relax_figure import draw
from benchmarks.studies._relax_phonons import frequencies, operations
from benchmarks.studies._relax_structures import MOLECULES, PHONONS, disturbed, known
from benchmarks.studies._relax_tables import tables
from benchmarks.studies._study import RESULTS, RUNS
from metatrain_symmetry import find_symmetry


SEED = 0
SECONDS = 300.0
"""Processor time of one relaxation, at most."""

QUICK = ("SiC", "CH4")
PACKAGES = ("metatrain-symmetry", "metatomic-torch", "metatomic-ase", "torch", "ase",
            "spglib", "phonopy", "chgnet", "sevenn")  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    :param arguments: in place of those of the process
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", help="exported model (.pt)")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--only", nargs="+", help="calculators of these names")
    parser.add_argument("--quick", action="store_true", help="two structures, for a test")
    parser.add_argument("--runs", type=Path, help="folder for single relaxations")
    parser.add_argument("--output", type=Path, help="folder for the tables")
    args = parser.parse_args(arguments)
    if args.model is not None and not args.model.is_file():
        parser.error(f"there is no file '{args.model}': give an exported model")
    return args


def orient(atoms: ase.Atoms, orientation: str, name: str) -> ase.Atoms:
    """Rotate a structure at random, or leave it.

    :param atoms: the structure, which is changed
    :param orientation: ``built`` or ``rotated``
    :param name: of the structure, which decides the rotation
    """
    if orientation == "rotated":
        rng = np.random.default_rng([SEED, 1, sorted(known()).index(name)])
        matrix = Rotation.random(rng=rng).as_matrix()
        atoms.positions = atoms.positions @ matrix.T
        atoms.set_cell(atoms.cell.array @ matrix.T)
    return atoms


def run(name: str, orientation: str, calculator: Any, counter: Any) -> dict[str, Any]:
    """Relax one structure, and compute its frequencies.

    :param name: of the structure
    :param orientation: ``built`` or ``rotated``
    :param calculator: to use
    :param counter: of evaluations
    """
    atoms = orient(disturbed(name, SEED), orientation, name)
    symmetry = find_symmetry(atoms, 1e-6)
    elements = operations(symmetry, atoms) if name in PHONONS else None
    found = relax(atoms, calculator, counter, SECONDS)
    found |= {"atoms": len(atoms), "group": known()[name]}
    if elements is not None and found["end"] == "converged":
        for kind in ("reduced", "whole"):
            found[kind] = frequencies(atoms, calculator, elements, kind == "reduced")
    return found


def tasks(names: list[str], calculators: list[str]) -> list[tuple[str, str, str]]:
    """What there is to do: structure, orientation and calculator, the cheap ones first.

    :param names: of structures
    :param calculators: names of calculators
    """
    return [
        (name, orientation, calculator)
        for orientation in ("built", "rotated")
        for calculator in calculators
        for name in names
        # for an equivariant model orientations are the same
        if orientation == "built" or calculator not in CONTROLS
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the study; what was computed before is not computed again.

    :param arguments: in place of those of the process
    """
    warnings.simplefilter("ignore")
    args = parse(arguments)
    runs = args.runs or RUNS / ("quick" if args.quick else "") / "relaxation"
    output = args.output or (runs if args.quick else RESULTS / "relaxation")
    calculators = {
        key: value
        for key, value in variants(args.model).items()
        if args.only is None or key in args.only
    }
    deadline = (
        float("inf") if args.minutes is None else time.monotonic() + 60 * args.minutes
    )
    todo = tasks(list(QUICK if args.quick else known()), list(calculators))
    for name, orientation, calculator in tqdm(todo, unit="relaxation"):
        path = runs / f"{calculator} {orientation} {name}.json".replace(" ", "_")
        if path.exists() or time.monotonic() > deadline:
            continue
        what = {"structure": name, "orientation": orientation, "calculator": calculator}
        write_json(path, {**what, **run(name, orientation, *calculators[calculator])})
    _summarise(runs, output)


def _summarise(runs: Path, output: Path) -> None:
    records = [json.loads(path.read_text()) for path in sorted(runs.glob("*.json"))]
    output.mkdir(parents=True, exist_ok=True)
    whole = tables(records, output)
    draw(whole["relaxations"], output / "relaxation.png")
    write_json(
        output / "summary.json",
        {
            "command": "python -m benchmarks.studies.relaxation MODEL.pt",
            "fmax": FMAX,
            "seconds_for_one": SECONDS,
            "structures": len(known()),
            "molecules": len(MOLECULES),
            "versions": {name: _version(name) for name in PACKAGES},
            "hardware": hardware(),
            **whole,
        },
    )
    print(f"tables are in '{output}'", file=sys.stderr)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
