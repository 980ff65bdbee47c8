"""Averages over a group around a calculator: closed forms, derivatives, spread."""

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.harmonic import HarmonicCalculator, HarmonicForceField
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from ase.units import fs
from metatomic_ase import MetatomicCalculator
from scipy.spatial.transform import Rotation
from symmetrise_common import STRAIN, Field, Morse

from metatrain_symmetry import SymmetrizedCalculator
from metatrain_symmetry.groups import named_group
from metatrain_symmetry.symmetrise.rotations import rotated


def tilted(name="CH3OH"):
    atoms = molecule(name)
    atoms.rattle(0.1, seed=1)
    return atoms


def triclinic():
    atoms = bulk("Cu", cubic=True)
    shear = np.array([[0.1, 0.2, -0.1], [0.3, 0, 0.2], [0, -0.2, 0.15]])
    atoms.set_cell(atoms.cell.array + shear, scale_atoms=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def centred(atoms):
    return atoms.positions - atoms.positions.mean(axis=0)


def test_group_averages_are_those_of_the_closed_forms():
    atoms = tilted()
    u = centred(atoms)
    atoms.calc = SymmetrizedCalculator(Field(quartic=0.2, cubic=0.7), "Oi")
    assert atoms.get_potential_energy() == pytest.approx(0.2 * (u**4).sum() / 3)
    # a rule of degree 5 knows no direction: <z^4> = r^4 / 5, and no odd power is left
    atoms.calc = SymmetrizedCalculator(Field(quartic=0.2, cubic=0.7), "I")
    r2 = (u**2).sum(axis=1)
    assert atoms.get_potential_energy() == pytest.approx(0.2 * (r2**2).sum() / 5)
    gradient = 0.8 / 5 * r2[:, None] * u
    np.testing.assert_allclose(
        atoms.get_forces(), gradient.mean(axis=0) - gradient, atol=1e-13
    )
    # the constant in the dipole goes, the vector stays
    np.testing.assert_allclose(atoms.get_dipole_moment(), atoms.numbers @ u, atol=1e-13)
    atoms.calc = SymmetrizedCalculator(Field(cubic=0.7), "inversion")
    assert atoms.get_potential_energy() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("group", ["i", "D2", "Ti", "O"])
def test_forces_and_stress_are_derivatives_of_the_averaged_energy(group):
    atoms = triclinic()
    atoms.calc = SymmetrizedCalculator(Morse(STRAIN), group)
    step = 1e-5
    numeric = np.zeros(3)
    for k in range(3):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[1, k] += sign * step
            moved.calc = atoms.calc
            numeric[k] -= sign * moved.get_potential_energy() / 2 / step
    np.testing.assert_allclose(atoms.get_forces()[1], numeric, atol=2e-7)
    rng = np.random.default_rng(3)
    strain = rng.normal(size=(3, 3))
    strain = strain + strain.T
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell @ (np.eye(3) + sign * step * strain), scale_atoms=True)
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    expected = (energies[0] - energies[1]) / 2 / step / atoms.get_volume()
    stress = atoms.get_stress(voigt=False)
    assert (stress * strain).sum() == pytest.approx(expected, abs=2e-7)


def test_an_average_over_a_group_is_invariant_under_its_elements():
    atoms = triclinic()
    bare = Morse(STRAIN)
    calculator = SymmetrizedCalculator(bare, "Oi")
    bare.handedness.clear()
    atoms.calc = calculator
    energy, stress = atoms.get_potential_energy(), atoms.get_stress(voigt=False)
    assert min(bare.handedness) > 0  # although half of the elements are improper
    for matrix in named_group("Oi").elements.numpy()[[1, 30]]:
        copy = rotated(atoms, matrix)
        copy.calc = calculator
        assert copy.get_potential_energy() == pytest.approx(energy, abs=1e-11)
        np.testing.assert_allclose(
            matrix.T @ copy.get_stress(voigt=False) @ matrix, stress, atol=1e-13
        )
        np.testing.assert_allclose(
            copy.get_forces() @ matrix, atoms.get_forces(), atol=1e-12
        )
    # what an orientation of the bare calculator says
    copy = rotated(atoms, named_group("Oi").elements.numpy()[1])
    copy.calc = Morse(STRAIN)
    assert abs(copy.get_potential_energy() - energy) > 1e-3


