"""The audit in one line: closed forms, the report as oracle, and what fails in words."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from common import crystal, energy_info, pet

from metatrain_symmetry import (
    O3,
    Block,
    FunctionEngine,
    Irrep,
    assert_equivariant,
    equivariance_error,
    octahedral_group,
    symmetry_report,
)


C = 0.02
PAIR = ase.Atoms("CO", [[0.3, 0.1, 0.0], [0.7, -0.2, 1.1]])


class Field(Calculator):
    """A field along z, in eV/Å, which acts on the vector between two atoms."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        pull = np.array([[0, 0, C], [0, 0, -C]])
        self.results = {"energy": -500.0 - (pull * atoms.positions).sum(), "forces": pull}


def test_closed_form():
    """E = -c z·d: A = c |d|/√3; forces of constant length c: A = c/√3, at most 2 c."""
    table = equivariance_error(Field(), [PAIR, PAIR]).set_index("target")
    length = PAIR.get_distance(0, 1)
    assert table.rms["energy"] == pytest.approx(1e3 * C * length / 2 / 3**0.5, rel=1e-9)
    assert table.rms["forces"] == pytest.approx(1e3 * C / 3**0.5, rel=1e-9)
    assert list(table.unit) == ["meV/atom", "meV/A"]
    assert list(table.structures) == [2, 2]
    assert list(table.orientations) == [120, 120]
    # f(x) is the force 20 meV/Å along z: turned over it differs by 40, and by no more
    assert 36 < table.maximum["forces"] <= 40 + 1e-9
    given = abs((PAIR.positions[1] - PAIR.positions[0])[2])
    most = 1e3 * C * (length + given) / 2
    assert 0.9 * most < table.maximum["energy"] <= most


class Pressed(Calculator):
    """The same uniaxial stress along z in every orientation."""

    implemented_properties = ["stress"]

    def calculate(self, atoms=None, properties=("stress",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"stress": np.diag([0, 0, C])}


def test_a_stress_in_closed_form():
    """Its deviator, of the norm s √(2/3), is all that turns, over nine components."""
    table = equivariance_error(Pressed(), bulk("Cu"), "O").set_index("target")
    assert table.rms["stress"] == pytest.approx(1e3 * C * (2 / 3 / 9) ** 0.5, rel=1e-9)
    # the diagonal of a rotated copy holds n_x², which differs by no more than 1
    values = equivariance_error(Pressed(), bulk("Cu"), octahedral_group())
    assert values.maximum[0] == pytest.approx(1e3 * C, rel=1e-9)


@pytest.mark.parametrize(("name", "size"), [
    ("Ii", 120), ("icosahedral", 60), ("Oh", 48), ("O", 24), ("Ti", 24), ("T", 12),
    ("D2i", 8), ("D2", 4), ("i", 2), (None, 120),
])  # fmt: skip
def test_groups(name, size):
    """Names mean what they mean elsewhere. Vectors average to zero over every group."""
    table = equivariance_error(Field(), PAIR, name, targets=["forces"])
    assert table.rms[0] == pytest.approx(1e3 * C / 3**0.5, rel=1e-9)
    assert table.orientations[0] == size


def test_only_groups_with_inversion_see_reflections():
    """A triple product, which changes its sign under inversion, given as a scalar."""
    volume = Block("volume", Irrep(0))
    points = torch.tensor([[1.0, 2.0, 0.5], [0.3, -1.0, 1.2], [-0.7, 0.4, 2.0]])
    engine = FunctionEngine({volume: lambda x: torch.linalg.det(x)[:, None, None, None]})
    size = abs(float(torch.linalg.det(points.double())))
    for name, seen in (("T", 0.0), ("Ti", size), (None, size)):
        table = equivariance_error(engine, points, name)
        assert table.rms[0] == pytest.approx(seen, abs=1e-12)
        assert table.maximum[0] == pytest.approx(2 * seen, abs=1e-12)


def test_a_group_of_its_own():
    along_z = ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.0]])
    table = equivariance_error(Field(), along_z, octahedral_group(), targets=["energy"])
    # c d along ±z for a third of the elements, 0 for the others
    assert table.rms[0] == pytest.approx(1e3 * C / 2 / 3**0.5, rel=1e-9)
    assert table.maximum[0] == pytest.approx(1e3 * C)
    first, second = (equivariance_error(Field(), PAIR, g).rms[0] for g in (O3(), None))
    assert first == second


