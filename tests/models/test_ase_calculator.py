"""Calculators of ASE: rotated structures, properties as irreps, and what can go wrong."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_stress
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from common import crystal, energy_info, pet
from metatomic_ase import MetatomicCalculator
from models_common import rotations

from metatrain_symmetry import CalculatorEngine, FiniteGroup, symmetry_report
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import Irrep, representation
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.models.ase_calculator import rotated_atoms


def triclinic():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell[:] @ [[1, 0.05, 0], [0.1, 1.02, 0], [0.03, 0, 1]], True)
    atoms.rattle(0.1, seed=1)
    return atoms


def prepared(engine, atoms):
    ((_, system),) = read_systems(atoms, engine)
    return engine.prepare(system)


class Recorder(Calculator):
    """Equivariant answers, and a record of what it was asked."""

    implemented_properties = ["energy", "forces", "stress", "dipole"]

    def __init__(self):
        super().__init__()
        self.seen, self.buffer = [], np.zeros(3)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        assert atoms.calc is None
        self.seen.append(atoms.copy())
        x = atoms.positions - atoms.positions.mean(0)
        self.buffer[:] = (x * atoms.numbers[:, None]).sum(0)  # the same array every time
        self.results = {"energy": (x**2).sum(), "forces": -2 * x, "dipole": self.buffer}


class Tilted(Calculator):
    """Prefers the z axis of the laboratory, by a known amount."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy = -1000.0 + self.amount * (atoms.positions[0] - atoms.positions[1])[2]
        forces = np.zeros((len(atoms), 3))
        forces[0, 2], forces[1, 2] = -self.amount, self.amount
        self.results = {"energy": energy, "forces": forces}


@pytest.mark.parametrize(
    ("calculator", "atoms"),
    [(EMT(), triclinic()), (LennardJones(sigma=2.3, rc=6.0), triclinic()),
     (EMT(), molecule("CH3CHO"))],
    ids=["EMT", "LJ", "molecule"],
)  # fmt: skip
def test_values_transform_as_their_blocks_say(calculator, atoms):
    engine = CalculatorEngine(calculator)
    structure, matrices = prepared(engine, atoms), rotations(4)
    found = engine.evaluate(structure, matrices, engine.blocks, []).targets
    given = engine.predict(structure)
    assert {block.target for block in found} == (
        {"energy", "forces", "stress"} if atoms.pbc.all() else {"energy", "forces"}
    )
    for block, values in found.items():
        turn = representation(block.irrep, matrices)
        expected = torch.einsum("gmn,snp->gsmp", turn, given[block])
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-11)
        assert float(given[block].abs().max()) > 1e-4  # nothing is equal because it is zero


def test_stress_is_the_derivative_by_strain():
    atoms, engine = triclinic(), CalculatorEngine(EMT(), ["stress"])
    structure = prepared(engine, atoms)
    (matrix,) = rotations(1)
    turned = rotated_atoms(atoms, matrix.numpy())
    turned.calc = EMT()
    stress = calculate_numerical_stress(turned, eps=1e-5, voigt=False)
    found = engine.evaluate(structure, matrix[None], engine.blocks, []).targets
    parts = {block.irrep: part[0, 0, :, 0].numpy() for block, part in found.items()}
    xx, yy, zz = stress.diagonal()
    assert parts[Irrep(0)] == pytest.approx([np.trace(stress) / 3**0.5], abs=1e-7)
    expected = [
        2**0.5 * stress[0, 1], 2**0.5 * stress[1, 2], (2 * zz - xx - yy) / 6**0.5,
        2**0.5 * stress[0, 2], (xx - yy) / 2**0.5,
    ]  # fmt: skip
    assert parts[Irrep(2)] == pytest.approx(expected, abs=1e-7)
    assert np.abs(expected).min() > 1e-4


def test_an_inversion_keeps_lattice_and_handedness():
    atoms = triclinic()
    for matrix in rotations(4).numpy():
        turned = rotated_atoms(atoms, matrix)
        assert np.linalg.det(turned.cell[:]) > 0
        steps = turned.cell.scaled_positions(atoms.cell[:] @ matrix.T)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-12)
        np.testing.assert_allclose(
            turned.get_all_distances(mic=True), atoms.get_all_distances(mic=True)
        )


