"""The verdict: known forces, torques and stresses, ASE's relaxations as oracle, words."""

import time
from types import SimpleNamespace

import ase
import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import FIRE
from common import energy_info, pet
from scipy.spatial.transform import Rotation
from symmetrise_common import STRAIN, Morse

from metatrain_symmetry import (
    ProjectedCalculator,
    Report,
    find_symmetry,
    symmetry_report,
    symmetry_verdict,
)
from metatrain_symmetry.groups import GroupOrbit, Irrep, random_frame, representation
from metatrain_symmetry.measure.preferred import Preference, _harmonics
from metatrain_symmetry.measure.verdict import share_error
from metatrain_symmetry.models.irrep_blocks import cartesian_matrix, split
from metatrain_symmetry.report.summary_lines import lines
from metatrain_symmetry.symmetrise.crystal_systems import crystal_system


class Given(Calculator):
    """EMT or nothing, and on top known forces and a known stress of the laboratory."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, forces=0.0, stress=0.0, turn=None):
        super().__init__()
        self.extra, self.stress, self.turn = forces, np.asarray(stress), turn

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(atoms), 3)) + self.extra
        if self.turn is not None:  # forces of a rotation about an axis of the laboratory
            forces += np.cross(self.turn, atoms.positions - atoms.positions.mean(axis=0))
        stress = self.stress * np.ones(6)
        self.results = {"energy": 0.0, "forces": forces, "stress": stress}


class Slow(Given):
    """Takes 3 ms."""

    def calculate(self, *arguments):
        time.sleep(0.003)
        super().calculate(*arguments)
        self.results["forces"] += [0, 0, 0.02]


def row(verdict, quantity):
    (found,) = verdict.table[verdict.table.quantity == quantity].to_dict("records")
    return SimpleNamespace(**found)


def test_a_known_net_force():
    """The same force on all atoms of a crystal: a net force, which breaks nothing."""
    verdict = symmetry_verdict(Given([0, 0, 0.02]), bulk("Cu", cubic=True), fmax=0.01)
    net = row(verdict, "net force")
    for value in (net.given, net.rms, net.maximum):
        assert value == pytest.approx(4 * 0.02)
    assert (net.fmax, net.fmax_maximum) == pytest.approx((0.02, 0.02))
    assert (net.unit, net.symmetry, net.orientations) == ("eV/A", "cubic Fm-3m", 121)
    assert row(verdict, "symmetry-breaking force").maximum < 1e-12
    assert "torque" not in set(verdict.table.quantity)
    first = verdict.sentences[0]
    assert "relaxations cannot converge below fmax 0.02 eV/Å" in first
    assert first.endswith("Your fmax of 0.01 eV/Å is below that.")
    kept = symmetry_verdict(Given([0, 0, 0.02]), bulk("Cu"), fmax=0.05, group="Ti")
    assert kept.sentences[0].endswith("Your fmax of 0.05 eV/Å is above that.")
    # a constant vector of the laboratory: all of A² is along z
    (along,) = verdict.directions.query("target == 'forces' and share > 0.5").itertuples()
    assert (along.o3_lambda, along.o3_sigma) == (1, 1)
    assert along.share == pytest.approx(1)
    assert (along.x, along.y, along.z) == pytest.approx((0, 0, 1))
    assert along.along == pytest.approx(1)
    assert any("prefers the axis (0.00, 0.00, 1.00)" in text for text in verdict.sentences)


def test_a_known_torque():
    """Forces ω × r: the torque is I ω; the molecule keeps its point group."""
    atoms = molecule("CH4")
    verdict = symmetry_verdict(Given(turn=[0, 0, 0.1]), atoms, targets=["forces"])
    places = atoms.positions - atoms.positions.mean(axis=0)
    inertia = (places[:, :2] ** 2).sum()
    torque = row(verdict, "torque")
    assert torque.given == pytest.approx(0.1 * inertia)
    levers = np.linalg.norm(places[:, :2], axis=1)
    assert torque.fmax == pytest.approx(0.1 * inertia / levers.sum())
    # the smallest forces that have it: as large on each atom, and around the axis
    around = np.cross([0, 0, 1], places)[1:] / levers[1:, None]
    smallest = np.cross(places[1:], torque.fmax * around).sum(axis=0)
    assert smallest[2] == pytest.approx(torque.given)
    assert row(verdict, "symmetry-breaking force").maximum < 1e-12
    assert row(verdict, "net force").maximum < 1e-12
    assert "a torque turns the molecule" in verdict.sentences[0]
    assert verdict.sentences[1] == (
        "forces: net force and symmetry-breaking force are zero within rounding."
    )


def test_known_forces_that_break_a_point_group():
    """Opposite forces on two of the hydrogens of methane, along the line between them."""
    atoms = molecule("CH4")
    line = atoms.positions[2] - atoms.positions[1]
    line *= 0.03 / np.linalg.norm(line)
    extra = np.zeros((5, 3))
    extra[1], extra[2] = -line, line

    class Along(Given):
        def calculate(self, atoms=None, *rest):
            super().calculate(atoms, *rest)
            between = atoms.positions[2] - atoms.positions[1]
            pull = 0.03 * between / np.linalg.norm(between)
            self.results["forces"][1] -= pull
            self.results["forces"][2] += pull

    verdict = symmetry_verdict(Along(), atoms, fmax=0.01, targets=["forces"])
    breaking = row(verdict, "symmetry-breaking force")
    # the invariant part: all hydrogens outwards, with the mean of the four radial forces
    places = atoms.positions - atoms.positions[0]
    outwards = places / np.maximum(np.linalg.norm(places, axis=1), 1e-12)[:, None]
    radial = (extra * outwards).sum() / 4
    expected = np.linalg.norm(extra - radial * outwards, axis=1).max()
    assert breaking.given == pytest.approx(expected, rel=1e-6)
    # equivariant, so that all orientations agree
    assert breaking.rms == pytest.approx(breaking.given, rel=1e-6)
    assert breaking.maximum == pytest.approx(breaking.given, rel=1e-6)
    assert "will lose Td symmetry below fmax" in verdict.sentences[0]


def test_a_known_stress_and_the_filters_of_ase():
    """Uniaxial stress s: two thirds of it break cubic symmetry; fmax as ASE counts it."""
    s = 1e-3
    calculator = Given(stress=[0, 0, s, 0, 0, 0])
    atoms = bulk("Cu", cubic=True)
    verdict = symmetry_verdict(calculator, atoms, fmax=0.001)
    stress = row(verdict, "symmetry-breaking stress")
    assert stress.given == pytest.approx(2 / 3 * s)
    assert stress.rms == pytest.approx(2 / 3 * s)
    assert stress.unit == "eV/A^3"
    # what ASE's filter sees of the part that breaks the symmetry
    atoms.calc = Given(stress=np.array([-1, -1, 2, 0, 0, 0]) * s / 3)
    seen = FrechetCellFilter(atoms).get_forces()
    largest = np.linalg.norm(seen, axis=1).max()
    assert stress.fmax == pytest.approx(largest)
    assert "will lose cubic Fm-3m symmetry below fmax" in " ".join(verdict.sentences)
    assert "Your fmax of 0.001 eV/Å is below that." in " ".join(verdict.sentences)
    # 2/3 s (3 z z - 1) / 2: λ = 2 along z
    (along,) = (
        verdict.directions.query("target == 'stress'").query("share > 0.5").itertuples()
    )
    assert (along.o3_lambda, along.share) == (2, pytest.approx(1))
    assert (along.x, along.y, along.z) == pytest.approx((0, 0, 1))
    assert along.along == pytest.approx(1)


def test_relaxations_of_ase_are_the_oracle():
    """At the symmetric minimum ASE sees just the fmax of the verdict, and acts on it."""
    model = Morse(STRAIN)
    atoms = bulk("Cu", a=3.6)
    atoms.calc = ProjectedCalculator(model)
    assert FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=300)
    atoms.calc = model
    before = FrechetCellFilter(atoms).get_forces()
    limit = row(
        symmetry_verdict(model, atoms, group="D2i"), "symmetry-breaking stress"
    ).fmax
    assert np.linalg.norm(before, axis=1).max() == pytest.approx(limit, rel=1e-4)
    for fmax, name in ((1.01 * limit, "Fm-3m"), (0.5 * limit, "P-1")):
        copy = atoms.copy()
        copy.calc = model
        assert FIRE(FrechetCellFilter(copy), logfile=None).run(fmax=fmax, steps=300)
        assert find_symmetry(copy, 1e-5).name == name


class Upright(Given):
    """A net force along z, as large as the cosine between z and the first bond."""

    def calculate(self, atoms=None, *rest):
        super().calculate(atoms, *rest)
        bond = atoms.positions[1] - atoms.positions[0]
        self.results["forces"][0, 2] = 0.1 * abs(bond[2]) / np.linalg.norm(bond)


@pytest.mark.parametrize(
    ("axis", "fmax", "words"),
    [
        (
            [1, 0, 0],
            0.01,
            "orientations than the given one. Your fmax of 0.01 eV/Å is below",
        ),
        ([3, 0, 1], 0.03, "above that, and below the 0.05 eV/Å of the worst orientation"),
        ([0, 0, 1], 0.06, "Your fmax of 0.06 eV/Å is above that."),
    ],
)
def test_given_and_other_orientations(axis, fmax, words):
    axis = np.array(axis) / np.linalg.norm(axis)
    atoms = ase.Atoms("CO", [[0, 0, 0], 1.1 * axis])
    verdict = symmetry_verdict(Upright(), atoms, fmax=fmax, targets=["forces"])
    net = row(verdict, "net force")
    assert net.given == pytest.approx(0.1 * axis[2])
    assert net.rms == pytest.approx(0.1 / 3**0.5)
    assert 0.095 < net.maximum <= 0.1
    assert words in verdict.sentences[0]


def test_a_structure_that_is_nearly_symmetric():
    """Its own forces are no asymmetry of the model: a refined copy is evaluated."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(1e-4, seed=0)
    table = symmetry_verdict(EMT(), atoms, group="D2i", symprec=1e-2).table
    rows = table[table.quantity.str.startswith("symmetry")]
    assert set(rows.symmetry) == {"cubic Fm-3m"}
    assert rows.maximum.max() < 1e-10
    strict = symmetry_verdict(EMT(), atoms, group="D2i", symprec=1e-6)
    assert set(strict.table.quantity) == {"net force"}
    assert strict.table.symmetry[0] == "triclinic P1"


