"""Make ``chgnet_solids.xyz``: distorted, strained solids and molecules, CHGNet labels.

Energies, forces and stresses are predictions of CHGNet 0.3.0, a machine-learned potential
that the package ``chgnet`` brings along: an ML TEACHER, not density-functional theory, and
for molecules outside what it was trained on. It is there so that the studies have a
potential-energy surface of many elements to learn that can be made without a download.

    pip install -c constraints.txt -e ".[datasets]"
    OMP_NUM_THREADS=1 python -m benchmarks.makers.chgnet_solids

Every structure has a seed of its own; a killed run goes on where it was.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
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
from benchmarks.makers._prototypes import molecules, solids
from metatrain_symmetry.io import replacing


MOLECULES = 0.25  # share of the structures
STRAIN = 0.03  # standard deviation of each strain component
RATTLE = (0.02, 0.12)  # standard deviation of the displacements, Å
VACUUM = 4.0  # around a molecule, Å: beyond the 6 Å of CHGNet's graphs
MAX_FORCE = 15.0  # eV/Å: beyond it atoms have all but collided
TOLERANCE = 5e-4  # of the checks, eV/Å, eV/Å³ and eV per atom: CHGNet runs in float32
PACKAGES = ("chgnet", "pymatgen", "ase", "numpy", "torch")


@functools.cache
def teacher() -> Any:
    """CHGNet as an ASE calculator, on the processor."""
    from chgnet.model.dynamics import CHGNetCalculator

    # a rattled molecule may have an atom without bonds in its graph: of no consequence
    return CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")


def require_right_handed(atoms: Atoms) -> None:
    """Refuse left-handed cells, for which CHGNet's stress is not covariant.

    :param atoms: a periodic structure
    :raises ValueError: if the cell vectors have no positive volume
    """
    volume = np.linalg.det(atoms.cell.array)
    if volume <= 0:
        raise ValueError(
            f"the cell of {atoms.get_chemical_formula()} has the volume {volume:.3g} Å³: "
            "give its vectors in right-handed order"
        )


def compute(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Label a structure with CHGNet.

    :param atoms: periodic structure, positions in Å
    :return: energy in eV, forces in eV/Å ``(n_atoms, 3)``, stress in eV/Å³ ``(3, 3)``
    :raises ValueError: if the cell is left-handed
    """
    require_right_handed(atoms)
    copy = atoms.copy()
    copy.calc = teacher()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on CHGNet's ways with tensors
        energy = float(copy.get_potential_energy())
        return energy, copy.get_forces().astype(float), copy.get_stress(voigt=False)