def test_spread_is_that_of_numpy_over_the_copies():
    atoms = triclinic()
    calculator = SymmetrizedCalculator(Morse(STRAIN), "Ti")
    calculator.calculate(atoms, ["energy"])
    energies, forces, stresses = [], [], []
    for matrix in named_group("Ti").elements.numpy():
        copy = rotated(atoms, matrix)
        copy.calc = Morse(STRAIN)
        energies.append(copy.get_potential_energy())
        forces.append([matrix.T @ force for force in copy.get_forces()])
        stress = matrix.T @ copy.get_stress(voigt=False) @ matrix
        stresses.append(stress.ravel()[[0, 4, 8, 5, 2, 1]])
    results = calculator.results
    for name, rows in [("energy", energies), ("forces", forces), ("stress", stresses)]:
        np.testing.assert_allclose(results[name], np.mean(rows, axis=0), atol=1e-12)
        np.testing.assert_allclose(
            results[f"{name}_rot_std"], np.std(rows, axis=0), atol=1e-12
        )
        assert np.max(results[f"{name}_rot_std"]) > 1e-4


def test_one_random_rotation_is_unbiased_and_consistent():
    atoms = tilted()
    u = centred(atoms)
    r4 = 0.2 * ((u**2).sum(axis=1) ** 2).sum() / 5
    calculator = SymmetrizedCalculator(Field(quartic=0.2), "1", "random", seed=4)
    energies, forces = [], []
    for _ in range(600):
        calculator.reset()
        energies.append(calculator.get_property("energy", atoms))
        forces.append(calculator.get_property("forces", atoms))
    assert calculator.calculator.evaluations == 600  # both come from one rotation
    error = np.std(energies) / 600**0.5
    assert 0 < abs(np.mean(energies) - r4) < 4 * error
    gradient = 0.8 / 5 * (u**2).sum(axis=1)[:, None] * u
    z = (np.mean(forces, axis=0) - gradient.mean(axis=0) + gradient) / (
        np.std(forces, axis=0) / 600**0.5
    )
    assert 0.3 < np.sqrt((z**2).mean()) < 2
    assert "energy_rot_std" not in calculator.results


def test_dynamics_with_one_rotation_a_step():
    atoms = tilted()
    atoms.calc = SymmetrizedCalculator(Field(k=5.0, quartic=0.2), "1", "random", seed=5)
    Langevin(atoms, 0.5 * fs, temperature_K=300, friction=0.01 / fs).run(20)
    assert atoms.calc.calculator.evaluations == 21
    assert np.isfinite(atoms.positions).all()


def test_the_smallest_group_is_chosen_for_a_wanted_A():
    atoms = tilted()
    calculator = SymmetrizedCalculator(Field(k=1.0, quartic=0.2), max_A=1e-12, seed=6)
    calculator.calculate(atoms, ["energy"])
    left = calculator.left
    # of z^4, I leaves nothing, T and O the cubic part, and half turns and inversion all
    assert calculator.group == list(left)[-1] == "I"
    assert left["I"] < 1e-12
    assert left["1"] > 2 * left["T"] > 0.1
    for same, like in [("i", "1"), ("D2", "1"), ("O", "T"), ("Ti", "T"), ("Oi", "T")]:
        assert left[same] == pytest.approx(left[like], rel=1e-9)
    np.testing.assert_allclose(
        calculator.results["energy"],
        Field(k=1.0).get_potential_energy(atoms)
        + 0.04 * ((centred(atoms) ** 2).sum(axis=1) ** 2).sum(),
    )
    for wanted, group in [(2 * left["1"], "1"), (0.9 * left["1"], "T")]:
        calculator = SymmetrizedCalculator(Field(k=1.0, quartic=0.2), max_A=wanted, seed=6)
        calculator.calculate(atoms, ["energy"])
        assert calculator.group == group, left
    # what is left of the bare calculator, from many orientations
    forces = []
    for matrix in Rotation.random(400, rng=7).as_matrix():
        copy = rotated(atoms, matrix)
        copy.calc = Field(k=1.0, quartic=0.2)
        forces.append(copy.get_forces() @ matrix)
    assert left["1"] == pytest.approx(np.sqrt(np.var(forces, axis=0).mean()), rel=0.5)
    with pytest.raises(ValueError, match="no group leaves an A of 1e-30 eV/Å"):
        SymmetrizedCalculator(Field(quartic=0.2), max_A=1e-30).calculate(atoms)


def test_nothing_stale():
    atoms = tilted()
    inner = Field(quartic=0.2)
    calculator = SymmetrizedCalculator(inner, "O", "random")
    atoms.calc = calculator
    first = atoms.get_potential_energy()
    assert atoms.get_potential_energy() == first
    assert inner.evaluations == 24
    # the inner calculator does not take a rotated copy for the structure itself
    last = rotated(atoms, calculator._matrices[-1])
    assert inner.calculation_required(last, ["energy"])
    atoms.info["charge"] = 1
    assert atoms.get_potential_energy() != first