def test_error_bar_of_a_share():
    """Against the scatter of shares of many draws of structures."""
    rng = np.random.default_rng(0)
    draws = rng.gamma(2.0, size=(4000, 25, 2)) * [1.0, 3.0]
    sums = draws.sum(axis=1)
    scatter = np.std(sums[:, 0] / sums.sum(axis=1))
    said = np.mean([share_error(parts) ** 2 for parts in draws[:400]]) ** 0.5
    assert said == pytest.approx(scatter, rel=0.06)
    # in closed form: deviations are ±1/2 around a share of one half
    parts = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert share_error(parts) == pytest.approx((2 * (0.25 + 0.25)) ** 0.5 / 2)
    assert np.isnan(share_error(parts[:1]))


def test_errors_and_their_names():
    """Constant force c along z, truth zero: all of the squared error is asymmetry."""
    frames = [molecule("CH4"), molecule("H2O")]
    for one in frames:
        one.calc = SinglePointCalculator(one, forces=np.tile([0, 0, 0.03], (len(one), 1)))
    verdict = symmetry_verdict(Given([0, 0, 0.05]), frames, targets=["forces"], fmax=0.1)
    (errors,) = verdict.errors.to_dict("records")
    # the average over orientations is zero, the truth 0.03 along z
    assert errors["equivariance RMSE"] == pytest.approx(0.05 / 3**0.5)
    assert errors["O3-averaged RMSE"] == pytest.approx(0.03 / 3**0.5)
    assert errors["oriented RMSE"] == pytest.approx((0.05**2 + 0.03**2) ** 0.5 / 3**0.5)
    assert errors["RMSE"] == pytest.approx(0.02 / 3**0.5)
    assert errors["share"] == pytest.approx(25 / 34)
    assert (errors["structures"], errors["unit"]) == (2, "eV/A")
    text = " ".join(verdict.sentences)
    assert "asymmetry is 74 ± 0 % of the squared error (equivariance RMSE 0.0289" in text
    assert "The RMSE is 0.012 eV/Å per component." in text
    assert "(the worst of 2 structures)" in text


