"""Forces and stress that keep the symmetry of a structure."""

import warnings

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule, mx2
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation
from symmetrise_common import STRAIN, Field, Morse

from metatrain_symmetry import (
    ProjectedCalculator,
    SymmetrizedCalculator,
    find_symmetry,
    refine_symmetry,
)
from metatrain_symmetry.symmetrise import crystals
from metatrain_symmetry.symmetrise.rotations import rotated


def turned(atoms, seed=0):
    """A copy in another orientation, elsewhere."""
    copy = rotated(atoms, Rotation.random(rng=seed).as_matrix())
    copy.positions += [0.3, 0.2, 0.1]
    return copy


def crystal(name):
    if name == "fluorite":
        return bulk("CaF2", "fluorite", a=5.46, cubic=True)
    if name == "wurtzite":
        return bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    if name == "rutile":
        places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.31, 0.31, 0], [0.69, 0.69, 0],
                  [0.19, 0.81, 0.5], [0.81, 0.19, 0.5]]  # fmt: skip
        return Atoms("Ti2O4", scaled_positions=places, cell=[4.6, 4.6, 2.96], pbc=True)
    return bulk("Cu", cubic=True).repeat((2, 1, 1))


CRYSTALS = {"fluorite": "Fm-3m", "wurtzite": "P6_3mc", "rutile": "P4_2/mnm", "Cu": "Fm-3m"}


def rattled_within(atoms, size=0.05, seed=3):
    """Moved at random, cell and atoms, as far as the symmetry lets it."""
    symmetry = find_symmetry(atoms)
    rng = np.random.default_rng(seed)
    moved = atoms.copy()
    moved.positions += symmetry.vectors(atoms, rng.normal(size=(len(atoms), 3)) * size)
    strain = rng.normal(size=(3, 3)) * size
    strain = symmetry.tensor(atoms, strain + strain.T)
    moved.set_cell(moved.cell @ (np.eye(3) + strain), scale_atoms=True)
    return refine_symmetry(moved)


def operations(atoms, symprec=1e-8):
    """Cartesian rotations and permutations as spglib and a plain loop have them."""
    cell, places = atoms.cell.array, atoms.get_scaled_positions()
    data = spglib.get_symmetry_dataset((cell, places, atoms.numbers), symprec=symprec)
    for rotation, shift in zip(data.rotations, data.translations, strict=True):
        target = []
        for place in places:
            apart = places - (rotation @ place + shift)
            apart -= np.round(apart)
            target.append(np.argmin((apart**2).sum(axis=1)))
        yield cell.T @ rotation @ np.linalg.inv(cell.T), target


@pytest.mark.parametrize("name", ["fluorite", "wurtzite", "rutile"])
def test_projected_forces_and_stress_are_invariant(name):
    atoms = rattled_within(turned(crystal(name)))
    assert find_symmetry(atoms, 1e-8).name == CRYSTALS[name]
    bare = Morse(STRAIN)
    calculator = ProjectedCalculator(bare)
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    raw, raw_stress = bare.results["forces"], bare.results["stress"]
    broken, mean, mean_stress = 0.0, 0, 0
    found = list(operations(atoms))
    for rotation, target in found:
        np.testing.assert_allclose(forces[target], forces @ rotation.T, atol=1e-14)
        np.testing.assert_allclose(rotation @ stress @ rotation.T, stress, atol=1e-14)
        broken = max(broken, np.abs(raw[target] - raw @ rotation.T).max())
        mean = mean + raw[target] @ rotation / len(found)
        full = raw_stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        mean_stress = mean_stress + rotation.T @ full @ rotation / len(found)
    assert broken > 1e-3
    np.testing.assert_allclose(forces, mean, atol=1e-14)
    np.testing.assert_allclose(stress, mean_stress, atol=1e-14)
    assert atoms.get_potential_energy() == bare.results["energy"]


