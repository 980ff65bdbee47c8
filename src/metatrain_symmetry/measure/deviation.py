r"""How exactly a point set gives A: what it misses, and how its frame scatters it.

On a set in a random frame the variance of ``ε(g) = ρ(g)⁻¹ f(g x)`` falls short of A² by
``Σ_β M_0β B^ε_β`` (β beyond the degree of the set, M its mixing matrix, B^ε the powers of
ε). The estimate scatters over frames as the quadrature of the function
``q = |ε - <ε>|²`` does, whose variance is ``Σ_β M_0β B^q_β`` with the powers of q. Both
follow from circles, along which ε and q are evaluated anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from ..groups import Orbit, Powers
from ..groups.base import folds
from ..models.engine import Block, Engine, Values
from .equivariance import Equivariance
from .errors import widening
from .quadrature import folded_scalar, quadrature_variance
from .resolver import Resolver, Spectrum


@dataclass
class Deviation:
    """Powers of the deviations of one block on one structure, from circles.

    :param epsilon: of ε per component, sample and property
    :param q: of its square, normalised likewise
    """

    epsilon: Powers
    q: Powers


class Asymmetry:
    """Resolves the values rotated back, ``ε(g) = ρ(g)⁻¹ f(g x)``, along an orbit.

    What is constant has only a (0,+) part: any reference will do, and a close one keeps
    rounding small.

    :param engine: what evaluates the model
    :param orbit: the elements
    :param centres: mean of some blocks, ``(samples, 2 λ + 1, properties)``, float64; the
        first value of the others is their reference
    :param memory: budget of the sums, in bytes
    :param seed: of the sketches
    """

    def __init__(
        self,
        engine: Engine,
        orbit: Orbit,
        centres: Mapping[Block, torch.Tensor],
        memory: int,
        seed: int,
    ) -> None:
        self.centres = {block: mean.to(engine.device) for block, mean in centres.items()}
        self._make = partial(Resolver, engine, orbit, memory=memory, seed=seed)
        self._resolver: Resolver | None = None

    def add(
        self, targets: Mapping[Block, torch.Tensor], matrices: Mapping[Block, torch.Tensor]
    ) -> None:
        """Take the next elements.

        :param targets: values of each block, ``(n, samples, 2 λ + 1, properties)``
        :param matrices: ``ρ(g)`` of each block, ``(n, 2 λ + 1, 2 λ + 1)``
        """
        found: dict[Block, torch.Tensor] = {}
        for block, values in targets.items():
            turn = matrices[block]
            back = torch.einsum("gmn,gsmp->gsnp", turn, values.to(torch.float64))
            centre = self.centres.setdefault(block, back[0].clone())
            found[block] = (back - centre) / max(centre.numel(), 1) ** 0.5
        if self._resolver is None:
            self._resolver = self._make(first=Values(found, {}))
        self._resolver.add(Values(found, {}))

    def finish(self) -> dict[Block, Spectrum]:
        """Resolve them.

        :return: for each block, per component, sample and property
        """
        found = {} if self._resolver is None else self._resolver.finish()
        return {key: one for key, one in found.items() if isinstance(key, Block)}


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
    wider = widening(circles)  # which know it from as many values as there are
    variances *= wider**2
    return [
        replace(
            one,
            squared=one.squared * (1 + share),
            replicates=one.replicates * (1 + share),
            variance=float(variance),
            shared=float(share * wider / (1 + share)),
        )
        for one, variance in zip(found, variances, strict=True)
    ]