def test_a_checkpoint():
    model = pet(energy_info(gradients=True)).to(torch.float64)
    verdict = symmetry_verdict(model, [molecule("CH4"), molecule("H2O")], group="Oi")
    assert set(verdict.table.target) == {"conservative_force"}
    # an energy that does not change when all atoms are moved
    net = verdict.table[verdict.table.quantity == "net force"]
    assert (net.maximum < net.noise).all()
    assert (verdict.table[verdict.table.quantity == "torque"].maximum > 1e-6).all()
    assert not len(verdict.directions)  # 24 rotations do not resolve λ = 2


def test_nothing_is_found_in_rounding():
    """A model that is equivariant: zeros, and no direction."""
    verdict = symmetry_verdict(EMT(), [bulk("Cu", cubic=True), molecule("CH4")])
    assert not len(verdict.directions)
    assert verdict.sentences == [
        "forces: net force, symmetry-breaking force and torque are zero within rounding.",
        "stress: symmetry-breaking stress is zero within rounding.",
    ]


def test_gram_matrices():
    """Energies u·(g d) + k (v·(g d))² - its mean: each irrep with its own axis."""
    u, v = (np.array(a, dtype=float) for a in ([1, 2, 2], [3, 0, 4]))
    matrices = GroupOrbit("I", True, random_frame(3)).matrices
    d = torch.tensor([0.2, -0.5, 0.8], dtype=torch.float64)
    turned = matrices @ d
    first = turned @ torch.from_numpy(u) / 3
    second = (turned @ torch.from_numpy(v) / 5) ** 2
    preference = Preference()
    preference.add((first + second)[:, None], matrices)
    rows = {(r["o3_lambda"], r["o3_sigma"]): r for r in preference.rows("energy")}
    size = float(d @ d)
    powers = size / 3, 4 / 45 * size**2  # <cos²>, and the variance of cos²
    assert rows[1, 1]["share"] == pytest.approx(powers[0] / sum(powers))
    assert rows[2, 1]["share"] == pytest.approx(powers[1] / sum(powers))
    for key, axis in (((1, 1), u / 3), ((2, 1), v / 5)):
        found = np.array([rows[key][name] for name in "xyz"])
        assert abs(found @ axis) == pytest.approx(1, abs=1e-3)
        assert rows[key]["along"] == pytest.approx(1, abs=5e-3)
    pseudo = [row["share"] for key, row in rows.items() if key[1] < 0]
    assert max(pseudo, default=0) < 1e-20


