"""From the settings and the pilot to the tiers that a measurement may choose from."""

from dataclasses import dataclass, replace

from ..groups import O3Grid
from ..models.engine import Engine
from .pilot import Pilot, wanted_degree
from .settings import Settings
from .tiers import FIRST_GRID, GOOD, SMALL, Plan, Tier, choose, ladder, only_circles


LEAST_GRID = 1200
"""Evaluations that a grid may take on a structure, however many structures there are."""


@dataclass(frozen=True)
class Choices:
    """What may be done on each structure.

    :param tiers: ascending in cost; the last one is what is wanted
    :param good: index of the tier below which structures are left out first
    """

    tiers: list[Tier]
    good: int

    def plan(self, n: int, seconds: float, left: float, needed: int) -> Plan:
        """Choose what a budget affords, see :func:`~.tiers.choose`.

        :param n: number of structures
        :param seconds: of one evaluation of an average structure
        :param left: seconds that may be spent
        :param needed: largest λ that circles should resolve
        :return: the plan
        """
        return choose(self.tiers, n, seconds, left, needed, self.good)


def choices(engine: Engine, n: int, settings: Settings, pilot: Pilot) -> Choices:
    """List the tiers that the settings allow.

    :param engine: for the irreps of its outputs
    :param n: number of structures
    :param settings: of the measurement
    :param pilot: what a first look has brought
    :return: the tiers
    """
    if settings.estimator == "circles":
        tier = only_circles(settings.circles or -(-100 // n))
        return Choices([*SMALL, tier], len(SMALL))
    degree = _degree(engine, n, settings, pilot)
    if settings.estimator == "grid" or settings.degree is not None:
        tier = Tier(degree, circles=settings.circles or 2, noise=32)
        return Choices([*SMALL, tier], len(SMALL))
    tiers = ladder(n, degree, 2 * settings.lambda_max)
    if settings.circles is not None:
        tiers = [replace(t, circles=settings.circles if t.circles else 0) for t in tiers]
    return Choices(tiers, next(i for i, t in enumerate(tiers) if t.group == GOOD.group))


def _degree(engine: Engine, n: int, settings: Settings, pilot: Pilot) -> int:
    """Degree of the grid that is wanted."""
    if settings.degree is not None:
        return settings.degree
    largest = max((block.irrep.o3_lambda for block in engine.blocks), default=0)
    exact = max(2 * settings.lambda_max, 2 * largest, FIRST_GRID)
    found = list(pilot.circles.values())
    if settings.estimator == "grid":
        return wanted_degree(found, settings, exact, 2**62)
    most = settings.max_evaluations // n
    if len(O3Grid(exact, 0).matrices) <= most:
        return wanted_degree(found, settings, exact, most)
    lowest = max(2 * largest, FIRST_GRID)
    return min(wanted_degree(found, settings, lowest, max(most, LEAST_GRID)), exact)