def distort(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Strain the cell, displace the atoms, turn everything.

    :param atoms: periodic structure, or a molecule, which is put into a box
    :param rng: source of random numbers
    :return: a new structure, positions rounded as they are printed
    """
    moved = atoms.copy()
    if moved.pbc.all():
        noise = rng.normal(scale=STRAIN, size=(3, 3))
        deformation = np.eye(3) + (noise + noise.T) / 2
        moved.set_cell(moved.cell.array @ deformation, scale_atoms=True)
    else:
        moved.center(vacuum=VACUUM)
        moved.pbc = True
    moved.positions += rng.normal(scale=rng.uniform(*RATTLE), size=moved.positions.shape)
    turn = Rotation.random(None, rng).as_matrix()
    moved.set_cell((moved.cell.array @ turn.T).round(DIGITS))
    moved.positions = (moved.positions @ turn.T).round(DIGITS)
    return moved


def make(index: int, count: int, seed: int) -> Record:
    """Make and label one structure.

    :param index: which one
    :param count: number of structures: the last ones are molecules
    :param seed: seed of the data set
    :return: the arrays of the structure
    """
    rng = np.random.default_rng([seed, index])
    n_solids = count - round(MOLECULES * count)
    kind = "solid" if index < n_solids else "molecule"
    known = solids() if kind == "solid" else molecules()
    names = list(known)
    name = names[(index if kind == "solid" else index - n_solids) % len(names)]
    while True:
        atoms = distort(known[name], rng)
        energy, forces, stress = compute(atoms)
        if np.linalg.norm(forces, axis=1).max() < MAX_FORCE:
            break
    return {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "energy": np.array(energy),
        "forces": forces,
        "stress": stress,
        "name": np.array(name),
        "kind": np.array(kind),
    }


def as_atoms(record: Record) -> Atoms:
    """Attach the labels under the keys that metatrain reads.

    :param record: as returned by :func:`make`
    :return: the structure to write
    """
    atoms = Atoms(record["numbers"], record["positions"], cell=record["cell"], pbc=True)
    require_right_handed(atoms)
    forces, stress = record["forces"].round(DIGITS), record["stress"]
    # ASE and metatrain find the first three in a calculator, direct targets elsewhere
    atoms.calc = SinglePointCalculator(
        atoms, energy=float(record["energy"]), forces=forces, stress=stress
    )
    atoms.arrays["non_conservative_force"] = forces
    atoms.info["non_conservative_stress"] = stress
    atoms.info.update(name=str(record["name"]), kind=str(record["kind"]))
    return atoms


def covariance_errors(atoms: Atoms, seed: int) -> dict[str, float]:
    """Compare labels of a turned and inverted structure with turned, inverted labels.

    Only positions are inverted: the lattice is its own mirror image, and its vectors stay
    right-handed.

    :param atoms: a labelled structure
    :param seed: seed of the rotation
    :return: largest deviation of energies (per atom), forces and stresses
    """
    turn = Rotation.random(None, np.random.default_rng(seed)).as_matrix()
    moved = Atoms(
        atoms.numbers,
        -atoms.positions @ turn.T,
        cell=atoms.cell.array @ turn.T,
        pbc=True,
    )
    energy, forces, stress = compute(moved)
    known = atoms.get_stress(voigt=False)
    return {
        "energy_per_atom": abs(energy - atoms.get_potential_energy()) / len(atoms),
        "forces": float(abs(forces + atoms.get_forces() @ turn.T).max()),
        "stress": float(abs(stress - turn @ known @ turn.T).max()),
    }


def check(frames: list[Atoms], seed: int, count: int = 12) -> dict[str, float]:
    """Check a few structures for covariance.

    :param frames: labelled structures
    :param seed: seed of the rotations
    :param count: how many are checked, spread over all
    :return: largest deviations
    :raises RuntimeError: if one is larger than float32 explains
    """
    chosen = frames[:: max(1, len(frames) // count)]
    found = [covariance_errors(atoms, seed) for atoms in chosen]
    errors = {name: max(one[name] for one in found) for name in found[0]}
    for name, error in errors.items():
        if error > TOLERANCE:
            raise RuntimeError(f"{name}: not covariant, a deviation of {error:.1e}")
    return errors


def about(frames: list[Atoms]) -> dict[str, Any]:
    """Sizes of what was made.

    :param frames: labelled structures
    """
    forces = np.concatenate([atoms.get_forces() for atoms in frames])
    stresses = np.array([atoms.get_stress() for atoms in frames])
    return {
        "elements": len({int(z) for atoms in frames for z in atoms.numbers}),
        "atoms": sum(map(len, frames)),
        "rms_force_eV_per_A": float(np.sqrt((forces**2).mean())),
        "rms_stress_eV_per_A3": float(np.sqrt((stresses**2).mean())),
    }


def make_all(folder: Path, settings: dict[str, Any]) -> list[Atoms]:
    """Make or find all structures.

    :param folder: where the data set will be
    :param settings: number of structures, seed
    :return: labelled structures in a shuffled order: any contiguous split is fair
    """
    count, seed = settings["structures"], settings["seed"]
    records = in_parts(parts_of(folder, settings), count, lambda i: make(i, count, seed))
    order = np.random.default_rng(seed).permutation(count)
    return [as_atoms(records[i]) for i in order]


def main(given: list[str] | None = None) -> None:
    """Make, check and write the data set.

    :param given: arguments, in place of those of the process
    """
    arguments = parser_of(__doc__, "1600", "60 structures").parse_args(given)
    settings = {
        "teacher": "CHGNet 0.3.0",
        "structures": 60 if arguments.quick else arguments.structures or 1600,
        "seed": arguments.seed,
        "molecules": MOLECULES,
        "strain": STRAIN,
        "rattle": list(RATTLE),
        "max_force": MAX_FORCE,
    }
    folder: Path = arguments.output_dir
    output = folder / "chgnet_solids.xyz"
    if is_made(output.with_suffix(".json"), settings):
        print(f"{output} is there already")
        return
    frames = make_all(folder, settings)
    errors = check(frames, arguments.seed)
    with replacing(output) as new:
        ase.io.write(new, frames)
    found = {**about(frames), "largest_deviation_when_turned_and_inverted": errors}
    finish(output.with_suffix(".json"), settings, found, PACKAGES)
    print(f"{len(frames)} structures labelled by CHGNet, an ML teacher: {found}")


if __name__ == "__main__":
    main()