def test_metatomic_models_get_many_copies_at_once(exported):
    atoms = tilted("H2O")
    inner = MetatomicCalculator(exported)
    sizes = []
    inner.compute_energy = lambda batch, *a, f=inner.compute_energy: (
        sizes.append(len(batch)) or f(batch, *a)
    )
    batched = SymmetrizedCalculator(inner, "T", batch_size=5)
    batched.calculate(atoms, ["forces"])
    assert sizes == [5, 5, 2]
    alone = [MetatomicCalculator(exported) for _ in range(12)]
    forces = []
    for calculator, matrix in zip(alone, named_group("T").elements.numpy(), strict=True):
        copy = rotated(atoms, matrix)
        copy.calc = calculator
        forces.append(copy.get_forces() @ matrix)
    np.testing.assert_allclose(
        batched.results["forces"], np.mean(forces, axis=0), atol=1e-5
    )
    assert np.abs(np.std(forces, axis=0)).max() > 1e-3  # an untrained PET


@pytest.fixture(scope="module")
def exported():
    from common import energy_info, pet

    return pet(energy_info()).eval().export()


def test_an_optimizer_may_ask_for_more_than_a_model_has(exported):
    # metatomic's calculator lists every property of ASE, and has no free energy
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[:] = 6
    atoms.calc = SymmetrizedCalculator(MetatomicCalculator(exported), "T")
    with pytest.raises(PropertyNotImplementedError, match="free_energy"):
        atoms.get_potential_energy(force_consistent=True)
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=1)


class Picky(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=(), system_changes=()):
        if not np.allclose(atoms.cell.array, np.tril(atoms.cell.array)):
            raise RuntimeError("the cell is not lower triangular")
        self.results = {"energy": np.nan}


def test_bad_input():
    class NoForces(Field):
        implemented_properties = ("energy",)

    atoms = tilted()
    atoms.calc = SymmetrizedCalculator(NoForces(), "T")
    with pytest.raises(PropertyNotImplementedError, match="NoForces has no forces that"):
        atoms.get_forces()
    with pytest.raises(ValueError, match="max_A is about forces, and NoForces has none"):
        SymmetrizedCalculator(NoForces(), max_A=1).calculate(atoms)
    with pytest.raises(
        ValueError, match=r"Picky fails on a rotated copy.*lower triangular"
    ):
        SymmetrizedCalculator(Picky(), "O").calculate(bulk("Cu"))
    with pytest.raises(
        ValueError, match=r"Picky fails on a rotated copy.*returns no forces"
    ):
        SymmetrizedCalculator(Picky(), "O").calculate(atoms)
    with pytest.raises(ValueError, match="energy that are not finite"):
        SymmetrizedCalculator(Field(quartic=np.nan), "O").calculate(atoms)
    with pytest.raises(ValueError, match="no group 'icosahedra': did you mean icosahedral"):
        SymmetrizedCalculator(EMT(), "icosahedra")
    with pytest.raises(ValueError, match="no frame 'fix'"):
        SymmetrizedCalculator(EMT(), frame="fix")
    with pytest.raises(ValueError, match="give group or max_A, not both"):
        SymmetrizedCalculator(EMT(), "I", max_A=0.1)
    with pytest.raises(ValueError, match=r"max_A is 0\.0: give a positive"):
        SymmetrizedCalculator(EMT(), max_A=0.0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        SymmetrizedCalculator(EMT(), batch_size=0)
    with pytest.raises(ValueError, match=r"max_A is '0\.1': give a positive"):
        SymmetrizedCalculator(EMT(), max_A="0.1")
    with pytest.raises(TypeError, match="Atoms is no calculator"):
        SymmetrizedCalculator(ase.Atoms())


def test_a_left_handed_cell_is_the_same_lattice():
    atoms = triclinic()
    left = atoms.copy()
    left.set_cell(-left.cell.array, scale_atoms=False)
    values = []
    for one in (atoms, left):
        one.calc = SymmetrizedCalculator(EMT(), "T")
        values.append([one.get_potential_energy(), *one.get_stress()])
    np.testing.assert_allclose(*values, atol=1e-12)


def test_a_calculator_without_a_reset():
    """Harmonic, E = k |x - x0|²/2: averaged, x0 is at the origin, and |x0|² stays."""
    reference = molecule("H2O")
    atoms = reference.copy()
    atoms.rattle(0.1, seed=0)
    inner = HarmonicCalculator(HarmonicForceField(ref_atoms=reference, hessian_x=np.eye(9)))
    before = inner.get_property("energy", atoms)
    atoms.calc = SymmetrizedCalculator(inner, "T")
    squares = (atoms.positions**2).sum() + (reference.positions**2).sum()
    assert atoms.get_potential_energy() == pytest.approx(squares / 2, rel=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), -atoms.positions, atol=1e-9)
    assert inner.get_property("energy", atoms) == before
