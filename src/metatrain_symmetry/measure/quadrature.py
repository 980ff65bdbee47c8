r"""What the average over a point set misses, from circles beside it.

See :mod:`metatrain_symmetry.groups.mixing`.
"""

from ..groups.base import FoldingOrbit, Powers


def folded_scalar(powers: Powers, orbit: FoldingOrbit) -> float:
    """What the scalar channel of a set collects from beyond the degree of the set.

    :param powers: of the same values, from circles
    :param orbit: the set
    :return: ``Σ_β M_0β B_β``
    """
    row = orbit.folded(powers.irreps[0], powers.limit)[: len(powers.irreps)]
    return float(powers.powers.mean(dim=0).numpy() @ row)


def quadrature_variance(powers: Powers, orbit: FoldingOrbit) -> float:
    """Variance over frames of the mean of a scalar function over a set.

    :param powers: of the function, from circles
    :param orbit: the set
    :return: an upper estimate, not negative: two standard errors above what the circles
        say, and with what they do not resolve
    """
    trivial = powers.irreps[0]
    row = orbit.folded(trivial, powers.limit)[: len(powers.irreps)]
    most = orbit.most_folded(trivial, powers.limit + 1)
    rest = (powers.norm2 - powers.powers.sum(dim=1)).clamp(min=0.0)
    several = (powers.powers.numpy() @ row) + most * rest.numpy()
    spread = several.std(ddof=1) / len(several) ** 0.5 if len(several) > 1 else 0.0
    return max(float(several.mean() + 2 * spread), 0.0)
