"""What a measurement may cost, and which plan fits."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..data.labelled import LabelledStructure
from ..measure.plan import Orbits, Plan


AIM = 0.9
"""Share of the budget that is planned with: an estimate may be wrong, a promise not."""

SHORTEST = 400.0
"""Seconds that a training is taken to last at least, so that 5 % are 20 s or more."""

GUARANTEED = 16
"""Epochs that are measured whatever it costs, if as many are due."""

FEW = (1, 2, 3, 4, 6, 8)
"""Structures that get more rotations before others are used as well."""

SLACK = 1.3
"""How much too dear a plan may seem before a series changes to another one."""

EARLY = 4
"""Measurements after which a plan is kept: the first estimates of costs are rough."""

LAST = 0.2
"""Share of the budget by which the last measurement may exceed it to be like the others."""

SOME = 3
"""Structures that a measurement should have: fewer say little of the others."""

CIRCLES = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def ladder(n: int, estimator: str) -> list[Plan]:
    """Plans that an estimator allows.

    :param n: number of structures there are
    :param estimator: ``circles``, ``grid`` or ``hybrid``
    :return: the cheapest first, otherwise in no order of cost
    """
    counts = sorted({min(n, count) for count in (*FEW, *(2**k for k in range(4, 21)))})
    if estimator == "grid":
        return [Plan(count, 2, "exact") for count in counts]
    circles = [Plan(count) for count in counts]
    if estimator == "circles":
        return circles + [Plan(n, count) for count in CIRCLES]
    plans = [Plan(1)]
    # circles are replicates: from fewer than about six in all, errors are little known
    plans += [Plan(c, {1: 4, 2: 3}.get(c, 2), "icosahedral") for c in counts]
    plans += [Plan(n, count, "icosahedral") for count in (4, 6)]
    # the degree-8 grid reaches further pseudo irreps; for a few structures it is too noisy
    some = [count for count in counts if count >= min(n, FEW[-1])]
    plans += [Plan(count, 4, "degree 8") for count in some]
    return plans + [Plan(n, count, "degree 8") for count in CIRCLES[2:]]


def decent(plans: Sequence[Plan], costs: Sequence[float]) -> int:
    """Find the cheapest plan worth having: with a set, on a few structures.

    :param plans: to choose from
    :param costs: of each, in seconds
    :return: its place among the plans
    """
    most = max(plan.n_structures for plan in plans)
    designed = any(plan.design for plan in plans)
    good = [
        i
        for i, plan in enumerate(plans)
        if plan.n_structures >= min(SOME, most) and bool(plan.design) == designed
    ]
    return min(good, key=lambda i: costs[i])


@dataclass
class Choice:
    """What to do about the epochs that are still due.

    :param plan: of each measurement
    :param count: how many of the due epochs to measure
    :param each: seconds that the budget has for each of them
    :param short: whether even so the budget does not last
    """

    plan: Plan
    count: int
    each: float
    short: bool = False


class Budget:
    """Keeps the time spent on measurements at a share of the training's.

    :param share: that may be spent
    :param fixed_schedule: whether every due epoch is measured, whatever it costs
    """

    def __init__(self, share: float, fixed_schedule: bool = False) -> None:
        self.share, self.fixed_schedule = share, fixed_schedule
        self.began = time.perf_counter()
        self.rate = 0.0
        """Seconds for one evaluation of one edge or atom."""
        self.fixed = 0.0
        """Seconds of a measurement that do not depend on the plan."""
        self.apart = 0.0
        """Seconds of files and pictures: spent, but not on measurements."""
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
    def measuring(self) -> float:
        """Seconds spent on measurements so far."""
        return self.spent - self.apart

    @property
    def training(self) -> float:
        """Seconds of the training without us so far."""
        return time.perf_counter() - self.began - self.spent

    def allowed(self, training: float) -> float:
        """Seconds that measurements of a training may take.

        :param training: expected length of the whole training, in seconds
        :return: the share of it, or of the shortest training that counts
        """
        return self.share * max(training, SHORTEST)

    def cost(self, size: float) -> float:
        """Estimate how long a measurement takes.

        :param size: of its work, as from :func:`work`
        :return: seconds
        """
        return self.fixed + self.rate * size

    def learn(self, size: float, seconds: float) -> None:
        """Take note of what a measurement has cost.

        :param size: of its work, as from :func:`work`
        :param seconds: for that work
        """
        # on a busy machine one measurement may be far off
        found = seconds / size
        self.rate = found if self.rate == 0 else 0.5 * (self.rate + found)

    def choose(
        self,
        plans: Sequence[Plan],
        costs: Sequence[float],
        training: float,
        left: int,
        done: int = 0,
        before: Plan | None = None,
    ) -> Choice:
        """Choose the plan for what is left of a training.

        :param plans: to choose from
        :param costs: of each, in seconds
        :param training: expected length of the whole training, in seconds
        :param left: measurements that are due, this one included
        :param done: measurements made so far
        :param before: the last plan, kept while it is about right: a series is compared
            best with itself
        :return: the plan, and how many of the due epochs it is measured at
        """
        available = AIM * self.allowed(training) - self.measuring
        owed = left if self.fixed_schedule else min(left, max(1, GUARANTEED - done))
        # fewer epochs rather than a poorer plan, down to those that are guaranteed
        settled = before if done >= EARLY else None
        wanted = decent(plans, costs) if settled is None else plans.index(settled)
        count = min(left, max(owed, math.floor(available / costs[wanted])))
        each = available / count
        order = sorted(range(len(plans)), key=lambda i: costs[i])
        if before is not None:
            cost = costs[plans.index(before)]
            # the end is to be compared with what came before it
            end = left == 1 and cost <= LAST * self.allowed(training)
            if end or (settled is not None and cost <= SLACK * each):
                return Choice(before, count, each)
        fitting = [i for i in order if costs[i] <= each]
        chosen = fitting[-1] if fitting else order[0]
        total = self.measuring + costs[chosen] * count
        short = not fitting and total > self.allowed(training)
        return Choice(plans[chosen], count, each, short)


def work(plan: Plan, subjects: Sequence[LabelledStructure], orbits: Orbits) -> float:
    """Evaluations times edges and atoms.

    :param plan: of the measurement
    :param subjects: the structures
    :param orbits: how they are rotated
    :return: the sum over structures
    """
    used = [one.structure for one in subjects[: plan.n_structures]]
    return float(sum(one.n_atoms + one.n_edges for one in used) * orbits.count(plan))
