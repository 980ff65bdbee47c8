"""What a measurement may cost, and which plan fits."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..measure.plan import Orbits, Plan
from ..measure.subject import Subject


CIRCLES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
BESIDE_GRID = 6
"""Circles on the structures without a grid, where others have one."""


def ladder(n: int, estimator: str) -> list[Plan]:
    """Plans that an estimator allows.

    :param n: number of structures there are
    :param estimator: ``circles``, ``grid`` or ``hybrid``
    :return: in no order of cost
    """
    counts = sorted({min(n, 2**k) for k in range(n.bit_length() + 1)})
    if estimator == "grid":
        return [Plan(count, n_grid=count) for count in counts]
    plans = [Plan(count) for count in counts]
    plans += [Plan(n, circles) for circles in CIRCLES[1:]]
    if estimator == "hybrid":
        plans += [Plan(n, BESIDE_GRID, count) for count in counts]
    return plans


AIM = 0.8
"""Share of the budget that is planned with: an estimate may be wrong, a promise not."""


class Budget:
    """Keeps the time spent on watching at a share of the training's.

    :param share: that may be spent
    :param closing: seconds that the drawing at the end takes
    """

    def __init__(self, share: float, closing: float = 0.0) -> None:
        self.share, self.closing = share, closing
        self.began = time.perf_counter()
        self.rate = 0.0
        """Seconds for one evaluation of one edge or atom."""
        self.fixed = 0.0
        """Seconds of a measurement that do not depend on the plan."""
        self._spent, self._since = 0.0, math.nan

    def restart(self) -> None:
        """Forget what lies before the first step."""
        self.began, self._spent = time.perf_counter(), 0.0
        self._since = self.began

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count what is done inside."""
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._spent += time.perf_counter() - self._since
            self._since = math.nan

    @property
    def spent(self) -> float:
        """Seconds spent so far, with those of an unfinished :meth:`spending`."""
        running = time.perf_counter() - self._since
        return self._spent + (0.0 if math.isnan(running) else running)

    @property
    def training(self) -> float:
        """Seconds of the training without us so far."""
        return time.perf_counter() - self.began - self.spent

    def cost(self, plan: Plan, subjects: Sequence[Subject], orbits: Orbits) -> float:
        """Estimate how long a measurement takes.

        :param plan: of the measurement
        :param subjects: the structures
        :param orbits: how they are turned
        :return: seconds
        """
        return self.fixed + self.rate * work(plan, subjects, orbits)

    def learn(self, size: float, measuring: float, whole: float) -> None:
        """Take note of what a measurement has cost.

        :param size: of its work, as from :func:`work`
        :param measuring: seconds for that work
        :param whole: seconds for all of it, files and pictures included
        """
        self.rate = measuring / size
        self.fixed = whole - measuring

    def choose(
        self,
        plans: Sequence[Plan],
        costs: Sequence[float],
        training: float,
        left: int,
        before: Plan | None = None,
    ) -> tuple[Plan, float]:
        """Choose the plan for what is left of a training.

        :param plans: to choose from
        :param costs: of each, in seconds
        :param training: expected length of the whole training, in seconds
        :param left: measurements that are due, this one included
        :param before: the last plan, kept while it is about right
        :return: the plan, and every how many of the due epochs it is affordable
        """
        available = AIM * self.share * training - self.spent - self.closing
        each = available / left
        if before is not None and 0.6 * each <= costs[plans.index(before)] <= 1.25 * each:
            return before, 1
        order = sorted(range(len(plans)), key=lambda i: costs[i])
        fitting = [i for i in order if costs[i] <= each]
        if fitting:
            return plans[fitting[-1]], 1
        cheapest = order[0]
        affordable = available / costs[cheapest]
        # the end is measured in any case, so that "never" means until then
        return plans[cheapest], left / affordable if affordable >= 1 else math.inf


def work(plan: Plan, subjects: Sequence[Subject], orbits: Orbits) -> float:
    """Evaluations times edges and atoms.

    :param plan: of the measurement
    :param subjects: the structures
    :param orbits: how they are turned
    :return: the sum over structures
    """
    sizes = [one.prepared.n_atoms + one.prepared.n_edges for one in subjects]
    turned = sizes[: plan.n_structures]
    total = sum(size * orbits.count(plan, i) for i, size in enumerate(turned))
    return float(total + sum(sizes))  # errors take one evaluation of every structure