def test_no_preference():
    """Γ of a model that scatters alike in all directions is a multiple of the identity."""
    orbit = GroupOrbit("I", True, random_frame(0)).matrices
    preference = Preference()
    left = torch.from_numpy(Rotation.create_group("O").as_matrix())
    for one in left:  # the same model, turned in the laboratory
        value = orbit @ torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        preference.add((value @ one.T)[:, 2:], orbit)
    (found,) = [r for r in preference.rows("t") if r["share"] > 1e-9]
    assert found["along"] == pytest.approx(found["even"])


def test_cartesian_matrix():
    values = torch.randn(4, 3, 3, 1, dtype=torch.float64)
    values = values + values.transpose(1, 2)
    scalar, tensor = (p for _, _, p in split("stress", {}, ["xyz_1", "xyz_2"], values))
    back = cartesian_matrix(scalar[..., 0], tensor[..., 0])
    assert torch.allclose(back, values[..., 0], atol=1e-14)


def test_harmonics_of_directions():
    """``Y(R u) = D(R) Y(u)``, of unit length."""
    orbit = GroupOrbit("T", True, random_frame(1)).matrices
    u = torch.tensor([[2.0, -1.0, 2.0]], dtype=torch.float64) / 3
    before, after = _harmonics(u), _harmonics(orbit @ u[0])
    turned = torch.einsum("gmn,in->gim", representation(Irrep(2), orbit), before)
    assert torch.allclose(after, turned[:, 0], atol=1e-12)
    assert torch.allclose(before.norm(dim=1), torch.ones(1, dtype=torch.float64))


CELLS = [
    (bulk("Si", cubic=True), "cubic"),
    (bulk("Ti", "hcp", 2.95, c=4.68), "hexagonal"),
    (ase.Atoms("Sn", cell=[1.0, 1.0, 3.2], pbc=True), "tetragonal"),
    (ase.Atoms("Sn", cell=[3.0, 4.0, 5.2], pbc=True), "orthorhombic"),
    (ase.Atoms("Sn", cell=[3, 4, 5, 90, 100, 90], pbc=True), "monoclinic"),
    (ase.Atoms("Sn", cell=[3, 4, 5, 80, 100, 95], pbc=True), "triclinic"),
    (ase.Atoms("Bi", cell=[4.5, 4.5, 4.5, 57, 57, 57], pbc=True), "trigonal"),
]  # fmt: skip


@pytest.mark.parametrize(("atoms", "system"), CELLS, ids=[name for _, name in CELLS])
def test_crystal_systems(atoms, system):
    assert crystal_system(find_symmetry(atoms).rotations) == system


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fmax": 0}, "fmax is 0: give a positive force"),
        ({"fmax": float("nan")}, "fmax is nan"),
        ({"fmax": "0.01"}, "fmax is '0.01'"),
        ({"fmax": True}, "fmax is True"),
        ({"symprec": -1}, "symprec is -1: give a positive length"),
        ({"group": "Y"}, "group is 'Y'"),
        ({"targets": ["force"]}, "has no 'force'"),
        ({"structures": []}, "no structures"),
        ({"model": EMT}, "is a class"),
    ],
)
def test_bad_input(arguments, message):
    defaults = {"model": EMT(), "structures": bulk("Cu")}
    with pytest.raises(ValueError, match=message):
        symmetry_verdict(**(defaults | arguments))


