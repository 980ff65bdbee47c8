"""Make ``xtb_molecules.xyz``: distorted small molecules with GFN2-xTB labels.

Needs the extra ``datasets`` (tblite and rdkit). Conformers come from SMILES, every
one is heated by its own short molecular dynamics and turned at random, because an
unconstrained model has to see all orientations. Positions are rounded to what the
file prints *before* the labels are computed, so that the file agrees with itself.
From the root of a checkout::

    OMP_NUM_THREADS=1 python -m data.make_xtb_molecules
"""

import argparse
import os
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from scipy.spatial.transform import Rotation
from tblite.ase import TBLite
from tqdm import tqdm

from data.conformers import conformers


MOLECULES = {
    "acetaldehyde": "CC=O",
    "acetic acid": "CC(=O)O",
    "acetone": "CC(C)=O",
    "acetonitrile": "CC#N",
    "dimethyl ether": "COC",
    "ethanol": "CCO",
    "formamide": "NC=O",
    "glycine": "NCC(=O)O",
    "methanol": "CO",
    "methylamine": "CN",
}
TEMPERATURES = (300.0, 500.0, 700.0, 1000.0)  # K
STEPS = 200  # of 0.5 fs
MAX_FORCE = 30.0  # eV/Å: beyond it two atoms have all but collided
DIGITS = 8  # what ASE prints for a real number in extended XYZ


def distort(atoms: Atoms, temperature: float, rng: np.random.Generator) -> Atoms:
    """Run short molecular dynamics, then turn the whole structure at random.

    Displacements drawn at random would stretch stiff bonds as far as soft ones; a
    thermostat puts into every vibration what it can hold.

    :param atoms: the structure, moved by the dynamics
    :param temperature: of the thermostat, in K
    :param rng: source of random numbers
    :return: a new structure about the origin, positions rounded as they are printed
    """
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        timestep=0.5 * units.fs,
        temperature_K=temperature,
        friction=0.05 / units.fs,  # strong: it has to heat the molecule in 100 fs
        rng=rng,
    )
    dynamics.run(STEPS)
    positions = atoms.positions - atoms.positions.mean(axis=0)
    positions = Rotation.random(random_state=rng).apply(positions)
    return Atoms(atoms.numbers, positions=positions.round(DIGITS))


def compute(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Compute GFN2-xTB labels.

    :param atoms: the structure, positions in Å
    :return: energy in eV and forces in eV/Å of shape ``(n_atoms, 3)``
    """
    # the default accuracy of 1.0 leaves a noise of 1e-5 eV/Å in the forces
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    return float(atoms.get_potential_energy()), atoms.get_forces()


def labelled(atoms: Atoms, name: str, temperature: float) -> Atoms | None:
    """Attach the labels under the keys that metatrain reads.

    :param atoms: the structure
    :param name: name of the molecule, kept as ``molecule``
    :param temperature: of the dynamics in K, kept as ``temperature``
    :return: the structure to write, or None if its forces are absurd
    """
    energy, forces = compute(atoms)
    forces = forces.round(DIGITS)
    if np.linalg.norm(forces, axis=1).max() > MAX_FORCE:
        return None
    # ASE writes and reads "energy" and "forces" through a calculator; metatrain's
    # reader looks there. Any other name has to be an array of its own.
    atoms.calc = SinglePointCalculator(atoms, energy=round(energy, DIGITS), forces=forces)
    atoms.arrays["non_conservative_force"] = forces
    atoms.info.update(molecule=name, temperature=temperature)
    return atoms


def make(per_molecule: int, seed: int) -> list[Atoms]:
    """Make the whole data set in a shuffled order.

    :param per_molecule: structures per molecule; those with absurd forces are left out
    :param seed: seed of everything
    :return: labelled structures
    """
    rng = np.random.default_rng(seed)
    frames = []
    with tqdm(total=per_molecule * len(MOLECULES), unit="structure") as bar:
        for name, smiles in MOLECULES.items():
            bar.set_postfix_str(name)
            for index, atoms in enumerate(conformers(smiles, per_molecule, seed)):
                temperature = TEMPERATURES[index % len(TEMPERATURES)]
                hot = distort(atoms, temperature, rng)
                frame = labelled(hot, name, temperature)
                if frame is not None:
                    frames.append(frame)
                bar.update()
    order = rng.permutation(len(frames))
    return [frames[i] for i in order]


def finite_difference_error(atoms: Atoms, step: float = 4e-4) -> float:
    """Compare the stored forces with central differences of the energy.

    :param atoms: a labelled structure
    :param step: displacement in Å
    :return: largest deviation in eV/Å
    """
    forces = atoms.get_forces()
    error = 0.0
    for atom in range(len(atoms)):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = Atoms(atoms.numbers, positions=atoms.positions)
                moved.positions[atom, axis] += sign * step
                energies.append(compute(moved)[0])
            slope = (energies[0] - energies[1]) / (2 * step)
            error = max(error, abs(forces[atom, axis] + slope))
    return error


def rotation_error(atoms: Atoms, rng: np.random.Generator) -> float:
    """Compare the forces of a turned structure with the turned forces.

    :param atoms: a labelled structure
    :param rng: source of the rotation
    :return: largest deviation in eV/Å
    """
    rotation = Rotation.random(random_state=rng)
    turned = Atoms(atoms.numbers, positions=rotation.apply(atoms.positions))
    return float(abs(compute(turned)[1] - rotation.apply(atoms.get_forces())).max())


def check(frames: list[Atoms], seed: int) -> None:
    """Print how well a few structures obey physics, and stop if they do not.

    :param frames: labelled structures
    :param seed: seed of the rotations
    """
    rng = np.random.default_rng(seed)
    few = tqdm(frames[:5], desc="checks", leave=False)
    differences, rotations = zip(
        *((finite_difference_error(f), rotation_error(f, rng)) for f in few),
        strict=True,
    )
    results = {
        "forces against finite differences": max(differences),
        "forces under rotation": max(rotations),
        "net force": max(abs(f.get_forces().sum(axis=0)).max() for f in frames),
    }
    for name, error in results.items():
        print(f"{name:34s} {error:.1e} eV/Å (largest deviation)")
        if error > 1e-4:
            raise RuntimeError(f"{name}: a deviation of {error:.1e} eV/Å is too large")


def write(frames: list[Atoms], output: Path) -> None:
    """Write all structures, or nothing: an interrupted run leaves no half a file.

    :param frames: labelled structures
    :param output: the extended XYZ file
    """
    temporary = output.with_suffix(".part")
    ase.io.write(temporary, frames, format="extxyz")
    os.replace(temporary, output)


def main() -> None:
    """Make, check and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).with_name("xtb_molecules.xyz")
    parser.add_argument("--output", type=Path, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-molecule", type=int, default=40)
    arguments = parser.parse_args()

    frames = make(arguments.per_molecule, arguments.seed)
    check(frames, arguments.seed)
    write(frames, arguments.output)
    forces = np.concatenate([frame.get_forces() for frame in frames])
    print(f"force RMS {np.sqrt((forces**2).mean()):.3f} eV/Å per component")
    print(f"{len(frames)} structures written to {arguments.output}")


if __name__ == "__main__":
    main()
