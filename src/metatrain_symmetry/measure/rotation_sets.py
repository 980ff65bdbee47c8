r"""Sets of rotations that a model can be averaged over, and what each of them leaves.

Averaged over points ``p_i`` with weights ``w_i``, a model f becomes
``f_P(x) = Σ_i w_i ρ(p_i)⁻¹ f(p_i x)``, and ``ε(g) = ρ(g)⁻¹ f(g x)`` becomes
``Σ_i w_i ε(p_i g)``: an average from the left. In a random frame, ``p_i → l p_i l⁻¹``, only
class functions of ``p_i p_j⁻¹`` survive the mean over frames:

.. math::

    A_P^2 = \sum_{\alpha \ne (0,+)} M_{0\alpha} B^\varepsilon_\alpha , \qquad
    M_{0\alpha} = \frac{1}{d_\alpha} \sum_{ij} w_i w_j\, \chi_\alpha(p_i p_j^{-1}) ,

with the powers of ε, whatever irrep f itself is. For a group H this is the number of
H-invariants in α over its dimension; n independent random elements of O(3) keep 1/n.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.integrate import lebedev_rule
from scipy.spatial.transform import Rotation

from ..groups import Irrep, irreps_up_to, mixing, named_group
from ..groups.base import UniformOrbit
from ..groups.product_rule import ProductRule


RANDOM = (2, 12, 24, 60, 120)
"""Numbers of random orientations that the table has."""

GROUPS = ("i", "T", "Ti", "O", "Oi", "I", "Ii")
"""Groups that the table has."""

WRAPPED = (1, 3, 5)
"""Degrees of ``SymmetrizedModel.wrap``, which takes ``2 λ + 1`` for targets up to λ."""

ASE_DEGREE = 3
"""``l_max`` of the ``SymmetrizedCalculator`` of metatomic-ase, unless it is chosen."""


@dataclass(frozen=True)
class RotationSet:
    """A set of rotations, perhaps with inversions.

    :param name: for tables
    :param kind: ``none``, ``group``, ``metatomic`` or ``random``
    :param evaluations: of the model, for one structure
    :param degree: of a quadrature of metatomic, 0 of others
    """

    name: str
    kind: str
    evaluations: int
    degree: int = 0

    def kept(self, limit: int) -> np.ndarray:
        """Share of the power of each irrep that an average leaves, on average over frames.

        :param limit: largest degree
        :return: float64, one entry for each of ``irreps_up_to(limit)``; zero for (0,+),
            which is no asymmetry
        """
        if self.kind in ("none", "random"):
            found = np.full(2 * (limit + 1), 1 / self.evaluations)
        else:
            found = _kept(self, limit).copy()
        found[0] = 0.0
        return found

    def elements(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and weights, of a set that is not random.

        :return: float64, shapes ``(n, 3, 3)`` and ``(n,)``; weights sum to one
        """
        orbit = _orbit(self)
        return orbit.matrices, orbit.weights


def rotation_sets() -> tuple[RotationSet, ...]:
    """List what the table compares.

    :return: no average, inversion, T, O and I with and without inversion, the quadratures
        of metatomic, random orientations
    """
    groups = [RotationSet(name, "group", named_group(name).size) for name in GROUPS]
    wrapped = [
        RotationSet(
            f"SymmetrizedModel.wrap, λ ≤ {degree // 2}",
            "metatomic",
            len(ProductRule(degree).matrices),
            degree,
        )
        for degree in WRAPPED
    ]
    ase = RotationSet("metatomic-ase, l_max 3", "metatomic", len(_of_ase()[1]), -ASE_DEGREE)
    return (
        RotationSet("one orientation", "none", 1),
        *groups,
        *wrapped,
        ase,
        *(RotationSet(f"{n} random", "random", n) for n in RANDOM),
    )


class _Weighted:
    """Points with weights."""

    def __init__(self, matrices: torch.Tensor, weights: torch.Tensor) -> None:
        self.matrices, self.weights = matrices, weights


@lru_cache(maxsize=128)
def _kept(points: RotationSet, limit: int) -> np.ndarray:
    row: np.ndarray = mixing(_orbit(points), [Irrep(0)], irreps_up_to(limit)).numpy()[0]
    return row


def _orbit(points: RotationSet) -> UniformOrbit | ProductRule | _Weighted:
    if points.kind == "metatomic":
        return ProductRule(points.degree) if points.degree > 0 else _Weighted(*_of_ase())
    if points.kind == "group":
        return UniformOrbit(named_group(points.name).elements)
    if points.kind == "none":
        return UniformOrbit(torch.eye(3, dtype=torch.float64)[None])
    raise ValueError(f"'{points.name}' is random: it has no elements of its own")


@lru_cache(maxsize=1)
def _of_ase() -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights of metatomic-ase: ``2 l_max + 1`` angles, with inversion."""
    nodes, weights = lebedev_rule(ASE_DEGREE)
    count = 2 * ASE_DEGREE + 1
    alpha = np.arctan2(nodes[1], nodes[0]).repeat(count)
    beta = np.arccos(np.clip(nodes[2], -1, 1)).repeat(count)
    gamma = np.tile(2 * np.pi * np.arange(count) / count, len(weights))
    turns = Rotation.from_euler("ZYZ", np.stack([alpha, beta, gamma], axis=1))
    proper = torch.from_numpy(turns.as_matrix())
    each = torch.from_numpy(weights.repeat(count) / weights.sum() / count / 2)
    return torch.cat([proper, -proper]), torch.cat([each, each])
