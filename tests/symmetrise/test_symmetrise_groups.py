"""Point groups, against what is known of molecules, and against another implementation."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.cluster.icosahedron import Icosahedron
from scipy.spatial.transform import Rotation

from metatrain_symmetry import find_symmetry, refine_symmetry
from metatrain_symmetry.symmetrise.schoenflies import schoenflies


KNOWN = {
    "H2O": ("C2v", 4), "NH3": ("C3v", 6), "CH4": ("Td", 24), "C6H6": ("D6h", 24),
    "C2H6": ("D3d", 12), "C2H4": ("D2h", 8), "C3H4_D2d": ("D2d", 8),
    "C3H6_D3h": ("D3h", 12), "CH3OH": ("Cs", 2), "butadiene": ("C2h", 4),
    "C5H5N": ("C2v", 4), "BF3": ("D3h", 12),
    "CO2": ("D∞h", 12), "HCN": ("C∞v", 6), "H": ("Kh", 48), "Cu55": ("Ih", 120),
    "CHFClBr": ("C1", 1),
}  # fmt: skip


def structure(name):
    if name == "Cu55":
        return Icosahedron("Cu", 3)
    if name == "CHFClBr":
        atoms = molecule("CH4")
        atoms.symbols[2:] = ["F", "Cl", "Br"]
        return atoms
    return molecule(name)


@pytest.mark.parametrize("noise", [1e-5, 1e-2])
@pytest.mark.parametrize("name", KNOWN)
def test_point_groups_of_noisy_molecules(name, noise):
    atoms = structure(name)
    atoms.pbc = False
    rng = np.random.default_rng(1)
    atoms.positions = atoms.positions @ Rotation.random(rng=rng).as_matrix().T + 2
    atoms.positions += rng.uniform(-1, 1, size=(len(atoms), 3)) * noise / 5
    atoms = atoms[rng.permutation(len(atoms))]
    symmetry = find_symmetry(atoms, noise)
    assert (symmetry.name, len(symmetry)) == KNOWN[name]
    exact = refine_symmetry(atoms, noise)
    assert np.abs(exact.positions - atoms.positions).max() < noise
    # as a loop over images has it, and not by the matrices alone
    places = exact.positions - exact.positions.mean(axis=0)
    for rotation, target in zip(symmetry.rotations, symmetry.permutations, strict=True):
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=3e-14)
        np.testing.assert_allclose(places[target], places @ rotation.T, atol=3e-14)
        assert (exact.numbers[target] == exact.numbers).all()
    # the rotations are a group: any product is among them
    products = symmetry.rotations[:, None] @ symmetry.rotations[None, :5]
    apart = np.abs(products[:, :, None] - symmetry.rotations).max(axis=(3, 4))
    assert apart.min(axis=2).max() < 3e-14


@pytest.mark.parametrize("name", ["H2O", "NH3", "CH4", "C6H6", "C2H6", "C3H4_D2d"])
def test_point_groups_as_pymatgen_has_them(name):
    pymatgen = pytest.importorskip("pymatgen.core")
    analyzer = pytest.importorskip("pymatgen.symmetry.analyzer")
    atoms = molecule(name)
    theirs = analyzer.PointGroupAnalyzer(
        pymatgen.Molecule(atoms.get_chemical_symbols(), atoms.positions), tolerance=0.01
    )
    ours = find_symmetry(atoms, 0.01)
    assert ours.name == theirs.sch_symbol
    matrices = np.array([op.rotation_matrix for op in theirs.get_symmetry_operations()])
    apart = np.abs(ours.rotations[:, None] - matrices).max(axis=(2, 3))
    assert len(matrices) == len(ours)
    assert apart.min(axis=1).max() < 0.02


@pytest.mark.parametrize(
    ("generators", "name"),
    [
        ([[4, "z", -1]], "S4"), ([[6, "z", 1]], "C6"), ([[3, "z", 1], [2, "x", 1]], "D3"),
        ([[2, "z", 1], [1, "z", -1]], "C2h"), ([[6, "z", 1], [2, "x", 1]], "D6"),
        ([[3, "z", -1]], "S6"), ([[1, "z", -1]], "Ci"), ([[2, "z", -1]], "Cs"),
        ([[3, "z", 1], [2, "z", -1]], "C3h"),
    ],
)  # fmt: skip
def test_symbols(generators, name):
    group = [np.eye(3)]
    matrices = [s * Rotation.from_euler(axis, 2 * np.pi / n).as_matrix()
                for n, axis, s in generators]  # fmt: skip
    for element in group:
        for matrix in matrices:
            new = matrix @ element
            if all(np.abs(new - old).max() > 1e-9 for old in group):
                group.append(new)
    assert schoenflies(np.array(group)) == name


def test_what_is_no_group_at_a_tolerance():
    # a fifth of a turn brings each atom close to the next, two fifths do not
    angles = 2 * np.pi / 5 * np.arange(5) + np.array([0, 0.02, 0.05, 0.03, -0.02])
    ring = Atoms("C5", np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1))
    assert find_symmetry(ring, 0.005).name == "Cs"
    assert find_symmetry(ring, 0.2).name == "D5h"
    with pytest.raises(ValueError, match="are no group"):
        find_symmetry(ring, 0.03)


def test_a_supercell_is_refined_to_machine_precision():
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat((1, 2, 3))
    atoms.rattle(1e-4)
    symmetry = find_symmetry(atoms, 1e-2)
    assert len(symmetry) == 48
    assert symmetry.deviation(atoms) > 1e-4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = symmetry.refined(atoms)
    assert symmetry.deviation(exact) < 3e-14
    assert find_symmetry(exact, 1e-10).name == "Fm-3m"
    # the mean and the orientation stay
    np.testing.assert_allclose(exact.positions.mean(0), atoms.positions.mean(0), atol=1e-13)
    assert np.abs(exact.positions - atoms.positions).max() < 1e-3
