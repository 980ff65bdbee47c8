"""A that is left against the number of evaluations, for averages over sets of rotations.

Ours are the groups of ``metatrain_symmetry.SymmetrizedCalculator``. Beside them are the
quadratures of metatomic-ase's ``SymmetrizedCalculator`` and of i-PI's ``ffrotations``, each
as these calculators use them: fixed to the laboratory. A is the standard deviation of an
averaged answer over random orientations (and inversions) of a structure, root mean square
over components and structures, of energies per atom, conservative forces, and stress.

Every number is also given as a share of A of the bare model, from the same structures and
orientations: the variance of its answers to all 120 elements of Ii on each of them. Sets of
more than 120 evaluations see fewer orientations. Groups in random frames are compared with
what ``symmetry_report`` predicts from spectra.

    python -m benchmarks.symmetrise --molecules MODEL.pt FILE.xyz --solids MODEL.pt FILE.xyz
    python -m benchmarks.symmetrise --show benchmarks/results/symmetrise.json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import torch
from metatomic_ase import MetatomicCalculator
from scipy.spatial.transform import Rotation

from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._symmetrise_measure import (
    UNITS,
    Samples,
    compare,
    label,
    properties_of,
    sample,
)
from benchmarks._symmetrise_sets import Points, groups, of_ipi, of_metatomic_ase
from benchmarks._symmetrise_show import draw, tables
from metatrain_symmetry import symmetry_report


PACKAGES = (
    "metatrain-symmetry", "metatrain", "metatomic-torch", "metatomic-ase", "ase", "scipy",
    "torch",
)  # fmt: skip

SIZES = range(8, 11)
"""Numbers of atoms of the structures that are taken: ethanol has nine."""

TARGETS = {
    "energy": "energy",
    "conservative_force": "forces",
    "conservative_stress": "stress",
}
"""Property that each target of a report is."""

LARGE = 120
"""Evaluations of a set beyond which fewer orientations have to do."""

RESULTS = Path("benchmarks/results/symmetrise.json")


def choose(path: Path, count: int, seed: int) -> list[ase.Atoms]:
    """Structures of different compositions, in random order.

    :param path: file that ASE reads; entries of the kind ``molecule`` are left out where
        solids are marked too
    :param count: how many
    :param seed: of the choice
    :raises SystemExit: if there are too few
    """
    found: dict[str, ase.Atoms] = {}
    every = ase.io.read(path, ":")
    for index in np.random.default_rng(seed).permutation(len(every)):
        atoms = every[index]
        if len(atoms) in SIZES and atoms.info.get("kind") != "molecule":
            bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            found.setdefault(atoms.get_chemical_formula(), bare)
    if len(found) < count:
        raise SystemExit(
            f"{path.name} has {len(found)} compositions of {SIZES[0]} to {SIZES[-1]} "
            f"atoms: give a file with {count}, or --structures {len(found)}"
        )
    return list(found.values())[:count]


def case(
    model: Path, path: Path, count: int, orientations: tuple[int, int], seed: int
) -> dict[str, Any]:
    """Measure all sets on some structures.

    :param model: exported model with an energy
    :param path: of structures
    :param count: number of structures
    :param orientations: of each structure; for small sets, and for large ones
    :param seed: of all random choices
    """
    begin = time.process_time()
    structures = choose(path, count, seed)
    calculator = MetatomicCalculator(model, device="cpu")
    sets = [*groups(), *of_metatomic_ase(), *of_ipi()]
    many, few = orientations
    small = [one for one in sets if one.evaluations <= LARGE]

    def fixed(number: int, rng: np.random.Generator) -> Sequence[Points]:
        return sets if number < few else small

    def random(number: int, rng: np.random.Generator) -> Sequence[Points]:
        frame = Rotation.random(rng=rng).as_matrix()
        return [one.turned(frame) for one in groups() if len(one.matrices) >= 12]

    in_fixed, in_random = [], []
    for index, atoms in enumerate(structures):
        number = 1000 * seed + index
        in_fixed.append(sample(calculator, atoms, many, fixed, number))
        in_random.append(sample(calculator, atoms, few, random, number + 500))
    names = properties_of(structures[0])
    return {
        "structures": [atoms.get_chemical_formula() for atoms in structures],
        "units": {name: UNITS[name] for name in names},
        "fixed frame": [_entry(one, in_fixed, names) for one in sets],
        "random frame": [
            _entry(one, in_random, names) for one in groups() if len(one.matrices) >= 12
        ],
        "predicted": predicted(model, structures, seed),
        "processor_s": time.process_time() - begin,
    }


def _entry(points: Points, samples: list[Samples], names: list[str]) -> dict[str, Any]:
    """What one set leaves."""
    key = label(points)
    return {
        "family": points.family,
        "name": points.name,
        "inversion": points.inversion,
        "evaluations": points.evaluations,
        "orientations": len(samples[0].means[key]["energy"]),
        **{name: compare(samples, name, key) for name in names},
    }


def predicted(
    model: Path, structures: list[ase.Atoms], seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """What a report says about A left over A, on average over frames.

    :param model: exported model
    :param structures: to measure
    :param seed: of the measurement
    :return: ``ratio`` and ``ratio_err`` for each property and set
    """
    report = symmetry_report(
        model, structures, targets=["energy"], gradients=True, probes=[], lambda_max=6,
        budget=None, seed=seed, progress=False,
    )  # fmt: skip
    found: dict[str, dict[str, dict[str, float]]] = {}
    table = report.rotations
    for target, name in dict.fromkeys(zip(table.target, table.set, strict=True)):
        rows = table[(table.target == target) & (table.set == name)]
        # blocks of a stress together, in squares that are larger by 1 / share
        squares = rows.A_left**2 / rows.share
        share = (squares * rows.share).sum() / squares.sum()
        error = np.hypot.reduce(squares * rows.share_err) / squares.sum()
        found.setdefault(TARGETS[target], {})[name] = {
            "ratio": float(share**0.5),
            "ratio_err": float((share + error) ** 0.5 - share**0.5),
        }
    return found


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind in ("molecules", "solids"):
        parser.add_argument(f"--{kind}", type=Path, nargs=2, metavar=("MODEL", "FILE"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file")
    parser.add_argument("--structures", type=int, default=3, help="of each kind")
    parser.add_argument("--orientations", type=int, default=32, help="of each structure")
    parser.add_argument(
        "--few", type=int, default=16, help="orientations for large sets and random frames"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=Path, help="results to print and to draw")
    arguments = parser.parse_args()
    if arguments.show:
        result = json.loads(arguments.show.read_text())
        print(tables(result["cases"]))
        draw(result["cases"], arguments.show.with_suffix(".png"))
        return
    if not 3 <= arguments.few <= arguments.orientations:
        parser.error("--few needs at least 3 orientations, and at most --orientations")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result = start("benchmarks.symmetrise", PACKAGES)
    orientations = (arguments.orientations, arguments.few)
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        kind: partial(
            case, given[0], given[1], arguments.structures, orientations, arguments.seed
        )
        for kind in ("molecules", "solids")
        if (given := getattr(arguments, kind))
    }
    if not cases:
        parser.error("give --molecules, --solids or --show")
    run_cases(cases, result, arguments.output)
    stop_if_failed(result, arguments.output)


if __name__ == "__main__":
    main()
