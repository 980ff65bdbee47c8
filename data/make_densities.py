"""Make ``density_l8.*``: the (8,+) part of electron densities of small organic molecules.

Distorted conformers get an RHF/6-31G* density, projected on one Gaussian of λ = 8 per atom
(:mod:`benchmarks.lambda8_data` has the formula). Two sets: ``density_l8`` to train and
validate on, ``density_l8_unseen`` of molecules that are not in it. Each chemical element is
divided by the root mean square of its components in the first.

    pip install -c constraints.txt -e ".[datasets]"
    OMP_NUM_THREADS=1 python -m data.make_densities

Every structure has a seed of its own; a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import ase.io
import metatensor.torch as mts
import numpy as np
from ase import Atoms
from pyscf import lib
from scipy.spatial.transform import Rotation

from benchmarks._conformers import RATTLE, SMILES, conformer
from benchmarks._results import write_atomically
from benchmarks.lambda8_data import (
    BASIS,
    EXPONENT,
    as_tensor_map,
    covariance_error,
    project,
    quadrature_error,
    species_rms,
)
from data._parts import DIGITS, GENERATED, Record, finish, in_parts, is_made, parts_of


TRAINED = {
    **SMILES,
    "acetonitrile": "CC#N",
    "methylamine": "CN",
    "formic acid": "OC=O",
}
UNSEEN = {"acetone": "CC(C)=O", "glycolaldehyde": "OCC=O", "ethylamine": "CCN"}
PACKAGES = ("pyscf", "rdkit", "metatrain", "numpy")
LIMITS = {"quadrature": 1e-5, "covariance": 1e-7}
"""Of the checks, relative to the largest coefficient."""


def make(index: int, molecules: dict[str, str], seed: int) -> Record:
    """Make one conformer and project its density.

    :param index: which one; molecules take turns
    :param molecules: SMILES by name
    :param seed: seed of the data set
    :return: the arrays of the structure; coefficients are not normalised
    """
    rng = np.random.default_rng([seed, index])
    name = list(molecules)[index % len(molecules)]
    atoms = conformer(molecules[name], int(rng.integers(2**31 - 1)))
    atoms.positions += rng.normal(scale=rng.uniform(*RATTLE), size=(len(atoms), 3))
    atoms.positions -= atoms.positions.mean(axis=0)
    atoms.positions = Rotation.random(None, rng).apply(atoms.positions).round(DIGITS)
    atoms.info["name"] = name
    return {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "coefficients": project(atoms),
        "name": np.array(name),
    }


def as_atoms(record: Record) -> Atoms:
    """Structure of a record.

    :param record: as returned by :func:`make`
    """
    atoms = Atoms(record["numbers"], record["positions"])
    atoms.info["name"] = str(record["name"])
    return atoms


def check(atoms: Atoms, seed: int) -> dict[str, float]:
    """Check the projection against quadrature, and under a rotation with inversion.

    :param atoms: a structure
    :param seed: seed of the rotation
    :return: largest deviations, relative to the largest coefficient
    :raises RuntimeError: if one is too large
    """
    found = {
        "quadrature": quadrature_error(atoms),
        "covariance": covariance_error(atoms, seed),
    }
    for name, error in found.items():
        if error > LIMITS[name]:
            raise RuntimeError(f"{name}: a relative deviation of {error:.1e}")
    return found


def write(
    folder: Path, stem: str, records: list[Record], factors: dict[int, float]
) -> None:
    """Write one set, normalised.

    :param folder: where to
    :param stem: name of the files
    :param records: as returned by :func:`make`
    :param factors: what the coefficients of an element are divided by
    """
    frames = [as_atoms(record) for record in records]
    values = [
        record["coefficients"]
        / np.array([factors[int(z)] for z in record["numbers"]])[:, None]
        for record in records
    ]
    tensor = as_tensor_map(values)
    write_atomically(folder / f"{stem}.xyz", lambda name: ase.io.write(name, frames))
    write_atomically(folder / f"{stem}.mts", lambda name: mts.save(name, tensor))


def make_all(folder: Path, settings: dict[str, Any]) -> tuple[list[Record], list[Record]]:
    """Make or find the records of both sets.

    :param folder: where the data set will be
    :param settings: number of structures of each, seed
    :return: records to train on, in a shuffled order, and records of unseen molecules
    """
    parts, seed = parts_of(folder, settings), settings["seed"]
    known = in_parts(
        parts / "trained", settings["structures"], lambda i: make(i, TRAINED, seed)
    )
    # another seed: conformers of the same index have nothing in common
    unseen = in_parts(
        parts / "unseen", settings["unseen"], lambda i: make(i, UNSEEN, seed + 1)
    )
    order = np.random.default_rng(seed).permutation(len(known))
    return [known[i] for i in order], unseen


def main() -> None:
    """Make, check and write both sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=GENERATED)
    parser.add_argument("--structures", type=int, default=640)
    parser.add_argument("--unseen", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="24 structures, 6 unseen")
    arguments = parser.parse_args()
    lib.num_threads(1)  # more only cost time for molecules of this size
    settings = {
        "method": f"RHF/{BASIS}",
        "exponent_per_bohr2": EXPONENT,
        "rattle": list(RATTLE),
        "trained": TRAINED,
        "not trained": UNSEEN,
        "structures": 24 if arguments.quick else arguments.structures,
        "unseen": 6 if arguments.quick else arguments.unseen,
        "seed": arguments.seed,
    }
    folder: Path = arguments.output_dir
    description = folder / "density_l8.json"
    if is_made(description, settings):
        print(f"{folder / 'density_l8.mts'} is there already")
        return
    known, unseen = make_all(folder, settings)
    checks = check(as_atoms(known[0]), arguments.seed)
    frames = [as_atoms(record) for record in known]
    factors = species_rms(frames, [record["coefficients"] for record in known])
    write(folder, "density_l8", known, factors)
    write(folder, "density_l8_unseen", unseen, factors)
    about = {"rms_by_atomic_number": factors, "relative_errors_of_checks": checks}
    finish(description, settings, about, PACKAGES)
    print(f"{len(known)} and {len(unseen)} structures in '{folder}': {about}")


if __name__ == "__main__":
    main()
