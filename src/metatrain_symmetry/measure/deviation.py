r"""How exactly a point set gives A: what it misses, and how its frame scatters it.

On a set in a random frame the variance of ``ε(g) = ρ(g)⁻¹ f(g x)`` falls short of A² by
``Σ_β M_0β B^ε_β`` (β beyond the degree of the set, M its mixing matrix, B^ε the powers of
ε). The estimate scatters over frames as the quadrature of the function
``q = |ε - <ε>|²`` does, whose variance is ``Σ_β M_0β B^q_β`` with the powers of q. Both
follow from circles, along which ε and q are evaluated anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..group import Irrep, Orbit, Powers, Transform, mixing
from ..orbit.engine import Block
from .equivariance import Equivariance


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

    Both are shares of A² (and of A⁴) over all structures with circles: one structure's
    circles alone say little.

    :param found: of one block, on several structures
    :param deviations: from circles of the same structures
    :param orbits: the sets
    :return: the same with A² corrected, and its variance
    """
    squares = [float(one.squared.mean()) for one in found]
    missing = scatter = first = second = 0.0
    for square, deviation, orbit in zip(squares, deviations, orbits, strict=True):
        if deviation is None or square <= 0:
            continue
        missing += _beyond(deviation.epsilon, orbit)
        scatter += max(_beyond(deviation.q, orbit), 0.0)
        first += square
        second += square**2
    if first == 0:
        return list(found)
    share, relative = max(missing / first, 0.0), scatter / second
    # what is added is known to about its own size
    relative += share**2
    return [
        replace(
            one,
            squared=one.squared * (1 + share),
            replicates=one.replicates * (1 + share),
            variance=relative * square**2,
        )
        for one, square in zip(found, squares, strict=True)
    ]


def _beyond(powers: Powers, orbit: Orbit) -> float:
    """What the scalar row of the mixing matrix collects from beyond the set's degree."""
    row = mixing(orbit, [Irrep(0)], powers.irreps)[0].clone()
    row[powers.irreps.index(Irrep(0))] = 0.0
    return float(powers.powers.mean(dim=0) @ row)