def test_symmetry_that_is_not_found():
    """Two atoms closer than the tolerance: said, and the rest of the verdict stands."""
    atoms = ase.Atoms("Cu2", [[0, 0, 0], [0, 0, 0.5]], cell=[4, 4, 4], pbc=True)
    verdict = symmetry_verdict(Given([0.1, 0, 0]), atoms, symprec=0.8, group="D2i")
    assert "structure 0: its symmetry is not known (" in verdict.sentences[-1]
    assert row(verdict, "net force").given == pytest.approx(0.2)


def test_a_report_has_a_verdict(tmp_path):
    """In summary, lines and page: the same numbers as those of the function."""
    frames = [bulk("Cu", cubic=True), bulk("Cu")]
    calculator = Given([0, 0, 0.02])
    report = symmetry_report(
        calculator, frames, tmp_path / "report", fmax=0.01, degree=4, estimator="grid",
        lambda_max=2, progress=False,
    )  # fmt: skip
    alone = symmetry_verdict(Given([0, 0, 0.02]), frames, fmax=0.01)
    kept = report.summary["verdict"]
    assert kept["sentences"] == alone.sentences
    assert pd.DataFrame(kept["table"]).given.tolist() == alone.table.given.tolist()
    assert kept["fmax"] == 0.01
    assert kept["errors"] == []
    again = Report.load(tmp_path / "report")
    assert again.summary["verdict"]["sentences"] == alone.sentences
    assert f"verdict: {alone.sentences[0]}" in lines(report)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "What does it mean for relaxations?" in page
    assert "Your fmax of 0.01 eV/Å is below that" in page


def test_a_report_in_a_hurry():
    """With no time left the given orientation alone has to do, and an energy has none."""
    hurry = symmetry_report(
        Slow(), bulk("Cu"), budget=0.1, lambda_max=1, progress=False, targets=["forces"]
    )
    (net,) = [r for r in hurry.summary["verdict"]["table"] if r["quantity"] == "net force"]
    assert net["orientations"] < 121
    assert net["given"] == pytest.approx(0.02)
    energies = symmetry_report(
        Given(), bulk("Cu"), targets=["energy"], lambda_max=1, progress=False
    )
    assert energies.summary["verdict"] is None


def test_the_report_refuses_an_fmax():
    with pytest.raises(ValueError, match="fmax is -1"):
        symmetry_report("nowhere.ckpt", "nowhere.xyz", fmax=-1)


def test_errors_of_a_report_are_a_table_on_its_page(tmp_path):
    """Truth zero and one structure: all of the error is asymmetry, without an error bar."""
    atoms = molecule("CH4")
    atoms.calc = SinglePointCalculator(atoms, forces=np.zeros((len(atoms), 3)))
    report = symmetry_report(
        Given([0, 0, 0.02]), atoms, tmp_path / "report", targets=["forces"], degree=4,
        estimator="grid", lambda_max=2, progress=False,
    )  # fmt: skip
    (errors,) = report.summary["verdict"]["errors"]
    assert errors["equivariance RMSE"] == pytest.approx(0.02 / 3**0.5)
    assert errors["oriented RMSE"] == pytest.approx(0.02 / 3**0.5)
    assert errors["share"] == pytest.approx(1)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "How much of the error is asymmetry" in page
    assert "100, no error bar" in page


def test_a_structure_from_a_file_has_few_digits(tmp_path):
    """What breaks the symmetry of an equivariant model is the file, and it is small."""
    write(tmp_path / "few.xyz", fcc111("Cu", (1, 1, 3), vacuum=5))
    verdict = symmetry_verdict(EMT(), tmp_path / "few.xyz", group="D2")
    assert set(verdict.table.symmetry) == {"P-3m1"}
    assert verdict.sentences == [
        "forces: net force and symmetry-breaking force are zero within rounding."
    ]


def test_no_torque_on_a_nearly_symmetric_molecule():
    """Forces and positions of the same structure, not of its symmetric copy."""
    atoms = molecule("NH3")
    atoms.rattle(2e-4, seed=0)
    verdict = symmetry_verdict(EMT(), atoms, group="D2", symprec=1e-2)
    assert set(verdict.table.symmetry) == {"C3v"}
    assert row(verdict, "torque").maximum < 1e-10


def test_no_share_of_an_error_that_is_rounding():
    atoms = molecule("H2O")
    forces = EMT().get_forces(atoms)
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    verdict = symmetry_verdict(EMT(), atoms, targets=["forces"], group="D2")
    assert verdict.sentences[-1] == "forces: the error is zero within rounding."
