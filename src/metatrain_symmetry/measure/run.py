"""The passes over the structures, within the budget."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.labelled import LabelledStructure
from ..data.lazy import LazyStructures
from ..groups import Group, Orbit
from ..messages import quoted
from ..models.engine import Engine, Prepared
from ..progress import progress as progress_bar
from .budget import Clock, TimeUp, in_words
from .pilot import Pilot, look
from .planner import choices
from .settings import Settings
from .structure import Measured, measure_structure
from .tiers import Plan, Tier, small_tiers


RESERVE = 0.9
"""Share of the time left that is planned with."""

CANDIDATES = 16
"""Structures of which the pilot looks at the largest."""

WORTH_IT = 2.0
"""Ratio of evaluations from which on a better plan is worth measuring once more."""

LATEST = 1.2
"""Share of the budget at which a structure is given up."""


class Run:
    """Measures structures in random order until all are done or the time is up.

    :param engine: what evaluates the model
    :param group: whose symmetry is measured
    :param data: structures as prepared by the engine, with their targets
    :param settings: of the measurement
    :param clock: keeps the budget
    :param progress: whether to show a progress bar
    """

    def __init__(
        self,
        engine: Engine,
        group: Group,
        data: Sequence[LabelledStructure | Prepared],
        settings: Settings,
        clock: Clock,
        progress: bool,
    ) -> None:
        self.engine, self.group = engine, group
        self.data, self.settings = _labelled(data), settings
        self.clock = clock
        self.bar: Any = progress_bar(unit="rot", desc="orbits", disable=not progress)
        self.evaluations = 0
        random = np.random.default_rng(settings.seed)
        self.order = [int(i) for i in random.permutation(len(data))]
        self.sizes = np.maximum(np.array(_sizes(self.data), dtype=float), 1)
        self.sets: dict[int, Measured] = {}
        self.circles: dict[int, Measured] = {}
        self.tiers: dict[int, Tier] = {}
        self.orbits: dict[object, Orbit] = {}
        self.given_up = 0
        self.small = small_tiers(group) or [Tier(group.exact(0), noise=0)]
        self.pilot: Pilot
        self.plan: Plan
        self.wanted: Tier

    @property
    def measured(self) -> list[int]:
        """Structures that something is known of, ascending."""
        return sorted({*self.sets, *self.circles})

    def measure(self) -> None:
        """Measure what the budget affords."""
        with self.bar:
            self.pilot = look(
                self.engine,
                self.group,
                self.data,
                self._pilots(),
                self.settings,
                self.clock,
                self._progress,
            )
            self.plan = self._choose()
            # the pilot prefers large structures: only those that are drawn count
            drawn = self.order[: self.plan.n_structures]
            self.circles |= {
                i: self.pilot.circles[i] for i in drawn if i in self.pilot.circles
            }
            self._follow()
            better = self._better()
            if better is not None:
                self.plan = better
                self._follow()
            self.bar.total = self.bar.n
            self.bar.refresh()

    def _follow(self) -> None:
        """Do what the plan says, as long as there is time; learn how fast it goes."""
        began, count = self.clock.elapsed, self.plan.n_structures
        self.bar.total = self.bar.n + count * self._cost(self.plan.tier)
        self.bar.refresh()
        work = 0.0
        for place, index in enumerate(self.order[:count]):
            tier = self._tier(index, count - place)
            if tier is None:
                self.given_up = count - place
                break
            self._measure(index, tier)
            work += self._cost(tier) * float(self.sizes[index])
        if work > 0:
            self.pilot.seconds = (self.clock.elapsed - began) / work

    def _better(self) -> Plan | None:
        """A plan that is worth the time left, where the first one took far less."""
        if self.plan.tier == self.wanted or not math.isfinite(self.clock.budget):
            return None
        better = self._choose()
        gain = self._cost(better.tier) / self._cost(self.plan.tier)
        enough = better.n_structures >= self.plan.n_structures and not self.given_up
        return better if enough and gain >= WORTH_IT else None

    def _progress(self, count: int) -> None:
        self.evaluations += count
        self.bar.update(count)

    def _cost(self, tier: Tier) -> int:
        return tier.evaluations(self.group, self.pilot.lambda_circles)

    def _seconds(self, index: int) -> float:
        """Of one evaluation of a structure."""
        return self.pilot.seconds * float(self.sizes[index])

    def _pilots(self) -> list[int]:
        """Structures to look at first: large ones, for lone atoms show next to nothing."""
        return sorted(self.order[:CANDIDATES], key=lambda i: -self.sizes[i])

    def _choose(self) -> Plan:
        """Choose the tier, and how many structures get it."""
        n = len(self.data)
        found = choices(self.engine, self.group, n, self.settings, self.pilot)
        self.wanted = found.tiers[-1]
        seconds = self.pilot.seconds * float(self.sizes.mean())
        left = RESERVE * self.clock.left
        return found.plan(n, seconds, left, self.pilot.lambda_circles)

    def _tier(self, index: int, remaining: int) -> Tier | None:
        """Tier of one structure: a large one gets less, rather than all of the time."""
        left = max(self.clock.budget * 1.1 - self.clock.elapsed, 0.0)
        seconds = self._seconds(index)
        share = left if remaining == 1 else max(left / remaining * 2, left / 4)
        if self.clock.left <= 0 and self.tiers:
            return None
        tiers = [t for t in self.small if self._cost(t) < self._cost(self.plan.tier)]
        for tier in [self.plan.tier, *reversed(tiers)]:
            if seconds * self._cost(tier) <= share:
                return tier
        return None if self.tiers else self.small[0]

    def _measure(self, index: int, tier: Tier) -> None:
        """Measure one structure; what the pilot knows of it stays if time runs out."""
        try:
            found = self._evaluate(index, tier)
        except TimeUp:
            if self.measured:
                self.given_up += 1
                return
            tier = self.small[0]
            found = self._evaluate(index, tier)
        self.tiers[index] = tier
        for known, new in zip((self.sets, self.circles), found, strict=True):
            if new is not None:
                known[index] = new

    def _evaluate(self, index: int, tier: Tier) -> tuple[Measured | None, Measured | None]:
        """Evaluate point set and circles of one structure."""
        seed, limit = self.settings.seed + index, self.settings.lambda_max
        on_set, on_circles = None, None
        if tier.points is not None:
            orbit = tier.points.orbit(limit, self.group.frame(seed))
            on_set = self._along(orbit, index, spectra=tier.resolves)
        if tier.circles:
            most = tier.circle_limit(self.pilot.lambda_circles)
            circles = self.group.circles(tier.circles, most, seed + 2**20)
            assert circles is not None  # only a finite group has none
            centres = {} if on_set is None else on_set.equivariance
            on_circles = self._along(
                circles,
                index,
                equivariance=on_set is None,
                centres={block: one.mean for block, one in centres.items()},
            )
        return on_set, on_circles

    def _along(self, orbit: Orbit, index: int, **options: Any) -> Measured:
        """Evaluate one structure along one orbit."""
        found = measure_structure(
            self.engine,
            self.data[index].structure,
            orbit,
            self.engine.blocks,
            self.engine.probes,
            group=self.group,
            asymmetry=not self.group.finite,
            memory=self.settings.memory,
            seed=self.settings.seed + index,
            progress=self._tick,
            **options,
        )
        return found.sharing(self.orbits)

    def _tick(self, count: int) -> None:
        self._progress(count)
        if self.tiers or self.measured:
            self.clock.check(LATEST)

    def summary(self) -> dict[str, Any]:
        """Say what was done.

        :return: can be written as JSON
        """
        total, done = len(self.data), len(self.tiers)
        text = f"{done} of {total} structure{'s' * (total != 1)}, {self.plan.tier} on each"
        lower = {str(t) for t in self.tiers.values()} - {str(self.plan.tier)}
        if lower:
            text += f" ({', '.join(sorted(lower))} on large ones)"
        if done < total or self.plan.tier != self.wanted or lower:
            text += self._more()
        return {
            "n_structures": total,
            "n_measured": done,
            "plan": text,
            "grid_degree": getattr(self.plan.tier.points, "degree", None),
            "evaluations": self.evaluations,
            "seconds": round(self.clock.elapsed, 3),
        }

    def _more(self) -> str:
        """Say what more time would buy."""
        mean = float(self.sizes.mean()) * self.pilot.seconds
        need = mean * len(self.data) * self._cost(self.wanted) / RESERVE
        each = "each of them" if len(self.data) > 1 else "it"
        return f"; {self.wanted} on {each} would take about {in_words(need)} (--budget)"


def _labelled(
    data: Sequence[LabelledStructure | Prepared],
) -> Sequence[LabelledStructure]:
    """Structures with what is known of them, prepared when asked for if they were so."""
    if isinstance(data, LazyStructures):
        return data
    for index, one in enumerate(data):
        if not isinstance(one, LabelledStructure | Prepared):
            raise ValueError(
                f"structure {index} is {quoted(one)}: give what engine.prepare returns"
            )
    return [d if isinstance(d, LabelledStructure) else LabelledStructure(d) for d in data]


def _sizes(data: Sequence[LabelledStructure]) -> list[int]:
    """Number of atoms of each structure, without preparing one."""
    if isinstance(data, LazyStructures):
        return data.sizes
    return [one.structure.n_atoms for one in data]
