"""Data makers: what they make is what they say, and a killed one goes on."""

import subprocess
import sys
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

from benchmarks.makers import _parts, chbrclf, mad


ROOT = Path(__file__).parents[2]
TURN = Rotation.random(None, np.random.default_rng(3)).as_matrix()


def run(module, folder, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(
        [*command, "--output-dir", str(folder)], cwd=ROOT, capture_output=True, text=True
    )


def record(index):
    return {"x": np.random.default_rng(index).normal(size=3), "n": np.array(f"no {index}")}


def test_a_killed_maker_goes_on(tmp_path):
    made = []

    def make(index):
        if index == 30 and len(made) == 30:
            raise KeyboardInterrupt
        made.append(index)
        return record(index)

    with pytest.raises(KeyboardInterrupt):
        _parts.in_parts(tmp_path / "a", 45, make, size=20)
    records = _parts.in_parts(tmp_path / "a", 45, make, size=20)
    # the part that was begun is made again, the one before it is not
    assert made == [*range(30), *range(20, 45)]
    for found, expected in zip(records, map(record, range(45)), strict=True):
        np.testing.assert_array_equal(found["x"], expected["x"])
        assert str(found["n"]) == str(expected["n"])


def test_other_settings_have_other_parts(tmp_path):
    assert _parts.parts_of(tmp_path, {"seed": 0}) != _parts.parts_of(tmp_path, {"seed": 1})


def test_chbrclf(tmp_path):
    first = run("benchmarks.makers.chbrclf", tmp_path, "--quick")
    assert first.returncode == 0, first.stderr
    frames = ase.io.read(tmp_path / "chbrclf.xyz", ":")
    targets = np.array([atoms.info["triple_product"] for atoms in frames])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chbrclf.json",
        "chbrclf.xyz",
    ]
    # both hands, in turn
    assert (targets > 0).sum() == (targets < 0).sum() == 30
    for atoms, target in zip(frames, targets, strict=True):
        positions = atoms.positions
        assert chbrclf.triple_product(positions) == pytest.approx(target)
        assert chbrclf.triple_product(positions @ TURN.T) == pytest.approx(target)
        assert chbrclf.triple_product(-positions @ TURN.T) == pytest.approx(-target)
    before = (tmp_path / "chbrclf.xyz").read_bytes()
    again = run("benchmarks.makers.chbrclf", tmp_path, "--quick")
    assert "is there already" in again.stdout
    other = run("benchmarks.makers.chbrclf", tmp_path / "other", "--quick")
    assert other.returncode == 0
    assert (tmp_path / "other" / "chbrclf.xyz").read_bytes() == before


class TestSolids:
    @pytest.fixture(autouse=True)
    def maker(self):
        pytest.importorskip("chgnet")
        from benchmarks.makers import chgnet_solids

        self.maker = chgnet_solids

    def test_elements(self):
        from benchmarks.makers._prototypes import molecules, solids

        known = [*solids().values(), *molecules().values()]
        assert len({z for atoms in known for z in atoms.numbers}) >= 14
        for atoms in solids().values():
            self.maker.require_right_handed(atoms)

    @pytest.mark.parametrize("index", [0, 17, 50])
    def test_labels_are_covariant(self, index):
        frame = self.maker.as_atoms(self.maker.make(index, 60, 0))
        again = self.maker.as_atoms(self.maker.make(index, 60, 0))
        np.testing.assert_array_equal(frame.positions, again.positions)
        errors = self.maker.covariance_errors(frame, 1)
        assert max(errors.values()) < self.maker.TOLERANCE
        # far from trivial
        assert abs(frame.get_forces()).max() > 100 * self.maker.TOLERANCE

    def test_left_handed_cells_are_refused(self):
        atoms = ase.build.bulk("MgO", "rocksalt", a=4.2, cubic=True)
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
        with pytest.raises(ValueError, match="right-handed order"):
            self.maker.compute(atoms)


class TestDensities:
    @pytest.fixture(autouse=True)
    def maker(self):
        pytest.importorskip("pyscf")
        pytest.importorskip("rdkit")
        from benchmarks.makers import densities

        self.maker = densities

    def test_checks_and_normalisation(self, tmp_path):
        import metatensor.torch as mts

        records = [self.maker.make(i, self.maker.TRAINED, 0) for i in range(3)]
        self.maker.check(self.maker.as_atoms(records[0]), 0)
        self.maker.write(tmp_path, "few", records, self.maker.factors_of(records))
        block = mts.load(str(tmp_path / "few.mts")).block()
        numbers = np.concatenate([one["numbers"] for one in records])
        values = block.values.numpy()[:, :, 0]
        assert values.shape == (len(numbers), 17)
        for number in np.unique(numbers):
            size = np.sqrt(np.mean(values[numbers == number] ** 2))
            assert size == pytest.approx(1)

    def test_unseen_molecules_are_unseen(self):
        assert not set(self.maker.TRAINED.values()) & set(self.maker.UNSEEN.values())


class TestMad:
    @pytest.fixture
    def frames(self):
        frames = [ase.build.bulk("Al", cubic=True), ase.build.molecule("H2O")]
        for atoms in frames:
            stress = {"stress": np.arange(6.0)} if atoms.pbc.all() else {}
            forces = np.ones((len(atoms), 3))
            atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=forces, **stress)
        return frames

    def test_copy(self, frames, tmp_path):
        ase.io.write(tmp_path / "file.xyz", frames)
        done = run("benchmarks.makers.mad", tmp_path, tmp_path / "file.xyz")
        assert done.returncode == 0, done.stderr
        found = {len(a): a for a in ase.io.read(tmp_path / "mad.xyz", ":")}
        np.testing.assert_allclose(
            found[4].info["non_conservative_stress"], frames[0].get_stress(voigt=False)
        )
        assert np.isnan(found[3].info["non_conservative_stress"]).all()

    def test_complaints(self, frames, tmp_path):
        frames[0].set_cell(frames[0].cell.array[[1, 0, 2]])
        with pytest.raises(ValueError, match="structure 5 has a left-handed"):
            mad.prepared(frames[0], 5)
        with pytest.raises(ValueError, match="no 'energy'"):
            mad.prepared(ase.build.molecule("H2O"), 0)
        done = run("benchmarks.makers.mad", tmp_path, tmp_path / "none.xyz")
        assert done.returncode == 1
        assert "there is no file" in done.stderr