def test_a_supercell_has_the_symmetry_of_its_crystal():
    """Doubled along one direction, its lattice is not cubic, and the crystal still is."""
    for atoms in (crystal("fluorite"), crystal("fluorite").repeat((1, 1, 2))):
        symmetry = find_symmetry(turned(atoms))
        assert (symmetry.name, len(symmetry)) == ("Fm-3m", 48)
        tensor = np.random.default_rng(2).normal(size=(3, 3))
        mean = np.trace(tensor) / 3 * np.eye(3)
        found = symmetry.tensor(turned(atoms), tensor)
        np.testing.assert_allclose(found, mean, atol=1e-14)
    atoms = rattled_within(crystal("wurtzite").repeat((2, 1, 1)))
    noise = np.random.default_rng(2).normal(size=(8, 3))
    found = find_symmetry(atoms).vectors(atoms, noise)
    # four like atoms of each kind, along the axis
    for symbol in ("Zn", "O"):
        kind = atoms.symbols == symbol
        expected = noise[kind, 2].mean()
        np.testing.assert_allclose(found[kind], [[0, 0, expected]] * 4, atol=1e-14)


@pytest.mark.parametrize("cell_filter", [FrechetCellFilter, UnitCellFilter])
@pytest.mark.parametrize("name", ["Cu", "rutile"])
def test_a_relaxation_keeps_the_space_group(name, cell_filter):
    groups, moved = {}, {}
    for wrapper in (ProjectedCalculator, lambda calculator: calculator):
        atoms = rattled_within(turned(crystal(name)))
        start = atoms.copy()
        atoms.calc = wrapper(Morse(STRAIN))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            BFGS(cell_filter(atoms), logfile=None).run(fmax=2e-3, steps=40)
        groups[wrapper] = [find_symmetry(atoms, tol).name for tol in (1e-2, 1e-5, 1e-9)]
        moved[wrapper] = np.abs(atoms.cell.array - start.cell.array).max()
    kept, lost = groups.values()
    assert kept == [CRYSTALS[name]] * 3
    assert CRYSTALS[name] not in lost
    assert min(moved.values()) > 0.02


def test_as_fix_symmetry_of_ase():
    """Another implementation of the same projection, as a constraint."""
    ends = []
    for way in ("ours", "theirs"):
        atoms = rattled_within(crystal("wurtzite"))
        if way == "ours":
            atoms.calc = ProjectedCalculator(Morse(STRAIN))
        else:
            atoms.calc = Morse(STRAIN)
            atoms.set_constraint(FixSymmetry(atoms, symprec=1e-6))
        ends.append((atoms.get_forces(), atoms.get_stress()))
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_slab_keeps_its_layer_group():
    slab = turned(fcc111("Cu", (2, 2, 3)))
    assert not slab.cell[2].any()  # no lattice vector where it is not periodic
    symmetry = find_symmetry(slab)
    assert len(symmetry) == 12  # D3d
    normal = np.cross(*slab.cell[:2])
    atoms = slab.copy()
    atoms.calc = ProjectedCalculator(Morse(STRAIN))
    forces = atoms.get_forces()
    np.testing.assert_allclose(np.cross(forces, normal), 0, atol=1e-12)
    BFGS(atoms, logfile=None).run(fmax=1e-2, steps=30)
    assert len(find_symmetry(atoms, 1e-8)) == 12
    add_adsorbate(slab := fcc111("Cu", (2, 2, 3), vacuum=6), "O", 1.2, "fcc")
    assert len(find_symmetry(slab)) == 6  # C3v
    assert len(find_symmetry(mx2("MoS2"))) == 12


def test_a_layer_is_not_periodic_by_chance():
    """With a cell as high as it is wide, a square layer would be a cubic crystal."""
    layer = Atoms("Cu", cell=[3, 3, 3], pbc=[True, True, False])
    assert len(find_symmetry(layer)) == 16
    layer.pbc = True
    assert len(find_symmetry(layer)) == 48


def test_a_molecule_keeps_its_point_group():
    for name, point_group in [("C6H6", "D6h"), ("CH4", "Td"), ("CO2", "D∞h")]:
        atoms = refine_symmetry(turned(molecule(name, vacuum=4)), 1e-2)
        atoms.pbc = False
        atoms.calc = ProjectedCalculator(Field(k=2.0, quartic=0.3, cubic=0.2))
        assert np.abs(atoms.get_dipole_moment()).max() < 1e-13
        BFGS(atoms, logfile=None).run(fmax=1e-3, steps=10)
        found = find_symmetry(atoms, 1e-8)
        assert found.name == point_group == atoms.calc.symmetry.name
        assert found.deviation(atoms) < 1e-12


