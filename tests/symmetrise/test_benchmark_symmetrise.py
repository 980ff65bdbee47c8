"""The benchmark of averages over rotations: its shortcut, its sets, its statistics."""

import json
from itertools import pairwise
from pathlib import Path

import metatomic_ase
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from scipy.spatial.transform import Rotation
from symmetrise_common import STRAIN, Field, Morse

from benchmarks import _symmetrise_show
from benchmarks._symmetrise_measure import averages_of, compare, flat, orientation, sample
from benchmarks._symmetrise_sets import OURS, groups, of_ipi, of_metatomic_ase
from metatrain_symmetry import SymmetrizedCalculator
from metatrain_symmetry.groups import Irrep, mixing
from metatrain_symmetry.symmetrise.rotations import rotated, rotated_back, voigt


class Listed(Morse):
    """With the interface of metatomic-ase's calculator."""

    def compute_energy(self, structures, gradients=False, *, per_atom=False):
        results = []
        for atoms in structures:
            self.calculate(atoms)
            results.append(self.results)
        found = {name: [one[name] for one in results] for name in self.results}
        found["stress"] = [v[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
                           for v in found["stress"]]  # fmt: skip
        return found


def wrapped(points, base):
    """The calculator whose set this is."""
    if points.family == OURS:
        return SymmetrizedCalculator(base, points.name)
    degree = int(points.name.removeprefix("l_max ")[0])
    return metatomic_ase.SymmetrizedCalculator(
        base, l_max=degree, include_inversion=points.inversion
    )


def test_shortcut_gives_what_the_calculators_give():
    atoms = bulk("Cu")
    shear = np.array([[0.1, 0.2, 0], [0, 0, 0.3], [0, 0, 0]])
    atoms.set_cell(atoms.cell.array + shear, scale_atoms=True)
    atoms = atoms.repeat((2, 1, 1))
    atoms.rattle(0.1, seed=1)
    turn = orientation(np.random.default_rng(1))
    sets = [one for one in (*groups(), *of_metatomic_ase()) if one.evaluations < 45]
    assert len(sets) == 6 + 6
    means, _ = averages_of(Morse(STRAIN), atoms, turn, sets)
    for points, mean in zip(sets, means, strict=True):
        base = Listed(STRAIN)
        calculator = wrapped(points, base)
        calculator.calculate(rotated(atoms, turn), list(mean), all_changes)
        assert len(base.handedness) == points.evaluations
        for name, found in mean.items():
            value = np.asarray(calculator.results[name])[None]
            if value.shape == (1, 3, 3):
                value = voigt(value)
            wanted = flat(name, rotated_back(name, value, turn[None]), len(atoms))[0]
            np.testing.assert_allclose(found, wanted, atol=1e-9, err_msg=points.name)
    # and the sets differ by far more
    energies = [mean["energy"][0] for mean in means]
    assert np.ptp(energies) > 1


def test_sets_of_ipi_have_their_sizes_and_degrees():
    rotations = [one for one in of_ipi() if not one.inversion]
    assert [one.evaluations for one in rotations] == [18, 75, 196, 18, 70, 182]
    # the first degree that is not integrated exactly
    for points, first in zip(rotations, (3, 5, 7, 3, 5, 7), strict=True):
        orbit = type("Orbit", (), {})
        orbit.matrices = torch.from_numpy(points.matrices)
        orbit.weights = torch.from_numpy(points.weights.copy())
        kept = mixing(orbit, [Irrep(0)], [Irrep(n) for n in range(first + 1)])[0]
        assert kept[0] == pytest.approx(1)
        assert (kept[1:-1] == 0).all()
        assert kept[-1] > 1e-3


def test_what_is_left_of_a_quartic_field_and_how_well_it_is_known():
    """``a z⁴`` of two atoms at ± r has A = 4/15 a r⁴; 45/49 of its square has λ = 2.

    O turns it into a (x⁴ + y⁴ + z⁴) / 3: 1/√21 of A. In a random frame it leaves one of the
    nine dimensions of λ = 4 of the other 4/49. I leaves nothing.
    """
    atoms = Atoms("H2", [[0, 0, 1.2], [0, 0, -1.2]])
    sets = [one for one in groups() if one.name in ("O", "Ii")]

    def fixed(number, rng):
        return sets

    def random(number, rng):
        frame = Rotation.random(rng=rng).as_matrix()
        return [one.turned(frame) for one in sets]

    found = {}
    for sets_of in (fixed, random):
        samples = [sample(Field(quartic=0.1), atoms, 10, sets_of, n) for n in range(12)]
        rows = [compare([one], "energy", f"{OURS}: O") for one in samples]
        found[sets_of] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        none = compare(samples, "energy", f"{OURS}: Ii")
        assert none["left"] < 1e-9
        exact = 1000 * 0.1 * 1.2**4 * 4 / 15
        assert 0 < none["bare_err"] < 1e-2 * exact
        assert none["bare"] == pytest.approx(exact, abs=3 * none["bare_err"])
    for sets_of, exact in ((fixed, 1 / 21**0.5), (random, 2 / 21)):
        z = (found[sets_of]["ratio"] - exact) / found[sets_of]["ratio_err"]
        assert abs(z.mean()) < 1
        assert 0.5 < z.std() < 1.7


def test_the_tables_are_those_of_the_results():
    folder = Path(__file__).parents[2] / "benchmarks"
    cases = json.loads((folder / "results" / "symmetrise.json").read_text())["cases"]
    printed = _symmetrise_show.tables(cases).splitlines()
    rows = [line for line in printed if line.startswith("|")]
    assert len(rows) > 35
    shown = (folder / "README.md").read_text()
    assert all(row in shown for row in rows)
    # our groups that contain each other leave less and less
    ours = {one["name"]: one for one in cases["molecules"]["fixed frame"]}
    left = [ours[name]["forces"]["ratio"] for name in ("1", "D2", "T", "O", "I")]
    assert all(a > b for a, b in pairwise(left))