@pytest.mark.parametrize("calculator", [EMT(), LennardJones(sigma=2.3, rc=6.0)])
def test_controls_are_equivariant(calculator):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell[:] @ [[1, 0.05, 0], [0.1, 1.02, 0], [0.03, 0, 1]], True)
    atoms.rattle(0.1, seed=1)
    table = assert_equivariant(calculator, [atoms], atol=1e-9, group="T")
    assert list(table.target) == ["energy", "forces", "stress"]
    assert list(table.unit) == ["meV/atom", "meV/A", "meV/A^3"]


def test_a_checkpoint_against_the_report(tmp_path):
    """A of an untrained PET, whose answers vary slowly: an exact grid says the same."""
    model = pet(energy_info(gradients=True)).to(torch.float64)
    model.export().save(str(tmp_path / "model.pt"))
    frames = [molecule("H2O"), crystal()]
    table = equivariance_error(tmp_path / "model.pt", frames).set_index("target")
    report = symmetry_report(
        model, frames, degree=12, estimator="grid", lambda_max=4, probes=[], budget=None,
        gradients=True, progress=False,
    )  # fmt: skip
    rows = report.equivariance
    squares = rows.A_per_atom**2 * rows.samples * (2 * rows.o3_lambda + 1)
    weights = rows.samples * (2 * rows.o3_lambda + 1)
    for target in table.index:
        one = rows.target == target
        expected = 1e3 * (squares[one].sum() / weights[one].sum()) ** 0.5
        if "stress" in target:  # nine components, six of which are independent
            expected *= (6 / 9) ** 0.5
        assert table.rms[target] == pytest.approx(expected, rel=0.05)
    assert list(table.structures) == [2, 2, 1]
    assert set(table.index) == set(rows.target)


def test_functions_and_modules():
    def tilted(points):  # y, z, x of the mean, and a constant that is wrong
        mean = points.mean(dim=1)[:, [1, 2, 0]] + torch.tensor([0.0, 0.3, 0.0])
        return mean[:, None, :, None]

    class Tilted(torch.nn.Module):
        def forward(self, points):
            return tilted(points)

    dipole = Block("dipole", Irrep(1), "system", "e*A")
    points = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]], dtype=torch.float64)
    for structures in (points, [points, points], molecule("H2O")):
        table = equivariance_error(Tilted(), structures, "Ti", block=dipole)
        assert table.rms[0] == pytest.approx(0.3 / 3**0.5)
        assert table.unit[0] == "e*A"
    engine = FunctionEngine({dipole: tilted})
    assert equivariance_error(engine, points).rms[0] == pytest.approx(0.3 / 3**0.5)
    with pytest.raises(ValueError, match="say with block=Block"):
        equivariance_error(tilted, points)
    with pytest.raises(ValueError, match="say with block=Block"):
        equivariance_error(Tilted(), points)
    with pytest.raises(ValueError, match="give a function and a Block"):
        equivariance_error(tilted, points, block=Irrep(1))


def test_what_fails_is_said():
    with pytest.raises(AssertionError) as caught:
        assert_equivariant(Field(), [molecule("CO"), PAIR], {"energy": 50, "forces": 1})
    text = str(caught.value)
    assert text.startswith("1 of 2 targets are not equivariant within atol, over 120 ")
    (row,) = text.splitlines()[2:]
    words = row.split()
    assert (words[0], words[1], words[3], words[4]) == ("forces", "11.55", "1", "meV/A")
    assert "energy" not in text
    table = assert_equivariant(Field(), PAIR, atol=41)
    assert list(table.target) == ["energy", "forces"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"atol": -1}, "atol is -1: give a number"),
        ({"atol": float("nan")}, "atol is nan"),
        ({"atol": "1e-3"}, "atol is '1e-3'"),
        ({"atol": True}, "atol is True"),
        ({"atol": {"energy": 1}}, "atol says nothing of 'forces'"),
        ({"atol": {"energy": 1, "force": 1}}, "did you mean forces"),
        ({"atol": 1, "group": "C5"}, "group is 'C5': give one of Ii, Oi, Ti, D2i"),
        ({"atol": 1, "group": "C1"}, "group is 'C1'"),
        ({"atol": 1, "targets": ["stress"]}, "has no 'stress'"),
        ({"atol": 1, "structures": "nowhere.xyz"}, "nowhere.xyz"),
        ({"atol": 1, "structures": []}, "no structures"),
        ({"atol": 1, "model": "nowhere.ckpt"}, "nowhere.ckpt"),
        ({"atol": 1, "model": 3}, "3 is no model"),
        ({"atol": 1, "model": EMT}, r"give an object that was made"),
    ],
)
def test_bad_arguments(arguments, message):
    given = {"model": Field(), "structures": PAIR, "group": "T", **arguments}
    with pytest.raises(ValueError, match=message):
        assert_equivariant(**given)