def test_projected_forces_are_derivatives_along_symmetric_moves():
    atoms = rattled_within(crystal("rutile"))
    atoms.calc = ProjectedCalculator(Morse(STRAIN))
    symmetry = find_symmetry(atoms)
    rng = np.random.default_rng(1)
    direction = symmetry.vectors(atoms, rng.normal(size=(6, 3)))
    energies = []
    for step in (1e-5, -1e-5):
        moved = atoms.copy()
        moved.positions += step * direction
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    slope = (energies[1] - energies[0]) / 2e-5
    assert np.abs(direction).max() > 0.1
    assert (atoms.get_forces() * direction).sum() == pytest.approx(slope, abs=1e-7)


def test_both_orders_give_the_same():
    atoms = rattled_within(crystal("rutile"))
    results = []
    for calculator in (
        ProjectedCalculator(SymmetrizedCalculator(Morse(STRAIN), "Ti")),
        SymmetrizedCalculator(ProjectedCalculator(Morse(STRAIN)), "Ti"),
    ):
        atoms.calc = calculator
        results.append(
            [atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()]
        )
        assert calculator.results["energy_rot_std"] > 1e-3
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-12)


def test_a_structure_that_leaves_its_symmetry_is_looked_at_anew():
    atoms = bulk("Cu", cubic=True)
    calculator = ProjectedCalculator(Morse(STRAIN))
    atoms.calc = calculator
    atoms.get_forces()
    assert len(calculator.symmetry) == 48
    atoms.positions[0, 2] += 0.1
    with pytest.warns(UserWarning, match="has left its symmetry Fm-3m .* has P4mm"):
        forces = atoms.get_forces()
    assert np.abs(forces[0, 2]) > 0.1
    # rotated as a whole, the crystal has the same symmetry, and nothing is said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = turned(atoms)
        copy.calc = calculator
        copy.get_forces()
    known = calculator.symmetry
    copy.rattle(1e-5)
    copy.get_forces()
    assert calculator.symmetry is known
    other = molecule("H2O")
    other.calc = ProjectedCalculator(EMT())
    other.get_forces()
    other.rotate(50, "x")
    other.get_forces()
    assert other.calc.symmetry.name == "C2v"
    swapped = molecule("H2O")[[1, 0, 2]]
    swapped.calc = other.calc
    assert abs(swapped.get_forces().sum()) < 1e-12


def test_bad_input():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1)
    atoms.calc = ProjectedCalculator(EMT())
    with pytest.warns(UserWarning, match="no symmetry at symprec=0.001, nothing is"):
        forces = atoms.get_forces()
    bare = atoms.copy()
    bare.calc = EMT()
    np.testing.assert_allclose(forces, bare.get_forces(), atol=1e-14)
    close = Atoms("Cu2", [[0, 0, 0], [0, 0, 1e-5]], cell=[3, 3, 3], pbc=True)
    close.calc = ProjectedCalculator(LennardJones())
    with pytest.raises(
        ValueError, match="cannot be projected: spglib finds no space group"
    ):
        close.get_forces()
    with pytest.raises(ValueError, match="has no lattice vector of its own"):
        find_symmetry(Atoms("Cu", pbc=True))
    with pytest.raises(ValueError, match="the structure has no atoms"):
        find_symmetry(Atoms())
    with pytest.raises(ValueError, match=r"two atoms are too close .* at symprec=2"):
        find_symmetry(molecule("H2O"), 2.0)
    with pytest.raises(ValueError, match=r"'x\.xyz' is no structure: give an ase.Atoms"):
        find_symmetry("x.xyz")
    with pytest.raises(ValueError, match="not finite: correct it"):
        find_symmetry(Atoms("Cu2", [[0, 0, 0], [0, 0, np.nan]], cell=[4, 4, 4], pbc=True))
    for wrong in (0, -1.0, np.nan, "1e-3"):
        with pytest.raises(ValueError, match="give a positive length in Å"):
            find_symmetry(atoms, wrong)
        with pytest.raises(ValueError, match="give a positive length in Å"):
            ProjectedCalculator(EMT(), symprec=wrong)
    with pytest.raises(TypeError, match="Atoms is no calculator"):
        ProjectedCalculator(atoms)


