"""Make data sets of λ = 8: the (8,+) part of electron densities of small molecules.

Distorted, randomly rotated conformers get a density, and its projection on one shell of
λ = 8 per atom is the target (:mod:`benchmarks.makers._projection`). Each chemical element
is divided by the root mean square of its components, so that all weigh the same::

    pip install -c constraints.txt -e ".[datasets]"
    export OMP_NUM_THREADS=1
    python -m benchmarks.makers.densities            # of the studies: 6 minutes
    python -m benchmarks.makers.densities lambda8    # of embedding_defaults: 2 minutes

The former are ``density_l8`` to train and validate on, and ``density_l8_unseen`` of
molecules that are not in it, in the same units. A killed run goes on where it was.
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

from benchmarks.makers._parts import (
    DIGITS,
    Record,
    finish,
    in_parts,
    is_made,
    parser_of,
    parts_of,
)
from benchmarks.makers._projection import (
    BASIS,
    EXPONENT,
    as_tensor_map,
    covariance_error,
    project,
    quadrature_error,
    species_rms,
)
from data.conformers import conformers
from metatrain_symmetry.io import replacing


FEW = {
    "methanol": "CO",
    "ethanol": "CCO",
    "formamide": "NC=O",
    "dimethyl ether": "COC",
    "acetaldehyde": "CC=O",
}
TRAINED = {**FEW, "acetonitrile": "CC#N", "methylamine": "CN", "formic acid": "OC=O"}
UNSEEN = {"acetone": "CC(C)=O", "glycolaldehyde": "OCC=O", "ethylamine": "CCN"}
RATTLE = (0.05, 0.10)
"""Standard deviation of the displacements, in Å: drawn uniformly for each structure."""
PACKAGES = ("pyscf", "rdkit", "metatrain", "numpy")
LIMITS = {"quadrature": 1e-5, "covariance": 1e-7}
"""Of the checks, relative to the largest coefficient."""


def distorted(index: int, molecules: dict[str, str], rng: np.random.Generator) -> Atoms:
    """Rattle and rotate a conformer.

    :param index: which one; molecules take turns
    :param molecules: SMILES by name
    :param rng: source of random numbers
    :return: structure centred on the origin, positions in Å
    """
    name = list(molecules)[index % len(molecules)]
    (atoms,) = conformers(molecules[name], 1, int(rng.integers(2**31 - 1)))
    atoms.positions += rng.normal(scale=rng.uniform(*RATTLE), size=(len(atoms), 3))
    atoms.positions -= atoms.positions.mean(axis=0)
    atoms.positions = Rotation.random(None, rng).apply(atoms.positions)
    atoms.info["name"] = name
    return atoms


def labelled(atoms: Atoms) -> Record:
    """Project the density of a conformer.

    :param atoms: with a name
    :return: the arrays of the structure; coefficients are not normalised
    """
    return {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "coefficients": project(atoms),
        "name": np.array(atoms.info["name"]),
    }


def make(index: int, molecules: dict[str, str], seed: int) -> Record:
    """Make one conformer from a seed of its own, and project its density.

    :param index: which one; molecules take turns
    :param molecules: SMILES by name
    :param seed: seed of the data set
    :return: as of :func:`labelled`
    """
    atoms = distorted(index, molecules, np.random.default_rng([seed, index]))
    atoms.positions = atoms.positions.round(DIGITS)
    return labelled(atoms)


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


def factors_of(records: list[Record]) -> dict[int, float]:
    """What the coefficients of an element are divided by.

    :param records: as returned by :func:`make`
    :return: root mean square by atomic number
    """
    coefficients = [record["coefficients"] for record in records]
    return species_rms([as_atoms(record) for record in records], coefficients)


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
    with replacing(folder / f"{stem}.xyz") as new:
        ase.io.write(new, frames)
    with replacing(folder / f"{stem}.mts") as new:
        mts.save(new, tensor)


def density_l8(folder: Path, settings: dict[str, Any]) -> dict[str, list[Record]]:
    """Make or find both sets of the studies.

    :param folder: where the data sets will be
    :param settings: number of structures of each, seed
    :return: records by the name of their files; those to train on in a shuffled order
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
    return {"density_l8": [known[i] for i in order], "density_l8_unseen": unseen}


def lambda8(folder: Path, settings: dict[str, Any]) -> dict[str, list[Record]]:
    """Make or find the set of ``embedding_defaults``, whose structures share one seed.

    :param folder: where the data set will be
    :param settings: number of structures, seed
    :return: records by the name of their files
    """
    rng = np.random.default_rng(settings["seed"])
    frames = [distorted(i, FEW, rng) for i in range(settings["structures"])]
    parts = parts_of(folder, settings)
    return {"lambda8": in_parts(parts, len(frames), lambda i: labelled(frames[i]))}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "640, of lambda8 400", "24 structures, 6 unseen")
    add = parser.add_argument
    add("which", nargs="?", choices=("density_l8", "lambda8"), default="density_l8")
    add("--unseen", type=int, default=90, help="structures of density_l8_unseen")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """All that decides what a data set holds.

    :param arguments: as parsed
    """
    studies = arguments.which == "density_l8"
    count = 24 if arguments.quick else arguments.structures or (640 if studies else 400)
    shared = {
        "method": f"RHF/{BASIS}",
        "exponent_per_bohr2": EXPONENT,
        "rattle": list(RATTLE),
        "structures": count,
        "seed": arguments.seed,
    }
    if not studies:
        return {**shared, "trained": FEW}
    unseen = 6 if arguments.quick else arguments.unseen
    return {**shared, "trained": TRAINED, "not trained": UNSEEN, "unseen": unseen}


def main() -> None:
    """Make, check and write what was asked for."""
    arguments = parse()
    lib.num_threads(1)  # more only cost time for molecules of this size
    settings, name = settings_of(arguments), arguments.which
    folder: Path = arguments.output_dir
    description = folder / f"{name}.json"
    if is_made(description, settings):
        print(f"{folder / f'{name}.mts'} is there already")
        return
    sets = (density_l8 if name == "density_l8" else lambda8)(folder, settings)
    checks = check(as_atoms(sets[name][0]), arguments.seed)
    factors = factors_of(sets[name])
    for stem, records in sets.items():
        write(folder, stem, records, factors)
    about = {"rms_by_atomic_number": factors, "relative_errors_of_checks": checks}
    finish(description, settings, about, PACKAGES)
    counts = ", ".join(f"{len(records)} in {stem}" for stem, records in sets.items())
    print(f"structures in '{folder}': {counts}; {about}")


if __name__ == "__main__":
    main()
