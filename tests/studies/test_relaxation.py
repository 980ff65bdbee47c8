"""The relaxation study: its structures, what it counts as lost, splittings, a small run."""

import json

import ase
import numpy as np
import pandas as pd
import pytest
import spglib
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from common import energy_info, pet
from metatrain.utils.data import DatasetInfo


pytest.importorskip("phonopy")

from benchmarks.studies import _relax, relaxation
from benchmarks.studies._relax_calculators import CONTROLS, WRAPPERS, CountingControl
from benchmarks.studies._relax_phonons import frequencies, operations, splitting
from benchmarks.studies._relax_structures import (
    CRYSTALS,
    MOLECULES,
    ORDERED,
    PHONONS,
    build,
    disturbed,
    known,
)
from metatrain_symmetry import find_symmetry


SYSTEMS = [(1, 2), (3, 15), (16, 74), (75, 142), (143, 167), (168, 194), (195, 230)]


def test_crystals_have_their_space_groups_before_and_after_the_disturbance():
    assert len(CRYSTALS) + len(ORDERED) == 30
    assert len(MOLECULES) == 5
    seen = set()
    for name, group in known().items():
        for atoms in (build(name), disturbed(name, 3)):
            if name in MOLECULES:
                assert find_symmetry(atoms, 1e-2).name == group
                continue
            cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
            assert spglib.get_symmetry_dataset(cell, symprec=1e-6).number == group, name
            assert np.linalg.det(atoms.cell.array) > 0
        if name not in MOLECULES:
            seen |= {s for s, (low, high) in enumerate(SYSTEMS) if low <= group <= high}
            moved = np.abs(disturbed(name, 3).cell.array - build(name).cell.array).max()
            assert 1e-3 < moved < 0.5
    assert seen == set(range(7))


def test_fate():
    atoms = build("rutile")
    symmetry = find_symmetry(atoms, 1e-6)
    assert _relax.fate(symmetry, atoms, atoms, 136)["fate"] == {
        "1e-05": "kept", "0.01": "kept",
    }  # fmt: skip
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-3
    found = _relax.fate(symmetry, atoms, moved, 136)
    assert found["fate"] == {"1e-05": "lost", "0.01": "kept"}
    assert found["groups"]["1e-05"] < 136
    assert 1e-4 < found["deviation"] < 2e-3
    # a cubic crystal that begins tetragonal
    cubic = build("CaTiO3 cubic")
    strained = cubic.copy()
    strained.set_cell(cubic.cell.array * [1, 1, 1.02], scale_atoms=True)
    gained = _relax.fate(find_symmetry(strained, 1e-6), strained, cubic, 123)
    assert gained["fate"] == {"1e-05": "gained", "0.01": "gained"}


def test_a_rotated_molecule_has_kept_its_symmetry():
    before = build("NH3")
    after = before.copy()
    after.rotate(20, (1, 2, 3))
    found = _relax.fate(find_symmetry(before, 1e-3), before, after, "C3v")
    assert found["deviation"] < 1e-3
    assert set(found["fate"].values()) == {"kept"}


def test_splitting_in_closed_form():
    # one atom of a cubic crystal: three modes that symmetry makes equal
    atoms = ase.Atoms("Po", cell=[3.0, 3.0, 3.0], pbc=True)
    elements = operations(find_symmetry(atoms, 1e-6), atoms)
    np.testing.assert_allclose(elements @ elements.transpose(0, 2, 1), [np.eye(3)] * 48)
    assert splitting(4 * np.eye(3), elements, 2.0) == pytest.approx(0, abs=1e-12)
    assert splitting(np.diag([1.0, 4.0, 9.0]), elements, 2.0) == pytest.approx(4)
    # nothing is degenerate without symmetry
    assert splitting(np.diag([1.0, 4.0, 9.0]), np.eye(3)[None], 2.0) == 0


@pytest.mark.parametrize("reduced", [True, False])
def test_an_equivariant_potential_has_degenerate_modes(reduced):
    atoms = disturbed("Mg", 0)
    atoms.numbers[:] = 29
    atoms.set_cell(0.8 * atoms.cell.array, scale_atoms=True)
    elements = operations(find_symmetry(atoms, 1e-6), atoms)
    found = frequencies(atoms, EMT(), elements, reduced)
    assert found["splitting"] < 1e-3 * found["highest"]
    assert found["highest"] > 50
    assert found["structures"] == (1 if reduced else 12)


def test_an_invariant_potential_keeps_symmetry():
    # at the tolerance of single precision; an oracle that is not ours
    atoms = disturbed("Al3Ti", 0)
    counter = CountingControl(LennardJones(sigma=2.4, rc=6.0, smooth=True))
    found = _relax.relax(atoms, counter, counter, seconds=np.inf)
    assert found["end"] == "converged"
    assert set(found["fate"].values()) == {"kept"}
    assert found["evaluations"] > found["steps"] > 1


def test_a_small_run_and_its_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(_relax, "STEPS", 3)
    monkeypatch.setattr(relaxation, "QUICK", ("SiC", "CH4"))
    info = DatasetInfo("Angstrom", [1, 6, 14], energy_info().targets)
    pet(info).eval().export().save(str(tmp_path / "model.pt"))
    only = ["bare", "projection", "O"]
    arguments = [str(tmp_path / "model.pt"), "--quick", "--runs", str(tmp_path / "runs")]
    arguments += ["--output", str(tmp_path / "tables"), "--only", *only]
    relaxation.main(arguments)
    summary = json.loads((tmp_path / "tables" / "summary.json").read_text())
    rows = pd.DataFrame(summary["relaxations"]).set_index(["orientation", "calculator"])
    assert set(rows.index) == {(o, c) for o in ("built", "rotated") for c in only}
    assert (rows["lost at 1e-05"].xs("projection", level=1) == 0).all()
    assert (rows["lost at 1e-05"].xs("bare", level=1) == 2).all()
    # 24 evaluations where there is one
    total = rows["total evaluations"].loc["built"]
    assert total["O"] > 12 * total["bare"]
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*.json")}
    assert len(times) == 12
    relaxation.main(arguments)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*.json")} == times


def test_names():
    assert set(PHONONS) <= set(CRYSTALS)
    assert len(PHONONS) == 10
    assert not set(WRAPPERS) & set(CONTROLS)
