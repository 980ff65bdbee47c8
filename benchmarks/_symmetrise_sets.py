"""Sets of rotations that calculators average over: ours, metatomic-ase's, those of i-PI."""

from __future__ import annotations

from dataclasses import dataclass

import metatomic_ase
import numpy as np
from scipy.integrate import lebedev_rule
from scipy.spatial.transform import Rotation

from metatrain_symmetry.groups import named_group


GROUPS = ("1", "i", "D2", "T", "O", "Ti", "Oi", "I", "Ii")

OURS, METATOMIC = "groups", "metatomic-ase"
LEGENDRE, LEBEDEV = "i-PI, Legendre", "i-PI, Lebedev"

DEGREES = (0, 1, 2, 3, 4)
"""``l_max`` of metatomic-ase; its default is 3."""


@dataclass(frozen=True)
class Points:
    """What an average is taken over.

    :param family: whose set it is
    :param name: for tables
    :param inversion: whether each rotation comes with its product with inversion
    :param matrices: orthogonal, shape ``(n, 3, 3)``
    :param weights: that sum to one, shape ``(n,)``
    :param further: evaluations beside those of the average
    """

    family: str
    name: str
    inversion: bool
    matrices: np.ndarray
    weights: np.ndarray
    further: int = 0

    @property
    def evaluations(self) -> int:
        """How often the calculator asks the model."""
        return len(self.matrices) + self.further

    def turned(self, frame: np.ndarray) -> Points:
        """The same set in another frame.

        :param frame: a rotation, shape ``(3, 3)``
        """
        moved = frame @ self.matrices @ frame.T
        return Points(
            self.family, self.name, self.inversion, moved, self.weights, self.further
        )


def groups() -> list[Points]:
    """The groups of :class:`metatrain_symmetry.SymmetrizedCalculator`."""
    found = []
    for name in GROUPS:
        matrices = named_group(name).elements.numpy()
        weights = np.full(len(matrices), 1 / len(matrices))
        found.append(Points(OURS, name, name.endswith("i"), matrices, weights))
    return found


def of_metatomic_ase() -> list[Points]:
    """What :class:`metatomic_ase.SymmetrizedCalculator` has inside, for each ``l_max``.

    It always evaluates the structure as it is first, which the average does not use.
    """
    found = []
    for degree in DEGREES:
        for inversion in (False, True):
            wrapper = metatomic_ase.SymmetrizedCalculator(
                None, l_max=degree, include_inversion=inversion
            )
            weights = wrapper.quadrature_weights / wrapper.quadrature_weights.sum()
            name = f"l_max {degree}{'' if inversion else ', rotations only'}"
            found.append(
                Points(METATOMIC, name, inversion, wrapper.quadrature_rotations, weights, 1)
            )
    return found


def of_ipi() -> list[Points]:
    """Sets of the ``ffrotations`` of i-PI, whose ``grid_order`` is the order in the name.

    Legendre of order L: L Gauss-Legendre nodes in the cosine of the angle between two axes,
    ``2 L - 1`` uniform angles about each axis. Lebedev of order L: a Lebedev rule of degree
    L and L uniform angles. Both are exact for ``λ < L``, Legendre for ``λ <= 2 L - 2``.
    """
    found = []
    for family, orders in ((LEGENDRE, (2, 3, 4)), (LEBEDEV, (3, 5, 7))):
        for order in orders:
            angles, weights = (legendre if family == LEGENDRE else lebedev)(order)
            rotations = Rotation.from_euler("ZXZ", angles).as_matrix()
            found.append(Points(family, f"order {order}", False, rotations, weights))
            if len(rotations) < 100:
                both = np.concatenate([rotations, -rotations])
                half = np.tile(weights / 2, 2)
                name = f"order {order} with inversion"
                found.append(Points(family, name, True, both, half))
    return found


def legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """A product rule of Gauss-Legendre nodes and uniform angles.

    :param order: number of nodes, at least 2
    :return: ZXZ angles, shape ``(n, 3)``, and weights that sum to one, ``(n,)``
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    turns = 2 * np.pi * np.arange(2 * order - 1) / (2 * order - 1)
    grid = np.meshgrid(turns, np.arccos(nodes), turns, indexing="ij")
    angles = np.stack([axis.ravel() for axis in grid], axis=1)
    each = np.broadcast_to(weights[None, :, None], grid[0].shape).ravel()
    return angles, each / each.sum()


def lebedev(order: int) -> tuple[np.ndarray, np.ndarray]:
    """A Lebedev rule times uniform angles, which turn the structure last.

    :param order: degree of the rule and number of angles
    :return: ZXZ angles, shape ``(n, 3)``, and weights that sum to one, ``(n,)``
    """
    nodes, weights = lebedev_rule(order)
    polar = np.arccos(np.clip(nodes[2], -1, 1))
    azimuth = np.arctan2(nodes[1], nodes[0])
    turns = 2 * np.pi * np.arange(order) / order
    angles = np.stack(
        [turns.repeat(len(polar)), np.tile(polar, order), np.tile(azimuth, order)], axis=1
    )
    return angles, np.tile(weights / weights.sum() / order, order)
