"""Conformers of small molecules, relaxed with a force field."""

from __future__ import annotations

from ase import Atoms
from rdkit import Chem
from rdkit.Chem.rdDistGeom import EmbedMultipleConfs
from rdkit.Chem.rdForceFieldHelpers import MMFFOptimizeMoleculeConfs


def conformers(smiles: str, count: int, seed: int) -> list[Atoms]:
    """Embed a molecule ``count`` times and relax it with the MMFF94 force field.

    :param smiles: the molecule, without explicit hydrogens
    :param count: number of conformers
    :param seed: seed of the embedding
    :return: ``count`` structures, positions in Å
    :raises RuntimeError: if the molecule cannot be embedded as often
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    ids = EmbedMultipleConfs(molecule, numConfs=count, randomSeed=seed)
    if len(ids) != count:
        raise RuntimeError(
            f"rdkit embedded {len(ids)} of {count} conformers of {smiles!r}: "
            "use another seed"
        )
    MMFFOptimizeMoleculeConfs(molecule)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return [Atoms(numbers, positions=c.GetPositions()) for c in molecule.GetConformers()]
