r"""How exactly a point set gives A: what it misses, and how its frame scatters it.

On a set in a random frame the variance of ``ε(g) = ρ(g)⁻¹ f(g x)`` falls short of A² by
``Σ_β M_0β B^ε_β`` (β beyond the degree of the set, M its mixing matrix, B^ε the powers of
ε). The estimate scatters over frames as the quadrature of the function
``q = |ε - <ε>|²`` does, whose variance is ``Σ_β M_0β B^q_β`` with the powers of q. Both
follow from circles, along which ε and q are evaluated anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..groups import Orbit, Powers, Transform
from ..groups.base import folds
from ..models.engine import Block
from .equivariance import Equivariance
from .errors import widening
from .quadrature import folded_scalar, quadrature_variance


@dataclass
class Deviation:
    """Powers of the deviations of one block on one structure, from circles.

    :param epsilon: of ε per component, sample and property
    :param q: of its square, normalised likewise
    """

    epsilon: Powers
    q: Powers


class Deviations:
    """Resolves the deviations from the mean along circles.

    :param circles: the orbit
    :param centres: mean of each block, ``(samples, 2 λ + 1, properties)``, float64
    :param device: where the values live
    """

    def __init__(
        self, circles: Orbit, centres: Mapping[Block, torch.Tensor], device: torch.device
    ) -> None:
        self.centres = {block: mean.to(device) for block, mean in centres.items()}
        widths = [width for mean in self.centres.values() for width in (mean.numel(), 1)]
        self.transform: Transform = circles.transform(widths, device)

    def add(
        self, targets: Mapping[Block, torch.Tensor], matrices: Mapping[Block, torch.Tensor]
    ) -> None:
        """Take the next elements.

        :param targets: values of each block, ``(n, samples, 2 λ + 1, properties)``
        :param matrices: ``ρ(g)`` of each block, ``(n, 2 λ + 1, 2 λ + 1)``
        """
        pieces = []
        for block, mean in self.centres.items():
            values = targets[block].to(torch.float64)
            back = torch.einsum("gmn,gsmp->gsnp", matrices[block], values)
            epsilon = (back - mean).flatten(1) / mean.numel() ** 0.5
            pieces += [epsilon, epsilon.square().sum(dim=1, keepdim=True)]
        self.transform.add(pieces)

    def finish(self) -> dict[Block, Deviation]:
        """Resolve them.

        :return: for each block
        """
        powers = self.transform.finish()
        return {
            block: Deviation(powers[2 * i], powers[2 * i + 1])
            for i, block in enumerate(self.centres)
        }


def refine(
    found: Sequence[Equivariance],
    deviations: Sequence[Deviation | None],
    orbits: Sequence[Orbit],
) -> list[Equivariance]:
    """Add what the sets miss, and state the error of A.

    What is missed is a share of A² over all structures with circles, since one structure's
    circles alone say little. The variance is that of the structure itself, or the relative
    one of all of them where that is larger.

    :param found: of one block, on several structures
    :param deviations: from circles of the same structures
    :param orbits: the sets
    :return: the same with A² corrected, and its variance
    """
    squares = np.array([float(one.squared.mean()) for one in found])
    known = np.array([deviation is not None for deviation in deviations], dtype=bool)
    known &= squares > 0
    if not known.any():
        return list(found)
    missing, scatter, circles = np.zeros(len(found)), np.zeros(len(found)), 0
    for i, (deviation, orbit) in enumerate(zip(deviations, orbits, strict=True)):
        if deviation is not None and known[i] and folds(orbit):
            missing[i] = folded_scalar(deviation.epsilon, orbit)
            scatter[i] = quadrature_variance(deviation.q, orbit)
            circles += len(deviation.q.powers)
    share = max(missing.sum() / squares[known].sum(), 0.0)
    pooled_scatter = scatter.sum() / (squares[known] ** 2).sum()
    # what is added is known to about its own size
    variances = np.maximum(scatter, pooled_scatter * squares**2) + (share * squares) ** 2
    variances *= widening(circles) ** 2  # which know it from as many values as there are
    return [
        replace(
            one,
            squared=one.squared * (1 + share),
            replicates=one.replicates * (1 + share),
            variance=float(variance),
        )
        for one, variance in zip(found, variances, strict=True)
    ]
