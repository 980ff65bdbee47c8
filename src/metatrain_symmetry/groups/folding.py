"""Orbits on O(3) that fold back what lies beyond their band, with their mixing matrices.

See :mod:`metatrain_symmetry.groups.mixing`.
"""

from abc import abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np

from .base import PointSet
from .mixing import mixing


MARGIN = 8
"""Degrees beyond those of the circles that are looked at for a bound."""


class Folding:
    """Part of an orbit on O(3) that is exact up to some degree only."""

    folds = True
    lambda_max: int
    degree: int

    @property
    @abstractmethod
    def points(self) -> PointSet:
        """Which set it is, whatever its frame."""

    def folded(self, irrep: Any, limit: int) -> np.ndarray:
        """Share of each irrep that is folded into one of the band.

        :param irrep: of the band
        :param limit: largest degree of the others
        :return: a row of M without its unit part, one entry for each irrep up to ``limit``
        """
        index = self.points.family(self.lambda_max).index(irrep)
        limit = max(limit, self.lambda_max)
        return folding_matrix(self.points, self.lambda_max, limit)[index]

    def most_folded(self, irrep: Any, start: int) -> float:
        """Largest share that is folded from a degree on.

        :param irrep: into which; None for all of the band together
        :param start: smallest degree that counts
        :return: the share
        """
        found = folding_matrix(self.points, self.lambda_max, start + MARGIN)
        rows = self.points.family(self.lambda_max)
        columns = self.points.family(start + MARGIN)
        row = found.sum(axis=0) if irrep is None else found[rows.index(irrep)]
        pairs = zip(row, columns, strict=True)
        return float(max(value for value, other in pairs if other.degree >= start))


@lru_cache(maxsize=64)
def folding_matrix(points: PointSet, rows: int, columns: int) -> np.ndarray:
    """Mixing matrix of all irreps up to two degrees, without its unit part.

    :param points: on which values are projected
    :param rows: largest degree that is projected on
    :param columns: largest degree of the values
    :return: float64, one row and column for each irrep, of O(3) ``(2 (rows + 1),
        2 (columns + 1))``; do not change it
    """
    above, across = points.family(rows), points.family(columns)
    found = mixing(points.orbit(0), above, across).numpy()
    for i, irrep in enumerate(above):
        if irrep.degree <= columns:
            found[i, across.index(irrep)] = 0.0
    found.setflags(write=False)
    return found
