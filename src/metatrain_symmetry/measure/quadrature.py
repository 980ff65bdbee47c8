r"""What sets of points miss and fold back, with their mixing matrices at hand.

See :mod:`metatrain_symmetry.groups.mixing`.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from ..groups import GroupOrbit, Irrep, Powers, irreps_up_to, mixing
from ..groups.product_rule import ProductRule


MARGIN = 8
"""Degrees beyond those of the circles that are looked at for a bound."""


def folds(orbit: Any) -> bool:
    """Whether an orbit is a point set of O(3), which folds, or exact."""
    return isinstance(orbit, ProductRule | GroupOrbit)


def key(orbit: Any) -> tuple[Any, ...]:
    """Tell the kinds of point sets apart.

    :param orbit: a product rule or the orbit of a group
    :return: the same for every frame
    """
    if isinstance(orbit, ProductRule):
        return ("rule", orbit.degree, orbit.improper)
    return (orbit.name, orbit.improper)


@lru_cache(maxsize=64)
def matrix(key: tuple[Any, ...], rows: int, columns: int) -> np.ndarray:
    """Mixing matrix of all irreps up to two degrees, without its unit part."""
    kind: Any
    if key[0] == "rule":
        orbit: Any = ProductRule(key[1], 0, key[2])
    else:
        kind = key[0]
        orbit = GroupOrbit(kind, key[1])
    above, across = irreps_up_to(rows), irreps_up_to(columns)
    found = mixing(orbit, above, across).numpy()
    for i, irrep in enumerate(above):
        found[i, across.index(irrep)] = 0.0
    return found


def largest(orbit: Any, irrep: Irrep | None, start: int) -> float:
    """Largest entry of a row of M from a degree on; of the sum of all rows for None."""
    limit = orbit.lambda_max
    found = matrix(key(orbit), limit, start + MARGIN)
    rows = irreps_up_to(limit)
    row = found.sum(axis=0) if irrep is None else found[rows.index(irrep)]
    columns = irreps_up_to(start + MARGIN)
    return float(max(v for v, b in zip(row, columns, strict=True) if b.o3_lambda >= start))


def folded_scalar(powers: Powers, orbit: Any) -> float:
    """What the scalar channel of a set collects from beyond the degree of the set.

    :param powers: of the same values, from circles
    :param orbit: the set
    :return: ``Σ_β M_0β B_β``
    """
    limit = powers.irreps[-1].o3_lambda
    row = matrix(key(orbit), 0, limit)[0]
    return float(powers.powers.mean(dim=0).numpy() @ row[: len(powers.irreps)])


def quadrature_variance(powers: Powers, orbit: Any) -> float:
    """Variance over frames of the mean of a scalar function over a set.

    :param powers: of the function, from circles
    :param orbit: the set
    :return: an upper estimate, not negative: two standard errors above what the circles
        say, and with what they do not resolve
    """
    limit = powers.irreps[-1].o3_lambda
    row = matrix(key(orbit), 0, limit)[0][: len(powers.irreps)]
    most = largest(orbit, Irrep(0), limit + 1)
    rest = (powers.norm2 - powers.powers.sum(dim=1)).clamp(min=0.0)
    several = (powers.powers.numpy() @ row) + most * rest.numpy()
    spread = several.std(ddof=1) / len(several) ** 0.5 if len(several) > 1 else 0.0
    return max(float(several.mean() + 2 * spread), 0.0)
