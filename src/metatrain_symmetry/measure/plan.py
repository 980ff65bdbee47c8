"""What one measurement of a series does, and how it rotates the structures."""

from dataclasses import dataclass
from functools import lru_cache

from ..groups import Circles, GroupOrbit, O3Grid, Orbit, random_frame


DESIGNS = {"": 0, "icosahedral": 120, "degree 8": 684}
"""Small sets of rotations and inversions, by name, and their evaluations."""


@dataclass(frozen=True)
class Plan:
    """What one measurement does with each of its structures.

    :param n_structures: how many structures are used: the first ones
    :param circles: random circles on each structure; two or more where there is nothing
        else
    :param design: a small set in a random frame, a key of :data:`DESIGNS`, or ``exact``:
        the exact grid of the spectrum
    """

    n_structures: int
    circles: int = 2
    design: str = ""

    def __str__(self) -> str:
        parts = [f"{self.n_structures} structure{'s' * (self.n_structures > 1)}"]
        if self.circles:
            parts.append(f"{self.circles} circles each")
        if self.design:
            names = {
                "icosahedral": "the icosahedral set",
                "degree 8": "the degree-8 grid",
                "exact": "the exact grid",
            }
            parts.append(names[self.design])
        return ", ".join(parts)

    @property
    def estimator(self) -> str:
        """What the values of A come from, for a table."""
        names = {"": "circles", "exact": "grid", "degree 8": "degree-8 grid"}
        return names.get(self.design, self.design)


class Orbits:
    """The orbits of a series: the same at every epoch.

    :param lambda_max: largest λ of the spectra
    :param seed: of circles and frames; each structure has its own
    """

    def __init__(self, lambda_max: int = 8, seed: int = 0) -> None:
        self.lambda_max, self.seed = lambda_max, seed
        self._known: dict[tuple[str, int, int], Orbit] = {}

    def count(self, plan: Plan) -> int:
        """Evaluations of one structure.

        :param plan: of the measurement
        :return: how many
        """
        return plan.circles * _angles(self.lambda_max) + self.size(plan.design)

    def size(self, design: str) -> int:
        """Elements of a small set, or of the exact grid.

        :param design: as in a plan
        :return: how many
        """
        if design == "exact":
            return _grid_size(self._exact_degree)
        return DESIGNS[design]

    def circles(self, plan: Plan, index: int) -> Orbit | None:
        """Circles of one structure.

        :param plan: of the measurement
        :param index: number of the structure
        :return: nothing if there are none in the plan
        """
        if not plan.circles:
            return None
        key = ("circles", plan.circles, index)
        if key not in self._known:
            seed = self.seed + index
            self._known[key] = Circles(plan.circles, self.lambda_max, seed)
        return self._known[key]

    def design(self, plan: Plan, index: int) -> Orbit | None:
        """Small set or exact grid of one structure, in its frame.

        :param plan: of the measurement
        :param index: number of the structure
        :return: nothing if there is none in the plan
        """
        if not plan.design:
            return None
        # the exact grid needs no frame: one for all structures
        own = 0 if plan.design == "exact" else index
        key = (plan.design, 0, own)
        if key not in self._known:
            self._known[key] = self._make(plan.design, own)
        return self._known[key]

    def _make(self, design: str, index: int) -> Orbit:
        # another stream than that of the circles
        frame = random_frame(self.seed + index + 1_000_003)
        if design == "icosahedral":
            return GroupOrbit("I", frame=frame, lambda_max=min(self.lambda_max, 2))
        if design == "degree 8":
            return O3Grid(8, min(self.lambda_max, 4), frame=frame)
        return O3Grid(self._exact_degree, self.lambda_max)

    @property
    def _exact_degree(self) -> int:
        return max(4, 2 * self.lambda_max)


@lru_cache(maxsize=64)
def _angles(lambda_max: int) -> int:
    return len(Circles(1, lambda_max).matrices)


@lru_cache(maxsize=64)
def _grid_size(degree: int) -> int:
    return len(O3Grid(degree, 0).matrices)
