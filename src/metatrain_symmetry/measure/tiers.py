"""What is done on one structure, from a few evaluations to an exact grid.

A tier is a point set in a random frame and some random circles. The set gives A and the
channels of its band, pseudo ones included, the circles the others and what the set folds
back. Higher tiers know more and cost more; :func:`choose` takes the highest that the
budget affords, after it has covered the structures.
"""

from dataclasses import dataclass

from ..groups import Circles, Frame, GroupOrbit, O3Grid
from ..groups.design import Name
from ..groups.product_rule import MAX_DEGREE, rings


@dataclass(frozen=True)
class Tier:
    """What is done on one structure.

    :param degree: of a product grid; None for none
    :param group: whose orbit is taken where there is no grid; None for none
    :param improper: whether the orbit of the group has inversions
    :param circles: random circles
    :param noise: evaluations for the floor of rounding
    """

    degree: int | None = None
    group: Name | None = None
    improper: bool = True
    circles: int = 0
    noise: int = 4

    def point_set(self, frame: Frame, lambda_max: int) -> O3Grid | GroupOrbit | None:
        """Make the point set.

        :param frame: in which it is taken
        :param lambda_max: largest λ that is asked for
        :return: the set; None if the tier has circles only
        """
        if self.degree is not None:
            return O3Grid(self.degree, min(lambda_max, self.degree // 2), frame=frame)
        if self.group is None:
            return None
        orbit = GroupOrbit(self.group, self.improper, frame)
        orbit.lambda_max = min(orbit.lambda_max, lambda_max)
        return orbit

    def lambda_circles(self, needed: int) -> int:
        """Largest λ that circles resolve.

        :param needed: by the spectra
        :return: λ; squared norms and deviations are looked at beyond the degree of the grid
        """
        return needed if self.degree is None else max(needed, self.degree + 2)

    def evaluations(self, needed: int) -> int:
        """Count the evaluations on one structure.

        :param needed: largest λ that circles should resolve
        :return: how many, with two for the given frame
        """
        count = 2 + self.noise
        if self.degree is not None:
            nodes = sum(len(ring.alpha) for ring in rings(self.degree))
            count += 2 * nodes * (self.degree + 1)
        elif self.group is not None:
            count += len(GroupOrbit(self.group, self.improper).matrices)
        if self.circles:
            count += self.circles * len(Circles(1, self.lambda_circles(needed)).matrices)
        return count

    def __str__(self) -> str:
        parts = []
        if self.degree is not None:
            parts.append(f"a grid of degree {self.degree}")
        elif self.group is not None:
            kind = "rotations and inversions" if self.improper else "rotations"
            parts.append(f"the {kind} of the group {self.group}")
        if self.circles:
            parts.append(f"{self.circles} random circle{'s' * (self.circles > 1)}")
        return " and ".join(parts)


SMALL = (
    Tier(group="D2", improper=False, noise=0),
    Tier(group="T", improper=False, noise=0),
    Tier(group="T", noise=2),
    Tier(group="O", noise=2),
    Tier(group="T", circles=2),
    Tier(group="O", circles=2),
    Tier(group="I", circles=2),
    Tier(group="I", circles=4),
)
"""Tiers below the smallest grid, ascending."""

GOOD = SMALL[-2]
"""The least that several structures should get before one of them gets more."""

FIRST_GRID = 8
FEW = 8
"""This number of structures come before a better tier for fewer of them."""


def ladder(n: int, highest: int, exact: int) -> list[Tier]:
    """List the tiers for some structures.

    :param n: number of structures
    :param highest: degree of the largest grid, 8 or more
    :param exact: degree from which on circles give only what lies beyond λmax
    :return: ascending in cost
    """
    # about a hundred circles in all, as few as two on each
    circles = min(max(-(-100 // n), 2), 16)
    few = min(max(-(-24 // n), 2), circles)
    grids = [
        Tier(degree, circles=circles if degree < exact else few, noise=32)
        for degree in range(FIRST_GRID, min(highest, MAX_DEGREE) + 1, 2)
    ]
    start = [Tier(FIRST_GRID, circles=4, noise=32)] if circles > 4 else []
    return [*SMALL, *start, *grids]


@dataclass(frozen=True)
class Plan:
    """What a measurement does.

    :param tier: on each structure
    :param n_structures: at most this number of structures
    """

    tier: Tier
    n_structures: int


def choose(
    tiers: list[Tier],
    n: int,
    seconds: float,
    left: float,
    lambda_circles: int,
    good: int,
) -> Plan:
    """Choose what a budget affords.

    :param tiers: ascending; the last one is what is wanted
    :param n: number of structures
    :param seconds: of one evaluation of an average structure
    :param left: seconds that may be spent
    :param lambda_circles: largest λ that circles resolve
    :param good: index of the tier below which structures are left out first
    :return: the plan; at the very least the first tier on one structure
    """
    costs = [seconds * tier.evaluations(lambda_circles) for tier in tiers]
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


def only_circles(circles: int) -> Tier:
    """Make the tier of the estimator ``circles``.

    :param circles: on each structure, two or more, since one does not know A
    :return: the tier
    """
    return Tier(circles=max(circles, 2), noise=32)
