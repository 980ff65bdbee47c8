"""What is done on one structure, from a few evaluations to an exact average.

A tier is a point set in a random frame and some random circles. The set gives A and the
channels of its band, pseudo ones included, the circles the others and what the set folds
back. Higher tiers know more and cost more; :func:`choose` takes the highest that the
budget affords, after it has covered the structures.
"""

from dataclasses import dataclass

from ..groups import Group, PointSet


NOISE = 32
"""Evaluations for the floor of rounding where there is time."""

FIRST_GRID = 8
"""Degree of the smallest exact set that is taken."""

FEW = 8
"""This number of structures come before a better tier for fewer of them."""

LEAST_CIRCLES = 8
"""Circles beside sets in all: their powers are skewed, and fewer may miss by chance both
a power and that it scatters."""


@dataclass(frozen=True)
class Tier:
    """What is done on one structure.

    :param points: whose orbit is taken; None for circles alone
    :param circles: random circles
    :param noise: evaluations for the floor of rounding
    """

    points: PointSet | None = None
    circles: int = 0
    noise: int = 4

    @property
    def resolves(self) -> bool:
        """Whether the point set resolves the irreps of its band."""
        return self.points is not None and self.points.resolves

    def circle_limit(self, needed: int) -> int:
        """Largest degree that circles resolve.

        :param needed: by the spectra
        :return: degree; squared norms and deviations are looked at beyond that of the set
        """
        return needed if self.points is None else max(needed, self.points.reach)

    def evaluations(self, group: Group, needed: int) -> int:
        """Count the evaluations on one structure.

        :param group: whose circles they are
        :param needed: largest degree that circles should resolve
        :return: how many, with two for the given frame
        """
        count = 2 + self.noise
        if self.points is not None:
            count += self.points.size
        if self.circles:
            count += self.circles * group.circle_size(self.circle_limit(needed))
        return count

    def __str__(self) -> str:
        parts = [] if self.points is None else [str(self.points)]
        if self.circles:
            parts.append(f"{self.circles} random circle{'s' * (self.circles > 1)}")
        return " and ".join(parts)


def small_tiers(group: Group) -> list[Tier]:
    """List the tiers below the smallest exact set.

    :param group: whose cheap sets they take
    :return: ascending; the last but one is what several structures should get before one
        of them gets more
    """
    sets = group.cheap()
    if not group.has_circles:
        return [Tier(points, noise=2) for points in sets]
    resolving = [points for points in sets if points.resolves]
    return [
        *(Tier(points, noise=0) for points in sets if not points.resolves),
        *(Tier(points, noise=2) for points in resolving[:-1]),
        *(Tier(points, circles=2) for points in resolving),
        *(Tier(points, circles=4) for points in resolving[-1:]),
    ]


def least_circles(n: int) -> int:
    """Number of circles that each structure gets at least beside a set that is exact.

    :param n: number of structures
    :return: 2 or more
    """
    return max(-(-LEAST_CIRCLES // n), 2)


def ladder(group: Group, n: int, highest: int, exact: int) -> list[Tier]:
    """List the tiers for some structures.

    :param group: whose sets and circles are taken
    :param n: number of structures
    :param highest: degree of the largest exact set, 8 or more
    :param exact: degree from which on sets resolve all irreps up to λmax
    :return: ascending in cost
    """
    if group.finite:
        return [Tier(group.exact(0), noise=NOISE)]
    # about a hundred circles in all, as few as two on each
    circles = min(max(-(-100 // n), 2), 16)
    few = min(max(-(-24 // n), 2), circles)
    grids = [
        Tier(group.exact(degree), circles if degree < exact else few, NOISE)
        for degree in range(FIRST_GRID, highest + 1, 2)
    ]
    least = max(least_circles(n), 4)
    start = [Tier(group.exact(FIRST_GRID), least, NOISE)] if circles > least else []
    return [*small_tiers(group), *start, *grids]


@dataclass(frozen=True)
class Plan:
    """What a measurement does.

    :param tier: on each structure
    :param n_structures: at most this number of structures
    """

    tier: Tier
    n_structures: int


def choose(tiers: list[Tier], costs: list[float], n: int, left: float, good: int) -> Plan:
    """Choose what a budget affords.

    :param tiers: ascending; the last one is what is wanted
    :param costs: of each on an average structure, in seconds
    :param n: number of structures
    :param left: seconds that may be spent
    :param good: index of the tier below which structures are left out first
    :return: the plan; at the very least the first tier on one structure
    """
    for i in range(len(tiers) - 1, good - 1, -1):
        if n * costs[i] <= left:
            return Plan(tiers[i], n)
    affordable = int(left / costs[good])
    if affordable >= min(n, FEW):
        return Plan(tiers[good], affordable)
    for count in (min(n, FEW), min(n, 4), 1):
        for i in range(good, -1, -1):
            if count * costs[i] <= left and (i > 1 or count == 1):
                return Plan(tiers[i], count)
    return Plan(tiers[0], 1)
