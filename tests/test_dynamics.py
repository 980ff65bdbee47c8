"""The benchmark of molecular dynamics: closed forms, and the models' own forces."""

import json
import sys

import ase
import numpy as np
import pytest
import torch
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from common import energy_info, pet_ssh
from metatomic_ase import MetatomicCalculator
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from scipy import constants

from benchmarks import dynamics
from benchmarks._dynamics import (
    DIRECT,
    HBAR,
    ModelCalculator,
    Trace,
    molecule,
    nve,
    thermalize,
)


SPRING = 0.5  # eV/Å^2
TINY = {"d_pet": 8, "d_head": 8, "d_node": 8, "d_feedforward": 8, "num_heads": 1}
TINY |= {"num_gnn_layers": 1, "num_attention_layers": 1, "cutoff": 3.5}


class Springs(Calculator):
    """Springs without length between all pairs, and a force and torque of its own (z).

    The torque about the centre of mass is constant whatever the atoms do in the xy plane.
    No energy belongs to the two.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(self, spring, force=(0.0, 0.0, 0.0), torque=0.0):
        super().__init__()
        self.spring, self.force, self.torque = spring, np.array(force), torque

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        r = self.atoms.positions
        pairs = r[:, None] - r[None]
        arms = (r - self.atoms.get_center_of_mass()) * [1, 1, 0]
        swirl = np.cross([0, 0, 1], arms) * self.torque / np.square(arms).sum()
        forces = -self.spring * pairs.sum(1) + swirl + self.force
        energy = self.spring * np.square(pairs).sum() / 4
        self.results = {"energy": energy, "forces": forces}


def triangle(**options):
    atoms = ase.Atoms("C3", [[0, 0, 0], [0.4, 0.1, 0.2], [0.0, 0.5, -0.1]])
    atoms.calc = Springs(SPRING, **options)
    return atoms


@pytest.mark.parametrize("timestep", [1.0, 0.5])
def test_harmonic_energy_and_sum_rules(timestep):
    """Every coordinate is an oscillator with ω² = 3 k / m.

    Verlet keeps p²/2m + (1 - (ω dt)²/4) m ω² x²/2 exactly. So the energy is off by at most
    (ω dt)²/4 of the potential energy at the start, where all are at rest.
    """
    atoms = triangle()
    start = atoms.get_potential_energy()
    found = nve(atoms, 0.5, timestep).summary()
    square = 3 * SPRING / atoms.get_masses()[0] * (timestep * units.fs) ** 2
    bound = 1000 * start * square / 4 / 3  # meV/atom
    # the passage through zero falls between two steps
    assert bound * (1 - square) < found["energy_max_deviation_meV_per_atom"] <= bound
    assert abs(found["energy_drift_meV_per_atom_ps"]) < bound
    for name in ("momentum_max_u_A_per_ps", "angular_momentum_max_hbar",
                 "net_force_rms_eV_per_A", "torque_rms_eV"):  # fmt: skip
        assert found[name] < 1e-10, name
    assert found["stopped"] == ""
    assert found["time_ps"] == pytest.approx(0.5)


def test_a_constant_force_and_torque():
    """Momenta grow as force and torque times time, in units taken from CODATA."""
    force, torque, ps = np.array([0.0, 0.003, 0.004]), 0.02, 0.1
    atoms = triangle(force=force, torque=torque)
    atoms.positions[:, 2] = 0  # in one plane, where the torque is along z
    found = nve(atoms, ps).summary()
    joule, second = constants.e, 1e-12
    gained = 3 * 0.005 * joule / 1e-10 * ps * second  # kg m/s
    unit = constants.atomic_mass * 1e-10 / second
    assert found["momentum_end_u_A_per_ps"] == pytest.approx(gained / unit, rel=1e-6)
    turned = torque * joule * ps * second / constants.hbar
    assert found["angular_momentum_end_hbar"] == pytest.approx(turned, rel=1e-6)
    assert found["angular_momentum_max_hbar"] == found["angular_momentum_end_hbar"]
    assert found["net_force_rms_eV_per_A"] == pytest.approx(0.015, rel=1e-9)
    assert found["torque_rms_eV"] == pytest.approx(torque, rel=1e-9)


def test_a_uniform_force_is_no_heat():
    """A falling molecule is as hot as one at rest; its total energy is not the same."""
    force = np.array([0.5, 0.0, 0.0])
    rest, falling = nve(triangle(), 0.1), nve(triangle(force=force), 0.1)
    np.testing.assert_allclose(falling.temperatures, rest.temperatures, atol=1e-6)
    mass, time = triangle().get_masses().sum(), 100 * units.fs
    fallen = (3 * 0.5 * time) ** 2 / (2 * mass)
    assert falling.energies[-1] - rest.energies[-1] == pytest.approx(fallen, rel=1e-9)


def test_the_drift_is_the_slope():
    times = [0.0, 0.5, 1.0, 1.5]
    trace = Trace(2, times, [1 + 0.004 * t for t in times], [300.0] * 4)
    trace.momenta = trace.angular = trace.net_forces = trace.torques = [np.zeros(3)] * 4
    found = trace.summary()
    assert found["energy_drift_meV_per_atom_ps"] == pytest.approx(2)
    assert found["energy_max_deviation_meV_per_atom"] == pytest.approx(3)


@pytest.mark.parametrize(
    ("spring", "speed", "reason"),
    [(-50.0, 0.0, "hotter than 5000 K"), (0.0, 0.2, "an atom is further than 5 Å")],
)
def test_what_leaves_physics_is_stopped(spring, speed, reason):
    atoms = triangle()
    atoms.calc = Springs(spring)
    atoms.set_velocities([[0, 0, 0], [0, 0, 0], [speed, 0, 0]])
    found = nve(atoms, 1.0).summary()
    assert found["stopped"].startswith(reason)
    assert 0 < found["time_ps"] < 1
    json.dumps(found, allow_nan=False)


def test_velocities_at_the_start():
    atoms, kelvin = molecule("ethanol"), []
    for seed in range(200):
        thermalize(atoms, 300.0, seed)
        kelvin.append(2 * atoms.get_kinetic_energy() / (21 * units.kB))
        assert np.abs(atoms.get_momenta().sum(0)).max() < 1e-12
        assert np.abs(atoms.get_angular_momentum()).max() / HBAR < 1e-10
    # a sum of 21 squares of normal numbers
    error = 300 * np.sqrt(2 / 21 / 200)
    assert abs(np.mean(kelvin) - 300) < 4 * error


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    options = {"quantity": "", "unit": "eV/A", "type": {"cartesian": {"rank": 1}}}
    options |= {"num_subtargets": 1, "sample_kind": "atom"}
    targets = {**energy_info(gradients=True).targets}
    targets[DIRECT] = get_generic_target_info(DIRECT, options)
    model = pet_ssh(DatasetInfo("angstrom", [1, 6, 7, 8], targets), **TINY)
    path = tmp_path_factory.mktemp("dynamics") / "model.ckpt"
    torch.save(model.get_checkpoint() | {"epoch": 3, "best_epoch": 2}, path)
    return path, model


def test_the_forces_are_those_of_metatomic(checkpoint):
    path, model = checkpoint
    atoms = molecule("formamide")
    found = {}
    for kind in dynamics.KINDS:
        atoms.calc = ModelCalculator(path, kind)
        found[kind] = atoms.get_potential_energy(), atoms.get_forces()
    exported = model.to(torch.float64).eval().export()
    for kind, direct in (("conservative", False), ("direct, centred", "forces")):
        atoms.calc = MetatomicCalculator(exported, non_conservative=direct)
        forces = atoms.get_forces()
        assert np.abs(forces).max() > 1e-3
        np.testing.assert_allclose(found[kind][1], forces, atol=1e-12)
        assert found[kind][0] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    raw = found["direct"][1]
    assert np.abs(raw.sum(0)).max() > 1e-3
    np.testing.assert_allclose(raw - raw.mean(0), found["direct, centred"][1], atol=1e-12)


def test_the_command(checkpoint, tmp_path, monkeypatch, capsys):
    path, _ = checkpoint
    output = tmp_path / "new" / "dynamics.json"
    monkeypatch.setattr(dynamics, "MOLECULES", ("formamide",))
    words = ["--before", str(path), "--after", str(path), f"--output={output}"]
    monkeypatch.setattr(sys, "argv", ["dynamics", *words, "--ps", "0.001"])
    dynamics.main()
    text = output.read_text()
    assert str(tmp_path) not in text
    assert str(path.parent) not in text
    cases = json.loads(text)["cases"]
    assert len(cases) == 6
    for kind in dynamics.KINDS:
        one, other = (cases[f"formamide, {kind}, {m}"] for m in ("before", "after"))
        strip = {"model": "", "ms_per_step": 0}
        assert one | strip == other | strip
        assert one["time_ps"] == pytest.approx(0.001)
    rows = [r for r in capsys.readouterr().out.splitlines() if r.startswith("| formamide")]
    assert len(rows) == 6


def test_a_checkpoint_without_direct_forces_is_refused(tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.ckpt"
    torch.save(pet_ssh(energy_info(), **TINY).get_checkpoint(), path)
    words = ["--before", str(path), "--after", str(path)]
    monkeypatch.setattr(sys, "argv", ["dynamics", *words])
    with pytest.raises(SystemExit):
        dynamics.main()
    assert f"does not predict '{DIRECT}'" in capsys.readouterr().err
