"""Which pieces of a measurement are kept, and what each of them depends on."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ..data.labelled import LabelledStructure
from .budget import Clock
from .found import Found
from .kept import STRUCTURE, Kept, digest_of_structure
from .pilot import Pilot
from .settings import Settings
from .tiers import Plan, Tier


class Pieces:
    """Pilot, plans and structures of one measurement.

    :param kept: where they are kept; None for nowhere
    :param data: the structures
    :param settings: of the measurement
    """

    def __init__(
        self, kept: Kept | None, data: Sequence[LabelledStructure], settings: Settings
    ) -> None:
        self.kept, self.data, self.settings = kept, data, settings
        # other plans, perhaps, but each structure is measured in the same way
        self.each = settings.model_dump(exclude={"budget"})

    def elapsed(self) -> float:
        """Seconds that earlier runs have spent."""
        if self.kept is None or self.settings.budget is None:
            return 0.0
        return float(self.kept.get("elapsed", self.each) or 0.0)

    def pilot(self, which: Sequence[int]) -> tuple[Pilot | None, int]:
        """Pilot of an earlier run, and the number of its evaluations.

        :param which: structures that are looked at
        :return: None and 0 if there is none
        """
        known = None
        if self.kept is not None:
            known = self.kept.get("pilot", *self._plan_of(which))
        return known or (None, 0)

    def keep_pilot(self, which: Sequence[int], pilot: Pilot, evaluations: int) -> None:
        """Keep the pilot.

        :param which: structures that were looked at
        :param pilot: what it has brought
        :param evaluations: that it took
        """
        if self.kept is not None:
            self.kept.put((pilot, evaluations), "pilot", *self._plan_of(which))

    def plan(
        self, which: Sequence[int], number: int, size: int, plan: Plan | None
    ) -> Plan | None:
        """Plan of an earlier run, or else a new one, which is kept.

        :param which: structures that the pilot looked at
        :param number: of the pass over the structures
        :param size: number of processes
        :param plan: that would be followed now; None for no pass
        :return: the plan that is followed
        """
        if self.kept is None:
            return plan
        identity = ("plan", number, size, *self._plan_of(which))
        known = self.kept.get(*identity)
        if known is None:
            known = (plan,)
            self.kept.put(known, *identity)
        return cast(Plan | None, known[0])

    def found(self, index: int, tier: Tier, lambda_circles: int) -> Found | None:
        """One structure, as an earlier run has measured it.

        :param index: of the structure
        :param tier: that is planned; what was measured may be less
        :param lambda_circles: largest λ that circles resolve
        :return: None if it has not
        """
        if self.kept is None or not self.kept.resume:
            return None
        known = self.kept.get(*self._structure(index, tier, lambda_circles))
        return None if known is None else replace(known, earlier=True)

    def say(self, earlier: int) -> None:
        """Say how much of a measurement an earlier run has done.

        :param earlier: number of structures that it has measured
        """
        if self.kept is not None and self.kept.resume:
            logging.info(
                f"{earlier} of {len(self.data)} structures are from an earlier run"
            )

    def keep(self, found: Found, tier: Tier, lambda_circles: int, clock: Clock) -> None:
        """Keep one structure.

        :param found: what was measured
        :param tier: that was planned
        :param lambda_circles: largest λ that circles resolve
        :param clock: of the measurement
        """
        if self.kept is None:
            return
        self.kept.put(found, *self._structure(found.index, tier, lambda_circles))
        if self.settings.budget is not None:
            self.kept.put(clock.elapsed, "elapsed", self.each)

    def _structure(self, index: int, tier: Tier, limit: int) -> tuple[Any, ...]:
        size = 0 if tier.points is None else tier.points.size
        what = (str(tier), size, tier.circles, tier.noise, limit)
        return STRUCTURE, index, digest_of_structure(self.data, index), what, self.each

    def _plan_of(self, which: Sequence[int]) -> tuple[Any, ...]:
        """What pilot and plans depend on."""
        structures = [(i, digest_of_structure(self.data, i)) for i in which]
        return self.settings.model_dump(), len(self.data), structures
