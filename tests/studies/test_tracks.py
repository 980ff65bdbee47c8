"""Simulated tracks: the model of muons, electrons, and what an event holds."""

import argparse

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.makers import _ionisation as io
from benchmarks.makers import tracks


Z = np.array([0.0, 0.0, 1.0])


def fake_electron(energy, rng):
    """A straight one: 2 MeV/cm along z."""
    count = max(int(energy / (2 * io.PITCH)), 1)
    places = np.arange(count)[:, None] * io.PITCH * Z + 0.5 * io.PITCH
    return places, np.full(count, energy / count)


def test_directions():
    rng = np.random.default_rng(0)
    for direction in [Z, -Z, *(io.isotropic(rng) for _ in range(5))]:
        np.testing.assert_allclose(io.onto(direction).apply(Z), direction, atol=1e-12)
        other = io.around(direction, 0.3, rng)
        assert other @ direction == pytest.approx(np.cos(0.3))


def test_a_muon_scatters_as_highland_says():
    # of 1 GeV, over 30 steps, in which it loses a few percent of its energy
    rng = np.random.default_rng(1)
    found = [io.muon(np.zeros(3), Z, 1000.0, 30 * io.PITCH, rng) for _ in range(400)]
    last = np.array([one.directions[-1] for one in found])
    momentum = 1000 * np.sqrt(1 + 2 * io.MUON / 1000)
    layers = io.PITCH / 14.0
    step = 13.6 / (momentum * momentum / (1000 + io.MUON)) * np.sqrt(layers)
    step *= 1 + 0.038 * np.log(layers)
    assert io.highland(1000.0, io.PITCH) == pytest.approx(step)
    spread = np.sqrt((last[:, :2] ** 2).mean())
    assert spread == pytest.approx(step * np.sqrt(30), rel=0.1)
    assert not any(one.stops for one in found)


def test_a_muon_loses_what_a_mip_does_and_stops_when_it_has_nothing():
    rng = np.random.default_rng(2)
    fast = [io.muon(np.zeros(3), Z, 3000.0, 30.0, rng, least=1e9) for _ in range(100)]
    loss = np.mean([one.energies.sum() for one in fast]) / 30
    assert loss == pytest.approx(io.MIP, rel=0.03)
    slow = io.muon(np.zeros(3), Z, 60.0, 1e3, rng, least=1e9)
    assert slow.stops
    assert slow.energies.sum() == pytest.approx(60.0, abs=io.THRESHOLD)
    # more where it is slow
    assert slow.energies[-8:-2].mean() > 1.5 * slow.energies[:6].mean()


def test_electrons_that_are_knocked_on():
    rng = np.random.default_rng(3)
    found = [io.muon(np.zeros(3), Z, 2000.0, 30.0, rng) for _ in range(400)]
    energies = np.array([energy for one in found for energy, _ in one.deltas])
    length, most = 400 * 30.0, 50.0
    expected = io.HARD * length * (1 / 1.5 - 1 / most)
    assert len(energies) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    # a spectrum of 1 / T²: its median is at the mean of 1/T at both ends
    assert np.median(energies) == pytest.approx(2 / (1 / 1.5 + 1 / most), rel=0.06)
    assert io.delta_angle(1e9) == pytest.approx(0, abs=1e-3)


def test_spectrum_of_michel():
    rng = np.random.default_rng(4)
    energies = [io.michel_energy(rng) for _ in range(4000)]
    # mean of x is 0.7; what is above the tables counts as their end
    assert np.mean(energies) == pytest.approx(0.7 * 52.8, rel=0.02)
    assert max(energies) <= io.LARGEST


def test_the_core_is_what_touches_the_start():
    chain = np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.4], [0.4, 0.1, 0.7]])
    far = np.array([[0.1, 0.1, 1.5], [3.0, 3.0, 3.0]])
    places, energies = io.core((np.vstack([far, chain]), np.arange(5.0)))
    np.testing.assert_array_equal(places, chain)
    np.testing.assert_array_equal(energies, [2, 3, 4])


def test_events():
    made = [tracks.make(index, 0, fake_electron) for index in range(40)]
    again = tracks.make(3, 0, fake_electron)
    np.testing.assert_array_equal(made[3]["points"], again["points"])
    assert not np.array_equal(tracks.make(3, 1, fake_electron)["labels"], again["labels"])
    for one in made:
        assert len(one["points"]) == len(one["labels"]) <= tracks.MOST
        assert tracks.inside(one["points"][:, :3]).all()
        assert (one["points"][:, 3] > 0).all()
    labels = np.concatenate([one["labels"] for one in made])
    assert set(labels) == {0, 1, 2, 3}


def test_a_michel_starts_where_its_muon_ends():
    rng = np.random.default_rng(5)
    stopped = io.muon(np.zeros(3), Z, 20.0, 1e3, rng)
    (decay,), _ = tracks.electrons_of(stopped, rng, fake_electron)
    gap = np.linalg.norm(decay[0][0] - stopped.places[-1])
    assert gap < io.PITCH
    crossing = io.muon(np.zeros(3), Z, 1000.0, 3.0, rng)
    assert tracks.electrons_of(crossing, rng, fake_electron)[0] == []


def test_files(tmp_path):
    records = [tracks.make(index, 0, fake_electron) for index in range(3)]
    about = tracks.write(tmp_path, records)
    with np.load(tmp_path / "tracks.npz") as arrays:
        assert arrays["lengths"].tolist() == [len(one["labels"]) for one in records]
        np.testing.assert_array_equal(arrays["points"][-1], records[-1]["points"][-1])
    assert sum(about["points"].values()) == sum(len(one["labels"]) for one in records)
    quick = argparse.Namespace(quick=True, structures=None, seed=0)
    assert tracks.settings_of(quick)["simulated"] is True


class TestOmpmc:
    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("ompmc")

    def test_one_electron_at_a_time(self, capfd):
        rng = np.random.default_rng(0)
        lost = []
        for _ in range(4):
            places, energies = io.electron(10.0, rng)
            assert energies.sum() <= 10 + 1e-6
            lost.append(10 - energies.sum())
            assert np.linalg.norm(places, axis=1).min() < 2 * io.PITCH
        # photons get away, and deposits below the threshold are not seen
        assert np.median(lost) < 2
        assert capfd.readouterr().out == ""

    def test_the_same_seed_the_same_electron(self):
        first, second = (io.electron(8.0, np.random.default_rng(7)) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])

    def test_an_electron_beyond_the_tables(self):
        with pytest.raises(ValueError, match="beyond the tables"):
            io.electron(60.0, np.random.default_rng(0))


def test_an_electron_is_aimed():
    rng = np.random.default_rng(6)
    direction, start = io.isotropic(rng), np.array([1.0, 2.0, 3.0])
    line = (np.arange(4)[:, None] * Z, np.ones(4))
    places, _ = io.aimed(line, start, direction, rng)
    np.testing.assert_allclose(places, start + np.arange(4)[:, None] * direction)
    turned = Rotation.random(None, rng).apply(places)
    assert np.linalg.norm(turned[3] - turned[0]) == pytest.approx(3)
