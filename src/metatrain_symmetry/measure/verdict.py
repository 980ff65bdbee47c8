"""What asymmetry means for the use of a model: the numbers of the verdict.

Forces and stresses on rotated copies, rotated back to the structure as it is given, are
compared with what symmetry allows: no net force, no torque on a molecule, and nothing that
breaks the symmetry that the structure has. Each number has an ``fmax``: the largest force
on an atom that it leaves in any relaxation that keeps the symmetry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import ase
import numpy as np
import pandas as pd


COLUMNS = (
    "structure", "name", "symmetry", "target", "quantity", "given", "rms", "maximum",
    "noise", "unit", "fmax", "fmax_maximum", "orientations",
)  # fmt: skip

NET, TORQUE = "net force", "torque"
FORCE, STRESS = "symmetry-breaking force", "symmetry-breaking stress"

ABOVE = 10.0
"""Root mean square of rounding above which the largest of many values is none."""

SMALLEST = 1e-9
"""In eV/Å, eV and eV/Å³: what is smaller counts as zero whatever the dtype."""

ERRORS = (
    "target", "equivariance RMSE", "RMSE", "O3-averaged RMSE", "oriented RMSE", "share",
    "share_err", "unit", "structures",
)  # fmt: skip
DIRECTIONS = ("target", "o3_lambda", "o3_sigma", "share", "x", "y", "z", "along", "even")


class Projection(Protocol):
    """The symmetry of a structure."""

    def vectors(self, atoms: ase.Atoms, values: np.ndarray) -> np.ndarray:
        """Invariant part of vectors of the atoms."""

    def tensor(self, atoms: ase.Atoms, values: np.ndarray) -> np.ndarray:
        """Invariant part of a tensor of the structure."""


@dataclass
class Verdict:
    """What the asymmetry of a model means for some structures.

    :param table: one row per structure, target and quantity. Columns ``structure`` (int),
        ``name``, ``symmetry`` (space group or point group; empty if it is not known),
        ``target``, ``quantity``
        (``net force``, ``torque`` of a molecule about its centre, ``symmetry-breaking
        force``: the largest on an atom, ``symmetry-breaking stress``: its largest
        eigenvalue by size), ``given`` (in the given orientation), ``rms`` and ``maximum``
        (over orientations), ``noise`` (what is smaller is rounding), ``unit`` (``eV/A``,
        ``eV``, ``eV/A^3``), ``fmax`` and ``fmax_maximum`` (in eV/Å: below this no
        relaxation converges with the symmetry; in the given orientation and in the worst
        one), ``orientations``
    :param directions: one row per target and irrep: ``target``, ``o3_lambda``,
        ``o3_sigma``, ``share`` (of A²), ``x``, ``y``, ``z`` (the direction of the
        laboratory that has the largest part), ``along`` (its share of the irrep) and
        ``even`` (the share of every direction where none is preferred)
    :param errors: one row per target with labels: ``equivariance RMSE`` (A), ``RMSE``,
        ``O3-averaged RMSE``, ``oriented RMSE``, as metatrain calls them, and ``share``, the
        part of the squared oriented RMSE that is asymmetry, with its standard error
        ``share_err`` from the scatter over structures (NaN of a single one)
    :param sentences: one per finding
    :param fmax: largest force that relaxations leave, in eV/Å; None if not said

    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import symmetry_verdict
    >>> verdict = symmetry_verdict(EMT(), bulk("Cu", cubic=True), fmax=0.01, group="Ti")
    >>> verdict.table.quantity.tolist()
    ['net force', 'symmetry-breaking force', 'symmetry-breaking stress']
    >>> print(verdict)
    forces: net force and symmetry-breaking force are zero within rounding.
    stress: symmetry-breaking stress is zero within rounding.
    """

    table: pd.DataFrame
    directions: pd.DataFrame
    errors: pd.DataFrame
    sentences: list[str] = field(default_factory=list)
    fmax: float | None = None

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def content(self) -> dict[str, Any]:
        """Everything, for a file.

        :return: lists and dictionaries; can be written as JSON
        """
        tables = {"table": self.table, "directions": self.directions, "errors": self.errors}
        return {
            "fmax": self.fmax, "sentences": self.sentences,
            **{name: one.to_dict("records") for name, one in tables.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One structure.

    :param index: of the structure
    :param name: how messages call it
    :param atoms: in Å, as it is given
    :param exact: the same, with its symmetry to machine precision
    :param symmetry: its name; empty if unknown
    :param projection: None where there is no symmetry to break
    """

    index: int
    name: str
    atoms: ase.Atoms
    exact: ase.Atoms
    symmetry: str
    projection: Projection | None

    def row(
        self, target: str, quantity: str, values: np.ndarray, limits: np.ndarray,
        unit: str, noise: float,
    ) -> dict[str, Any]:  # fmt: skip
        """One row of the table.

        :param target: name of the target
        :param quantity: which
        :param values: first as given, then on rotated copies, ``(1 + n,)``
        :param limits: the fmax of each, ``(1 + n,)``
        :param unit: of the values
        :param noise: what is smaller is rounding
        :return: values by column
        """
        over = values[1:] if len(values) > 1 else values
        rms = float(np.mean(over**2)) ** 0.5
        entries = (
            self.index, self.name, self.symmetry, target, quantity, float(values[0]), rms,
            float(values.max()), max(noise, SMALLEST), unit, float(limits[0]),
            float(limits.max()), len(values),
        )  # fmt: skip
        return dict(zip(COLUMNS, entries, strict=True))


