"""Distorted conformers of small molecules in random orientations."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from scipy.spatial.transform import Rotation


SMILES = {
    "methanol": "CO",
    "ethanol": "CCO",
    "formamide": "NC=O",
    "dimethyl ether": "COC",
    "acetaldehyde": "CC=O",
}
# standard deviation of the displacements, in Å: drawn uniformly for each structure
RATTLE = (0.05, 0.10)


def conformer(smiles: str, seed: int) -> Atoms:
    """Embed a molecule and relax it with a force field.

    :param smiles: SMILES string without explicit hydrogens
    :param seed: random seed of the embedding
    :return: the molecule, positions in Å
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=seed) != 0:
        raise RuntimeError(f"rdkit could not embed '{smiles}'")
    rdForceFieldHelpers.MMFFOptimizeMolecule(molecule)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return Atoms(numbers, molecule.GetConformer().GetPositions())


def distorted_conformers(count: int, seed: int) -> list[Atoms]:
    """Rattle and rotate conformers, the molecules taking turns.

    :param count: number of structures
    :param seed: random seed of everything
    :return: structures centred on the origin, positions in Å
    """
    rng = np.random.default_rng(seed)
    names = list(SMILES)
    structures = []
    for i in range(count):
        name = names[i % len(names)]
        atoms = conformer(SMILES[name], int(rng.integers(2**31 - 1)))
        atoms.positions += rng.normal(scale=rng.uniform(*RATTLE), size=(len(atoms), 3))
        atoms.positions -= atoms.positions.mean(axis=0)
        atoms.positions = Rotation.random(None, rng).apply(atoms.positions)
        atoms.info["name"] = name
        structures.append(atoms)
    return structures
