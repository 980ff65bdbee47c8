"""Calculators that are not equivariant, by known amounts."""

from typing import ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list


class Field(Calculator):
    """``Σ_i k |u_i|²/2 + a z_i⁴ + b z_i³``, u from the mean of positions; and a dipole."""

    implemented_properties: ClassVar = ["energy", "forces", "dipole"]

    def __init__(self, k=0.0, quartic=0.0, cubic=0.0):
        super().__init__()
        self.k, self.quartic, self.cubic = k, quartic, cubic
        self.evaluations = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.evaluations += 1
        u = self.atoms.positions - self.atoms.positions.mean(axis=0)
        z = u[:, 2]
        energy = self.k * (u**2).sum() / 2 + (self.quartic * z**4 + self.cubic * z**3).sum()
        gradient = self.k * u
        gradient[:, 2] += 4 * self.quartic * z**3 + 3 * self.cubic * z**2
        dipole = self.atoms.numbers @ u + np.array([0.0, 0.0, 0.3])
        self.results = {
            "energy": energy, "forces": gradient.mean(axis=0) - gradient, "dipole": dipole,
        }  # fmt: skip


class Morse(Calculator):
    """A Morse potential of distances in a strained metric: cubic crystals become triclinic.

    :param strain: symmetric matrix M - 1, with distances ``(r M r)^(1/2)``
    """

    implemented_properties: ClassVar = ["energy", "forces", "stress"]

    def __init__(self, strain, length=2.6, cutoff=5.0):
        super().__init__()
        self.metric = np.eye(3) + np.asarray(strain)
        self.length, self.cutoff = length, cutoff
        self.handedness = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.handedness.append(np.linalg.det(self.atoms.cell))
        # far enough for the strained metric
        i, r = neighbor_list("iD", self.atoms, 1.2 * self.cutoff)
        q = np.sqrt(np.einsum("pi,ij,pj->p", r, self.metric, r))
        i, r, q = (part[q < self.cutoff] for part in (i, r, q))
        exponential = np.exp(-1.5 * (q - self.length))
        smooth = (1 - (q / self.cutoff) ** 2) ** 3
        well = exponential**2 - 2 * exponential
        slope = -3.0 * (exponential**2 - exponential) * smooth
        slope -= well * 6 * q / self.cutoff**2 * (1 - (q / self.cutoff) ** 2) ** 2
        pull = (slope / q)[:, None] * (r @ self.metric)
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pull)
        self.results = {"energy": (well * smooth).sum() / 2, "forces": forces}
        if self.atoms.cell.rank == 3:
            stress = pull.T @ r / 2 / self.atoms.get_volume()
            stress = (stress + stress.T) / 2
            self.results["stress"] = stress.ravel()[[0, 4, 8, 5, 2, 1]]


STRAIN = [[0.05, 0.02, 0.01], [0.02, -0.03, 0.015], [0.01, 0.015, 0.02]]
