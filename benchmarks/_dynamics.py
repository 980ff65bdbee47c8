"""Molecular dynamics at constant energy, and what it conserves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import ase
import ase.io
import numpy as np
import torch
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    is_atomistic_model,
    systems_to_torch,
)
from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists

from metatrain_symmetry.models.states import load


DATA = Path(__file__).parent.parent / "data" / "xtb_molecules.xyz"
TIMESTEP = 0.5  # fs
PS = 1000 * units.fs
HBAR = units._hbar * units.J * units.second
HOTTEST = 5000.0  # K
FARTHEST = 5.0  # Å
DIRECT = "non_conservative_force"
KINDS = ("conservative", "direct", "direct, centred")


class ModelCalculator(Calculator):
    """Energy and forces of a checkpoint, as the model predicts them.

    MetatomicCalculator always subtracts the mean from direct forces, which would hide the
    net force that is measured here.

    :param path: checkpoint, in Å, with an energy and, for direct forces, ``DIRECT``
    :param kind: of forces: the gradient of the energy, those predicted, or those without
        their mean over the atoms, as MetatomicCalculator has them; see ``KINDS``
    :param dtype: to evaluate in
    :raises ValueError: if it is no checkpoint, in another unit, or if a target is missing
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, path: Path, kind: str, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.kind, self.direct, self.dtype = kind, kind != "conservative", dtype
        self.outputs = {"energy": ModelOutput(unit="eV", sample_kind="system")}
        if self.direct:
            self.outputs[DIRECT] = ModelOutput(unit="eV/Angstrom", sample_kind="atom")
        exported, self.model = _open(path, dtype)
        missing = [n for n in self.outputs if n not in exported.capabilities().outputs]
        if missing:
            raise ValueError(
                f"'{path.name}' does not predict '{missing[0]}': give another checkpoint"
            )
        self.requests = exported.requested_neighbor_lists()

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Any = ("energy", "forces"),
        system_changes: Any = all_changes,
    ) -> None:
        """Evaluate the model once for energy (eV) and forces (eV/Å)."""
        super().calculate(atoms, list(properties), system_changes)
        system = systems_to_torch(
            self.atoms, dtype=self.dtype, positions_requires_grad=not self.direct
        )
        system = get_system_with_neighbor_lists(system, self.requests)
        options = ModelEvaluationOptions("angstrom", self.outputs, None)
        with torch.set_grad_enabled(not self.direct):
            found = self.model([system], options, check_consistency=False)
        energy = found["energy"].block().values
        if self.direct:
            forces = found[DIRECT].block().values.reshape(-1, 3)
        else:
            (gradient,) = torch.autograd.grad(energy.sum(), system.positions)
            forces = -gradient
        if self.kind == "direct, centred":
            forces = forces - forces.mean(0)
        self.results = {"energy": energy.item(), "forces": forces.double().numpy()}


@cache
def _open(path: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """A checkpoint's best state in a dtype: exported, and in TorchScript."""
    model = load(path).model
    if is_atomistic_model(model):
        raise ValueError(f"'{path.name}' is an exported model: give the checkpoint")
    exported = model.to(dtype).eval().export()
    unit = exported.capabilities().length_unit
    if unit.lower() not in ("angstrom", "a", "å"):
        raise ValueError(f"'{path.name}' is in {unit}: give a model in angstrom")
    return exported, torch.jit.script(exported)  # a third faster than plain Python


def molecule(name: str) -> ase.Atoms:
    """The conformer of lowest energy of a molecule in the data set.

    :param name: as in the data set
    :return: without a calculator
    """
    frames = [a for a in ase.io.read(DATA, ":") if a.info["molecule"] == name]
    best = min(frames, key=lambda frame: frame.get_potential_energy())
    return ase.Atoms(best.numbers, best.positions)


def thermalize(atoms: ase.Atoms, kelvin: float, seed: int) -> None:
    """Draw velocities, without total momentum and angular momentum.

    :param atoms: three or more atoms, not on a line; they get the velocities
    :param kelvin: temperature of the Maxwell-Boltzmann distribution
    :param seed: of the random numbers
    """
    rng = np.random.default_rng(seed)
    widths = np.sqrt(atoms.get_masses() * units.kB * kelvin)
    atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * widths[:, None])
    Stationary(atoms, preserve_temperature=False)
    ZeroRotation(atoms, preserve_temperature=False)