def test_every_orientation_is_new_and_nothing_is_written_over():
    atoms = molecule("H2O")
    atoms.set_initial_charges([-0.8, 0.4, 0.4])
    atoms.set_tags([2, 1, 1])
    atoms.info |= {"charge": 1, "spin": np.int64(2)}  # as from a file
    calculator = Recorder()
    engine = CalculatorEngine(calculator)
    structure, matrices = prepared(engine, atoms), rotations(3)
    values = engine.evaluate(structure, matrices, engine.blocks, []).targets
    assert len(calculator.seen) == 3
    for seen, matrix in zip(calculator.seen, matrices.numpy(), strict=True):
        np.testing.assert_allclose(seen.positions, atoms.positions @ matrix.T, atol=1e-12)
        assert list(seen.get_initial_charges()) == [-0.8, 0.4, 0.4]
        assert list(seen.get_tags()) == [2, 1, 1]
        assert (seen.info["charge"], seen.info["spin"]) == (1, 2)
    (dipole,) = [part for block, part in values.items() if block.target == "dipole"]
    given = engine.predict(structure)
    (start,) = [part for block, part in given.items() if block.target == "dipole"]
    expected = representation(Irrep(1), matrices) @ start[0, :, 0]
    torch.testing.assert_close(dipole[:, 0, :, 0], expected)


@pytest.mark.parametrize("dipole", [False, True])
def test_a_known_asymmetry(dipole):
    """E has the term c d·z, of length |d|: A² = c² |d|² / 3; F: a vector of length c."""
    atoms = ase.Atoms("CO", [[0.3, 0.1, 0.0], [0.7, -0.2, 1.1]])
    length, c = atoms.get_distance(0, 1), 0.02
    calculator = Tilted(c)
    atoms.calc = calculator if dipole else None  # its own answers are no labels
    report = symmetry_report(calculator, atoms, budget=3, lambda_max=2, progress=False)
    table = report.equivariance.set_index("target")
    assert table.A["energy"] == pytest.approx(c * length / 3**0.5, rel=1e-10)
    assert table.A["forces"] == pytest.approx(c / 3**0.5, rel=1e-10)
    assert list(table.unit) == ["eV", "eV/A"]
    assert table.error.isna().all()
    assert (table.noise < 1e-6).all()
    assert report.summary["architecture"] == "Tilted"
    assert report.summary["dtype"] == "that of the calculator"


def test_labels_under_the_names_of_ase():
    atoms = triclinic()
    known = EMT()
    atoms.calc = known
    forces, stress = atoms.get_forces() + 0.1, atoms.get_stress() + 0.01
    energy = atoms.get_potential_energy() + 2.0
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
    report = symmetry_report(EMT(), atoms, budget=3, lambda_max=2, progress=False)
    table = report.equivariance.set_index(["target", "o3_lambda"]).error
    assert table["energy", 0] == pytest.approx(2.0)
    assert table["forces", 1] == pytest.approx(0.1)
    assert table["stress", 0] == pytest.approx(0.03 / 3**0.5)


def test_the_calculator_of_an_exported_model_against_its_engine():
    atoms, model = crystal(), pet(energy_info(gradients=True)).to(torch.float64).export()
    of_ase = CalculatorEngine(MetatomicCalculator(model, device="cpu"))
    own = open_engine(model)
    names = {"conservative_force": "forces", "conservative_stress": "stress"}
    matrices = rotations(4)
    expected = own.evaluate(prepared(own, atoms), matrices, own.blocks, []).targets
    baseline = own.predict(prepared(own, atoms))
    bare = own.evaluate(prepared(own, atoms), torch.eye(3)[None], own.blocks, []).targets
    found = of_ase.evaluate(prepared(of_ase, atoms), matrices, of_ase.blocks, []).targets
    by_name = {(b.target, b.irrep): (b, part) for b, part in found.items()}
    assert len(by_name) == len(expected) == 4
    for block, part in expected.items():
        key = names.get(block.target, block.target), block.irrep
        other, values = by_name[key]
        full = part + baseline[block] - bare[block]  # composition included
        torch.testing.assert_close(values, full, rtol=0, atol=1e-9)
        assert (other.unit, other.sample_kind) == (block.unit, block.sample_kind)