def test_a_calculator_without_forces():
    class Energies(LennardJones):
        implemented_properties = ("energy",)

    atoms = bulk("Cu", cubic=True)
    atoms.calc = ProjectedCalculator(Energies())
    assert atoms.get_potential_energy() == Energies().get_potential_energy(atoms)
    with pytest.raises(PropertyNotImplementedError, match="Energies has no forces that"):
        atoms.get_forces()


def test_atoms_that_go_to_the_same_place(monkeypatch):
    """What spglib may find at a large tolerance: an operation that is no permutation."""
    found = crystals._dataset

    def shifted(*arguments):
        data = found(*arguments)
        data.translations[:] = [0.2, 0, 0]
        return data

    monkeypatch.setattr(crystals, "_dataset", shifted)
    atoms = Atoms("Cu2", [[0, 0, 0], [1.2, 0, 0]], cell=[4, 5, 6], pbc=True)
    with pytest.raises(ValueError, match=r"two atoms go to the same place.*symprec"):
        find_symmetry(atoms)


class Charged(Calculator):
    """Coulomb forces between the initial charges."""

    implemented_properties = ("forces",)

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        apart = self.atoms.positions[:, None] - self.atoms.positions
        cubes = np.linalg.norm(apart, axis=2) ** 3 + np.eye(len(self.atoms))
        charges = self.atoms.get_initial_charges()
        pairs = np.outer(charges, charges) / cubes
        self.results = {"forces": (pairs[..., None] * apart).sum(axis=1).tolist()}


def test_charges_and_moments_tell_atoms_apart():
    atoms = molecule("CH4")
    atoms.set_initial_charges([0.0, 1, -1, 0, 0])
    bare = np.array(Charged().get_property("forces", atoms))
    atoms.calc = ProjectedCalculator(Charged())
    np.testing.assert_allclose(atoms.get_forces(), bare, atol=1e-14)
    assert atoms.calc.symmetry.name == "Cs"
    # the same calculator, and other charges
    atoms.set_initial_charges([-4.0, 1, 1, 1, 1.001])
    atoms.get_forces()
    assert atoms.calc.symmetry.name == "Td"
    iron = bulk("Fe", cubic=True)
    iron.set_initial_magnetic_moments([2.2, -2.2])
    assert find_symmetry(iron).name == "Pm-3m"
    iron.set_initial_magnetic_moments([2.2, 2.2])
    assert find_symmetry(iron).name == "Im-3m"


class Plain:
    """A calculator with the least that ASE asks for."""

    implemented_properties = ("energy", "forces")

    def __init__(self, forces):
        self.forces = forces

    def get_property(self, name, atoms=None, allow_calculation=True):
        return {"energy": 1.5, "forces": self.forces}[name]


def test_calculators_with_little_else():
    atoms = molecule("H2O")
    atoms.calc = ProjectedCalculator(Plain(np.eye(3)))
    assert atoms.get_potential_energy() == 1.5
    forces = atoms.get_forces()
    np.testing.assert_allclose(forces, find_symmetry(atoms).vectors(atoms, np.eye(3)))
    for wrong, words in [
        (np.zeros(9), r"returns forces of the shape \(9,\), not \(3, 3\)"),
        (np.full((3, 3), np.nan), "returns forces that are not finite"),
    ]:
        atoms.calc = ProjectedCalculator(Plain(wrong))
        with pytest.raises(ValueError, match=f"Plain cannot be projected: it {words}"):
            atoms.get_forces()
    with pytest.raises(TypeError, match=r"EMT is a class: give .* such as EMT\(\)"):
        ProjectedCalculator(EMT)


class OverNoVolume(Charged):
    """Divides the stress of a molecule by nothing, as the calculator of metatomic-ase."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["stress"] = np.full(6, np.nan)


@pytest.mark.parametrize("wrap", [ProjectedCalculator, SymmetrizedCalculator])
def test_a_stress_that_a_molecule_does_not_have(wrap):
    atoms = molecule("H2O")
    atoms.calc = wrap(OverNoVolume())
    assert np.isfinite(atoms.get_forces()).all()
    assert "stress" not in atoms.calc.results
    crystal = bulk("Cu", cubic=True)
    crystal.calc = wrap(OverNoVolume())
    with pytest.raises(ValueError, match="stress that are not finite"):
        crystal.get_forces()