@dataclass
class Trace:
    """What a trajectory was like, one entry a step, the first at time zero.

    :param n_atoms: number of atoms
    :param times: ps
    :param energies: potential and kinetic energy, eV
    :param temperatures: of the motion relative to the centre of mass, 3 N - 6 degrees of
        freedom, K
    :param momenta: total momentum, u Å/ps
    :param angular: angular momentum about the centre of mass, ħ
    :param net_forces: eV/Å
    :param torques: about the centre of mass, eV
    :param stopped: why it ended early, empty if it did not
    """

    n_atoms: int
    times: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    momenta: list[np.ndarray] = field(default_factory=list)
    angular: list[np.ndarray] = field(default_factory=list)
    net_forces: list[np.ndarray] = field(default_factory=list)
    torques: list[np.ndarray] = field(default_factory=list)
    stopped: str = ""

    def record(self, atoms: ase.Atoms, ps: float) -> None:
        """Add the state that atoms are in.

        :param atoms: with a calculator
        :param ps: time
        """
        forces, momenta = atoms.get_forces(), atoms.get_momenta()
        total, kinetic = momenta.sum(0), atoms.get_kinetic_energy()
        thermal = kinetic - total @ total / (2 * atoms.get_masses().sum())
        arms = atoms.positions - atoms.get_center_of_mass()
        self.times.append(ps)
        self.energies.append(float(atoms.get_potential_energy() + kinetic))
        self.temperatures.append(2 * thermal / (units.kB * (3 * len(atoms) - 6)))
        self.momenta.append(total * PS)
        self.angular.append(np.cross(arms, momenta).sum(0) / HBAR)
        self.net_forces.append(forces.sum(0))
        self.torques.append(np.cross(arms, forces).sum(0))

    def summary(self) -> dict[str, Any]:
        """The numbers of a results file; units are in the names."""
        times = np.array(self.times)
        # meV/atom, above the start
        energy = (np.array(self.energies) - self.energies[0]) * 1000 / self.n_atoms
        momentum, angular = _gain(self.momenta), _gain(self.angular)
        drift = np.polyfit(times, energy, 1)[0] if len(times) > 1 else float("nan")
        return {
            "time_ps": self.times[-1],
            "stopped": self.stopped,
            "energy_drift_meV_per_atom_ps": _number(drift),
            "energy_max_deviation_meV_per_atom": _number(abs(energy).max()),
            "temperature_mean_K": _number(np.mean(self.temperatures)),
            "temperature_end_K": _number(self.temperatures[-1]),
            "momentum_end_u_A_per_ps": _number(momentum[-1]),
            "momentum_max_u_A_per_ps": _number(momentum.max()),
            "angular_momentum_end_hbar": _number(angular[-1]),
            "angular_momentum_max_hbar": _number(angular.max()),
            "net_force_rms_eV_per_A": _number(_rms(self.net_forces)),
            "torque_rms_eV": _number(_rms(self.torques)),
        }


def _gain(vectors: list[np.ndarray]) -> np.ndarray:
    return np.linalg.norm(np.array(vectors) - vectors[0], axis=1)


def _rms(vectors: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.sum(np.square(vectors), axis=1))))


def _number(value: Any) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def why_stop(atoms: ase.Atoms, kelvin: float) -> str:
    """Whether a trajectory has left physics behind.

    :param atoms: where they are
    :param kelvin: their temperature
    :return: the reason, empty if there is none
    """
    if not np.isfinite(kelvin) or kelvin > HOTTEST:
        return f"hotter than {HOTTEST:g} K"
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    if distances.min(1).max() > FARTHEST:
        return f"an atom is further than {FARTHEST:g} Å from all others"
    return ""


def nve(atoms: ase.Atoms, ps: float, timestep: float = TIMESTEP) -> Trace:
    """Integrate Newton's equations by velocity Verlet.

    :param atoms: with velocities and a calculator; they move
    :param ps: for how long, unless :func:`why_stop` has a reason
    :param timestep: fs
    :return: all steps that were reached
    """
    steps = round(1000 * ps / timestep)
    dynamics, trace = VelocityVerlet(atoms, timestep=timestep * units.fs), Trace(len(atoms))
    for _ in dynamics.irun(steps):
        trace.record(atoms, len(trace.times) * timestep / 1000)
        trace.stopped = why_stop(atoms, trace.temperatures[-1])
        if trace.stopped:
            break
    return trace


def case(name: str, path: Path, kind: str, ps: float, seed: int) -> dict[str, Any]:
    """Run one molecule with one kind of forces of one model.

    :param name: of the molecule
    :param path: checkpoint
    :param kind: of :data:`KINDS`
    :param ps: for how long
    :param seed: of the velocities
    :return: numbers of the trajectory, and of the time that a step took
    """
    atoms = molecule(name)
    thermalize(atoms, 300.0, seed)
    atoms.calc = ModelCalculator(path, kind)
    for _ in range(3):  # TorchScript compiles when it is first run
        atoms.calc.calculate(atoms)
    start = time.perf_counter()
    trace = nve(atoms, ps)
    seconds = time.perf_counter() - start
    steps = max(len(trace.times) - 1, 1)
    return {
        "molecule": name,
        "forces": kind,
        **trace.summary(),
        "ms_per_step": 1000 * seconds / steps,
    }