def test_a_finite_group_is_exact():
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    group = FiniteGroup(
        torch.stack([torch.eye(3), mirror]), {"A'": [1, 1], "A''": [1, -1]}, "Cs"
    )
    atoms = ase.Atoms("CO", [[0, 0, 0], [0.4, 0, 1.1]])
    report = symmetry_report(Tilted(0.1), atoms, group=group, progress=False)
    table = report.equivariance.set_index("target")
    assert table.A["energy"] == pytest.approx(0.11)  # energies 1000 -+ 0.11


# ------------------------------------------------------------------ what can go wrong


class Upright(EMT):
    """Takes cells along the axes only."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if np.abs(atoms.cell[:] - np.diag(atoms.cell[:].diagonal())).max() > 1e-9:
            raise RuntimeError("only orthorhombic cells\nare supported")
        super().calculate(atoms, properties, system_changes)


class Energies(Calculator):
    implemented_properties = ["energy"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": np.array([1.0])}


class Misshapen(Energies):
    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = np.zeros(3)


class Broken(Energies):
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        raise RuntimeError("no licence")


class Promises(Energies):
    implemented_properties = ["energy", "forces"]


class Charges(Energies):
    implemented_properties = ["charges"]


QUICK = {"lambda_max": 1, "budget": 2, "progress": False}


def test_a_calculator_without_forces_has_an_energy():
    report = symmetry_report(Energies(), molecule("H2O"), **QUICK)
    assert list(report.equivariance.target) == ["energy"]
    with pytest.raises(ValueError, match="has no 'forces': there is only energy"):
        symmetry_report(Energies(), molecule("H2O"), targets=["forces"], **QUICK)


@pytest.mark.parametrize(
    ("calculator", "message"),
    [
        (Upright(), r"structure 0: the calculator Upright works as .* \(only orthorhombic "
         r"cells\), perhaps because it wants cells in one orientation"),
        (Broken(), r"structure 0: the calculator Broken fails \(no licence\)"),
        (Promises(), r"the calculator Promises fails .*fewer targets than energy, forces"),
        (Charges(), r"implements none of energy, .* \(but charges\)"),
        (Misshapen(), r"returns 'forces' of the shape \(3,\), not \(4, 3\)"),
        (EMT, "no model"),
        (SinglePointCalculator(bulk("Cu", cubic=True), energy=1.0), "SinglePoint"),
    ],
    ids=lambda value: getattr(type(value), "__name__", None),
)  # fmt: skip
def test_what_is_said_of_bad_calculators(calculator, message):
    with pytest.raises(ValueError, match=message) as caught:
        symmetry_report(calculator, bulk("Cu", cubic=True), **QUICK)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": ["EE"]}, "layer 'EE' cannot be measured"),
        ({"gradients": False}, "name targets instead"),
        ({"dtype": "float64"}, "the calculator was made with"),
        ({"device": "cuda"}, "the calculator was made with"),
        ({"extensions": "folder"}, "the calculator was made with"),
        ({"state": "best"}, "state"),
        ({"targets": []}, "no targets are named"),
    ],
)
def test_what_means_nothing_to_a_calculator(options, message):
    with pytest.raises(ValueError, match=message):
        symmetry_report(EMT(), molecule("H2O"), **options, **QUICK)


def test_moments_that_are_vectors():
    atoms = ase.Atoms("O2", [[0, 0, 0], [0, 0, 1.2]])
    atoms.set_initial_magnetic_moments([[0, 0, 1.0], [0, 0, 1.0]])
    with pytest.raises(ValueError, match="structure 0: 'initial_magmoms' are vectors"):
        symmetry_report(EMT(), atoms, **QUICK)


@pytest.mark.filterwarnings("error")
def test_vacuum_around_slabs_and_molecules_is_kept():
    """Some calculators want a box in directions that are not periodic."""
    for atoms in (fcc111("Cu", (1, 1, 2), vacuum=4), molecule("H2O", vacuum=3)):
        calculator = Recorder()
        engine = CalculatorEngine(calculator)
        for structure in (engine.prepare(atoms), prepared(engine, atoms)):
            engine.evaluate(structure, rotations(2), engine.blocks, [])
            seen = calculator.seen[-1]
            assert list(seen.pbc) == list(atoms.pbc)
            expected = atoms.cell.cellpar()
            np.testing.assert_allclose(seen.cell.cellpar(), expected, atol=1e-9)
            # the sign changes under improper rotations
            places = np.abs(seen.get_scaled_positions(wrap=False))
            expected = np.abs(atoms.get_scaled_positions(wrap=False))
            np.testing.assert_allclose(places, expected, atol=1e-12)
