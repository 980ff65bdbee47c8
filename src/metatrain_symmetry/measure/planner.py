"""From the settings and the pilot to the tiers that a measurement may choose from."""

from dataclasses import dataclass, replace

from ..groups import Group
from ..models.engine import Engine
from .pilot import Pilot, wanted_degree
from .settings import Settings
from .tiers import FIRST_GRID, NOISE, Plan, Tier, choose, ladder, least_circles, small_tiers


LEAST_GRID = 1200
"""Evaluations that a grid may take on a structure, however many structures there are."""


@dataclass(frozen=True)
class Choices:
    """What may be done on each structure.

    :param group: whose orbits they are
    :param tiers: ascending in cost; the last one is what is wanted
    :param good: index of the tier below which structures are left out first
    """

    group: Group
    tiers: list[Tier]
    good: int

    def plan(self, n: int, seconds: float, left: float, needed: int) -> Plan:
        """Choose what a budget affords, see :func:`~.tiers.choose`.

        :param n: number of structures
        :param seconds: of one evaluation of an average structure
        :param left: seconds that may be spent
        :param needed: largest degree that circles should resolve
        :return: the plan
        """
        costs = [seconds * tier.evaluations(self.group, needed) for tier in self.tiers]
        return choose(self.tiers, costs, n, left, self.good)


def choices(
    engine: Engine, group: Group, n: int, settings: Settings, pilot: Pilot
) -> Choices:
    """List the tiers that the settings allow.

    :param engine: for the irreps of its outputs
    :param group: whose orbits are taken
    :param n: number of structures
    :param settings: of the measurement
    :param pilot: what a first look has brought
    :return: the tiers
    """
    if group.finite:
        return Choices(group, ladder(group, n, 0, 0), 0)
    small = small_tiers(group)
    if not group.has_circles:
        wanted = pilot.degree if settings.degree is None else settings.degree
        tiers = [*small, Tier(group.exact(wanted), noise=NOISE)]
        return Choices(group, tiers, len(small))
    if settings.estimator == "circles":
        # one circle alone does not know A
        tier = Tier(circles=max(settings.circles or -(-100 // n), 2), noise=NOISE)
        return Choices(group, [*small, tier], len(small))
    if settings.estimator == "icosahedral":
        # without circles of its own unless asked: those of the pilot speak for all
        tier = Tier(group.cheap()[-1], circles=settings.circles or 0, noise=2)
        cost = tier.evaluations(group, pilot.lambda_circles)
        less = [t for t in small if t.evaluations(group, pilot.lambda_circles) < cost]
        return Choices(group, [*less, tier], len(less))
    degree = _degree(engine, group, n, settings, pilot)
    if settings.estimator == "grid" or settings.degree is not None:
        tier = Tier(group.exact(degree), settings.circles or least_circles(n), NOISE)
        return Choices(group, [*small, tier], len(small))
    tiers = ladder(group, n, degree, 2 * settings.lambda_max)
    if settings.circles is not None:
        tiers = [replace(t, circles=settings.circles if t.circles else 0) for t in tiers]
    good = next(i for i, t in enumerate(tiers) if t.points == group.cheap()[-1])
    return Choices(group, tiers, good)


def _degree(engine: Engine, group: Group, n: int, settings: Settings, pilot: Pilot) -> int:
    """Degree of the grid that is wanted."""
    if settings.degree is not None:
        return settings.degree
    largest = max((block.irrep.degree for block in engine.blocks), default=0)
    exact = max(2 * settings.lambda_max, 2 * largest, FIRST_GRID)
    found = list(pilot.circles.values())
    if settings.estimator == "grid":
        return wanted_degree(group, found, settings, exact, 2**62)
    most = settings.max_evaluations // n
    if group.exact(exact).size <= most:
        return wanted_degree(group, found, settings, exact, most)
    lowest = max(2 * largest, FIRST_GRID)
    affordable = max(most, LEAST_GRID)
    return min(wanted_degree(group, found, settings, lowest, affordable), exact)
