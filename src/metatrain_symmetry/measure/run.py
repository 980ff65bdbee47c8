"""The passes over the structures, within the budget."""

import math
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..data.labelled import LabelledStructure
from ..data.lazy import LazyStructures
from ..groups import Group, Orbit, PointSet
from ..messages import quoted
from ..models.engine import Engine, Prepared
from ..processes import Processes
from ..progress import progress as progress_bar
from .budget import Clock, TimeUp, in_words
from .found import Found, Given, look_at_given
from .kept import Kept
from .pieces import Pieces
from .pilot import CIRCLES, Pilot, look
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
    :param processes: which share the structures
    :param kept: where what is found on each structure is kept; None for nowhere
    """

    def __init__(
        self,
        engine: Engine,
        group: Group,
        data: Sequence[LabelledStructure | Prepared],
        settings: Settings,
        clock: Clock,
        progress: bool,
        processes: Processes | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.engine, self.group = engine, group
        self.data, self.settings = _labelled(data), settings
        self.clock = clock
        self.processes = processes or Processes()
        self.pieces = Pieces(kept, self.data, settings)
        shown = progress and self.processes.first
        self.bar: Any = progress_bar(unit="rot", desc="orbits", disable=not shown)
        self.evaluations = 0
        random = np.random.default_rng(settings.seed)
        self.order = [int(i) for i in random.permutation(len(data))]
        self.sizes = np.maximum(np.array(_sizes(self.data), dtype=float), 1)
        self.sets: dict[int, Measured] = {}
        self.circles: dict[int, Measured] = {}
        self.tiers: dict[int, Tier] = {}
        self.given: dict[int, Given] = {}
        self.orbits: dict[object, Orbit] = {}
        self.given_up, self.passes = 0, 0
        self.earlier: set[int] = set()
        self.at_all_costs = False
        self.small = small_tiers(group) or [Tier(group.exact(0), noise=0)]
        self.pilot: Pilot
        self.plan: Plan
        self.wanted: Tier

    @property
    def measured(self) -> list[int]:
        """Structures that something is known of, ascending."""
        return sorted({*self.sets, *self.circles})

    def measure(self) -> None:
        """Measure what the budget affords; the first process knows everything then."""
        with self.bar:
            self._go_on()
            self.pilot = self._look()
            self._settle(self._choose())
            # the pilot prefers large structures: only those that are drawn count
            drawn = self.order[: self.plan.n_structures]
            for i in drawn:
                if i in self.pilot.circles:
                    self.circles[i] = self.pilot.circles[i]
                    self.circles[i].along(self._circles(CIRCLES, self.pilot.limit))
            self._follow()
            if self._settle(self._better()):
                self._follow()
            for index in self.measured if self.processes.first else ():
                if index not in self.given:
                    self.given[index] = self._look_at_given(index, self.plan.tier)
            self._show()
            self.bar.total = self.bar.n
            self.bar.refresh()
        if self.processes.first:
            self.pieces.say(len(self.earlier))

    def _go_on(self) -> None:
        """What an earlier run has spent of the budget is spent."""
        self.clock.began -= self.processes.from_first(self.pieces.elapsed)

    def _look(self) -> Pilot:
        """The pilot, perhaps as an earlier run has left it."""
        which = self._pilots()
        pilot, count = self.processes.from_first(lambda: self.pieces.pilot(which))
        if pilot is not None:
            self._progress(count if self.processes.first else 0)
            return cast(Pilot, pilot)
        pilot = look(
            self.engine, self.group, self.data, which, self.settings, self.clock,
            self._progress, self.processes,
        )  # fmt: skip
        if self.processes.first:
            self.pieces.keep_pilot(which, pilot, self.processes.done(0))
        return pilot

    def _settle(self, plan: Plan | None) -> bool:
        """Agree on a plan, on the time, and on how fast the model is.

        :param plan: of the first process; that of an earlier run comes before it
        :return: whether there is one
        """
        size = self.processes.size
        elapsed, self.pilot.seconds, plan = self.processes.from_first(
            lambda: (
                self.clock.elapsed, self.pilot.seconds,
                self.pieces.plan(self._pilots(), self.passes, size, plan),
            )
        )  # fmt: skip
        if not self.processes.first:
            self.clock.set(elapsed)
        if plan is not None:
            self.plan = plan
        return plan is not None

    def _follow(self) -> None:
        """Do what the plan says, as long as there is time; learn how fast it goes."""
        count = self.plan.n_structures
        self._show()
        self.bar.total = self.bar.n + count * self._cost(self.plan.tier)
        self.bar.refresh()
        own: dict[int, Found] = {}
        for place in self.processes.take(count):
            found = self._measure(place)
            if found is None:
                break
            own[place] = found
        self.passes += 1
        several = self.processes.gather(own, self._show)
        together = {place: found for part in several for place, found in part.items()}
        for _, found in sorted(together.items()):
            self._absorb(found)
        self.given_up = count - len(together)
        work = sum(self._cost(f.tier) * self.sizes[f.index] for f in together.values())
        if work > 0:
            self.pilot.seconds = sum(f.seconds for f in together.values()) / float(work)

    def _absorb(self, found: Found) -> None:
        """Take what was found on one structure; the rest of what is known of it stays."""
        index, planned = found.index, self.plan.tier
        # of a copy that came from elsewhere nothing else is needed
        self.tiers[index] = planned if found.tier == planned else found.tier
        self.given[index] = found.given
        if found.earlier:
            self.earlier.add(index)
        if found.on_set is not None:
            assert found.tier.points is not None
            found.on_set.along(self._orbit(found.tier.points))
            self.sets[index] = found.on_set
        if found.on_circles is not None:
            most = found.tier.circle_limit(self.pilot.lambda_circles)
            found.on_circles.along(self._circles(found.tier.circles, most))
            self.circles[index] = found.on_circles

    def _orbit(self, points: PointSet) -> Orbit:
        """One orbit of a set, which stands for those in all frames."""
        if points not in self.orbits:
            self.orbits[points] = points.orbit(self.settings.lambda_max)
        return self.orbits[points]

    def _circles(self, count: int, limit: int) -> Orbit | None:
        """Some circles, which stand for all of their kind."""
        if (count, limit) not in self.orbits:
            circles = self.group.circles(count, limit, self.settings.seed)
            assert circles is not None  # only a finite group has none
            self.orbits[count, limit] = circles
        return self.orbits[count, limit]

    def _better(self) -> Plan | None:
        """A plan that is worth the time left, where the first one took far less."""
        if not self.processes.first:
            return None
        if self.plan.tier == self.wanted or not math.isfinite(self.clock.budget):
            return None
        better = self._choose()
        gain = self._cost(better.tier) / self._cost(self.plan.tier)
        enough = better.n_structures >= self.plan.n_structures and not self.given_up
        return better if enough and gain >= WORTH_IT else None

    def _progress(self, count: int) -> None:
        self.evaluations += count
        self._show(count)

    def _show(self, count: int = 0) -> None:
        """Move the bar to where all processes together are.

        :param count: what this one has done since
        """
        done = self.processes.done(count)
        self.bar.update(done - self.bar.n)

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
        left = RESERVE * self.clock.left * self.processes.speedup(n)
        return found.plan(n, seconds, left, self.pilot.lambda_circles)

    def _tier(self, place: int) -> Tier | None:
        """Tier of one structure: a large one gets less, rather than all of the time."""
        remaining = self.plan.n_structures - place
        first = place == 0 and self.passes == 0
        left = max(self.clock.budget * 1.1 - self.clock.elapsed, 0.0)
        seconds = self._seconds(self.order[place])
        each = left / remaining * 2 * self.processes.size
        share = left if remaining == 1 else min(max(each, left / 4), left)
        if self.clock.left <= 0 and not first:
            return None
        tiers = [t for t in self.small if self._cost(t) < self._cost(self.plan.tier)]
        for tier in [self.plan.tier, *reversed(tiers)]:
            if seconds * self._cost(tier) <= share:
                return tier
        return self.small[0] if first else None

    def _measure(self, place: int) -> Found | None:
        """Measure one structure, unless an earlier run has or there is no time.

        :param place: in the random order
        :return: what is found; what the pilot knows of it stays if time runs out
        """
        index, pilot = self.order[place], self.pilot.lambda_circles
        known = self.pieces.found(index, self.plan.tier, pilot)
        if known is not None:
            self._progress(known.evaluations)
            return known
        tier = self._tier(place)
        if tier is None:
            return None
        began, before = time.perf_counter(), self.evaluations
        # something has to come of it
        self.at_all_costs = place == 0 and self.passes == 0 and not self.circles
        try:
            on_set, on_circles = self._evaluate(index, tier)
        except TimeUp:
            return None
        given = self._look_at_given(index, tier, on_set, on_circles)
        for one in (on_set, on_circles):
            if one is not None:
                one.along(None)
        seconds, count = time.perf_counter() - began, self.evaluations - before
        found = Found(index, tier, on_set, on_circles, given, seconds, count)
        self.pieces.keep(found, self.plan.tier, pilot, self.clock)
        return found

    def _look_at_given(self, index: int, tier: Tier, *measured: Measured | None) -> Given:
        """Evaluate one structure as it was given."""
        several = measured or (self.circles[index],)
        seeds = self.settings.seed, self.settings.seed + index
        return look_at_given(self.engine, self.data[index], [*several], tier.noise, seeds)

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
        if not self.at_all_costs:
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
            "evaluations": self.processes.done(0),
            "processes": self.processes.size,
            "seconds": round(self.clock.elapsed, 3),
        }

    def _more(self) -> str:
        """Say what more time would buy."""
        mean = float(self.sizes.mean()) * self.pilot.seconds
        speedup = self.processes.speedup(len(self.data))
        need = mean * len(self.data) * self._cost(self.wanted) / RESERVE / speedup
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
