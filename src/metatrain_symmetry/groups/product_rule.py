r"""A product rule on O(3) or SO(3): Lebedev nodes times equispaced angles γ.

The construction of ``metatomic.torch.o3.SymmetrizedModel``: a Lebedev rule on the sphere
(α, β) times ``K`` angles. With both of degree t, products of Wigner matrix elements of
total degree t are integrated exactly.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import lebedev_rule
from scipy.spatial.transform import Rotation

from .frames import Frame
from .irreps import Irrep, irreps_up_to


LEBEDEV = (*range(3, 32, 2), *range(35, 132, 6))
"""Degrees for which there is a Lebedev rule."""

MAX_DEGREE = LEBEDEV[-1]


@dataclass(frozen=True)
class Ring:
    """Nodes of the sphere that a fourfold rotation about z permutes.

    :param alpha: azimuth of each node, in radians: four a quarter turn apart, or one pole
    :param beta: their polar angle, in radians
    :param weight: weight of each node, normalised to one over the sphere
    """

    alpha: tuple[float, ...]
    beta: float
    weight: float


@lru_cache(maxsize=64)
def rings(degree: int) -> tuple[Ring, ...]:
    """Sort the nodes of the smallest Lebedev rule of a degree into rings.

    :param degree: integration degree, 0 to 131
    :raises ValueError: if there is no such rule
    :return: the rings, poles first
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"there is no grid of degree {degree}: choose 0 to {MAX_DEGREE}")
    nodes, weights = lebedev_rule(min(order for order in LEBEDEV if order >= degree))
    alpha = np.arctan2(nodes[1], nodes[0])
    beta = np.arctan2(np.hypot(nodes[0], nodes[1]), nodes[2])
    weights = weights / (4 * np.pi)
    at_pole = np.hypot(nodes[0], nodes[1]) < 1e-12
    found = [Ring((0.0,), float(beta[i]), float(weights[i])) for i in np.where(at_pole)[0]]
    # representatives of the quarter turns; the offset keeps rounding off the boundary
    quarter = np.pi / 2
    first = ~at_pole & (np.mod(alpha + 1e-9, 2 * np.pi) < quarter)
    for i in np.where(first)[0]:
        turns = tuple(float(alpha[i] + j * quarter) for j in range(4))
        found.append(Ring(turns, float(beta[i]), float(weights[i])))
    assert sum(len(ring.alpha) for ring in found) == len(weights)
    return tuple(found)


class ProductRule:
    """Elements and weights of a quadrature over O(3), or over SO(3).

    Elements come in the order of the transform: for each batch of rings, the proper
    coset then the improper one, for each of them the nodes and their angles γ.

    :param degree: integration degree t, 0 to 131
    :param lambda_max: largest degree resolved, t // 2 at most and by default
    :param improper: O(3) if true, SO(3) if false
    :param frame: in which the elements are taken; no power changes but by what the rule
        folds back
    :raises ValueError: if the degree or ``lambda_max`` is out of range
    """

    def __init__(
        self,
        degree: int,
        lambda_max: int | None = None,
        improper: bool = True,
        frame: Frame | None = None,
    ) -> None:
        self.degree = degree
        self.rings = rings(degree)
        self.n_gamma = degree + 1
        self.improper = improper
        self.lambda_max = degree // 2 if lambda_max is None else lambda_max
        if not 0 <= self.lambda_max <= degree // 2:
            raise ValueError(
                f"a grid of degree {degree} resolves λ up to {degree // 2}, not "
                f"{lambda_max}: ask for degree {2 * max(self.lambda_max, 0)} or more"
            )
        # few batches touch the coefficients seldom, many need little memory
        n_batches = 3 if len(self.rings) > 6 else 1
        bounds = np.linspace(0, len(self.rings), n_batches + 1).astype(int)
        self.batches = [self.rings[a:b] for a, b in pairwise(bounds)]
        self.matrices, self.weights = self._elements()
        if frame is not None:
            self.matrices = frame(self.matrices)

    def _elements(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices ``(n, 3, 3)`` and weights ``(n,)``, in the order of evaluation."""
        gamma = 2 * np.pi * np.arange(self.n_gamma) / self.n_gamma
        matrices, weights = [], []
        for batch in self.batches:
            angles = np.array(
                [(a, ring.beta, g) for ring in batch for a in ring.alpha for g in gamma]
            )
            node = np.concatenate([[r.weight] * len(r.alpha) for r in batch])
            proper = Rotation.from_euler("ZYZ", angles).as_matrix()
            weight = np.repeat(node, self.n_gamma) / self.n_gamma
            for sign in self.signs:
                matrices.append(sign * proper)
                weights.append(weight / len(self.signs))
        return (
            torch.from_numpy(np.concatenate(matrices)),
            torch.from_numpy(np.concatenate(weights)),
        )

    @property
    def signs(self) -> tuple[int, ...]:
        """Determinants of the cosets."""
        return (1, -1) if self.improper else (1,)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """What the transform resolves; for SO(3) σ = +1 only, which then says nothing."""
        if self.improper:
            return irreps_up_to(self.lambda_max)
        return tuple(Irrep(degree) for degree in range(self.lambda_max + 1))