def rigid_rows(
    subject: Subject, target: str, forces: np.ndarray, noise: float
) -> list[dict[str, Any]]:
    """Net force, and torque of a molecule about the mean of its positions.

    :param subject: the structure
    :param target: name of the forces
    :param forces: in eV/Å, first as given, then of copies, rotated back,
        ``(1 + n, atoms, 3)``
    :param noise: root mean square of rounding, in eV/Å
    :return: rows of the table
    """
    n = len(subject.atoms)
    net = np.linalg.norm(forces.sum(axis=1), axis=1)
    bound = ABOVE * noise * n**0.5
    rows = [subject.row(target, NET, net, net / n, "eV/A", bound)]
    if n > 1 and not subject.atoms.pbc.any():
        places = _centred(subject.atoms)
        torques = np.cross(places, forces).sum(axis=1)
        size = np.linalg.norm(torques, axis=1)
        axes = torques / np.maximum(size, 1e-300)[:, None]
        # no forces turn a molecule with less than the same one on every atom
        lever = np.linalg.norm(np.cross(axes[:, None], places), axis=2).sum(axis=1)
        limits = np.where(lever > 0, size / np.where(lever > 0, lever, 1), 0.0)
        bound = ABOVE * noise * float(np.linalg.norm(places))
        rows.append(subject.row(target, TORQUE, size, limits, "eV", bound))
    return rows


def breaking_force_rows(
    subject: Subject, target: str, forces: np.ndarray, noise: float
) -> list[dict[str, Any]]:
    """Forces that break the symmetry, without those that move the structure as a whole.

    :param subject: the structure
    :param target: name of the forces
    :param forces: as for :func:`rigid_rows`, of the exact structure
    :param noise: root mean square of rounding, in eV/Å
    :return: rows of the table; none where there is no symmetry
    """
    if subject.projection is None:
        return []
    atoms, project = subject.exact, subject.projection.vectors
    inner = [_without_rigid(atoms, one) for one in forces]
    breaking = np.stack([one - project(atoms, one) for one in inner])
    largest = np.linalg.norm(breaking, axis=2).max(axis=1)
    return [subject.row(target, FORCE, largest, largest, "eV/A", ABOVE * noise)]


def breaking_stress_rows(
    subject: Subject,
    target: str,
    stresses: np.ndarray,
    matrices: np.ndarray,
    noise: float,
) -> list[dict[str, Any]]:
    """Stress that breaks the symmetry.

    Its fmax is that of ASE's cell filters: the longest row of volume · stress / atoms.

    :param subject: the structure
    :param target: name of the stress
    :param stresses: of the exact structure, in eV/Å³, first as given, then of copies,
        rotated back, ``(1 + n, 3, 3)``
    :param matrices: that rotated the copies, ``(1 + n, 3, 3)``
    :param noise: root mean square of rounding, in eV/Å³
    :return: rows of the table; none where there is no symmetry
    """
    if subject.projection is None:
        return []
    atoms, project = subject.exact, subject.projection.tensor
    breaking = np.stack([one - project(atoms, one) for one in stresses])
    largest = np.abs(np.linalg.eigvalsh(breaking)).max(axis=1)
    rows = matrices @ breaking @ matrices.transpose(0, 2, 1)
    virial = rows * atoms.get_volume() / len(atoms)
    limits = np.linalg.norm(virial, axis=2).max(axis=1)
    return [subject.row(target, STRESS, largest, limits, "eV/A^3", ABOVE * noise)]


def error_row(
    target: str, sums: Mapping[str, float], unit: str, parts: np.ndarray
) -> dict[str, Any]:
    """The three errors of a target, and how much of them is asymmetry.

    :param target: its name
    :param sums: ``A``, ``error``, ``averaged`` (sums of squares over components, as far as
        they have labels), ``components``, ``structures`` and ``noise`` (of one component,
        from rounding)
    :param unit: of the errors
    :param parts: ``A`` and ``averaged`` of each structure, shape ``(structures, 2)``
    :return: values by column
    """
    A, error, averaged = (
        sums[name] / sums["components"] for name in ("A", "error", "averaged")
    )
    oriented = A + averaged
    share = A / oriented if oriented**0.5 > ABOVE * sums["noise"] else float("nan")
    values = (target, A**0.5, error**0.5, averaged**0.5, oriented**0.5, share,
              share_error(parts), unit, int(sums["structures"]))  # fmt: skip
    return dict(zip(ERRORS, values, strict=True))


def share_error(parts: np.ndarray) -> float:
    """Standard error of a ratio of sums over structures, to first order.

    :param parts: squared A and squared error of the average, of each structure,
        shape ``(structures, 2)``
    :return: of the share of A in both, NaN for less than two structures
    """
    n, both = len(parts), parts.sum(axis=1)
    if n < 2 or not both.sum() > 0:
        return float("nan")
    left = parts[:, 0] - parts[:, 0].sum() / both.sum() * both
    return float((n / (n - 1) * (left**2).sum()) ** 0.5 / both.sum())


def _centred(atoms: ase.Atoms) -> np.ndarray:
    return np.asarray(atoms.positions - atoms.positions.mean(axis=0))


def _without_rigid(atoms: ase.Atoms, forces: np.ndarray) -> np.ndarray:
    """Forces without the part that moves, and turns a molecule, as a whole."""
    inner = forces - forces.mean(axis=0)
    if atoms.pbc.any():
        return inner
    places = _centred(atoms)
    inertia = (places**2).sum() * np.eye(3) - places.T @ places
    torque = np.cross(places, inner).sum(axis=0)
    turning = np.linalg.pinv(inertia, rcond=1e-10, hermitian=True) @ torque
    return np.asarray(inner - np.cross(turning, places))
