"""What one measurement of a series does, and how it turns the structures."""

from dataclasses import dataclass

from ..group import Circles, O3Grid, Orbit


@dataclass(frozen=True)
class Plan:
    """What one measurement does.

    :param n_structures: the first so many
    :param circles: random circles on each structure without a grid, two or more
    :param n_grid: how many of the structures get the exact grid instead
    """

    n_structures: int
    circles: int = 2
    n_grid: int = 0

    def __str__(self) -> str:
        parts = [f"{self.n_structures} structure{'s' * (self.n_structures > 1)}"]
        if self.n_grid:
            parts.append(f"the exact grid on {self.n_grid} of them")
        if self.n_grid < self.n_structures:
            parts.append(f"{self.circles} circles{' on the others' * bool(self.n_grid)}")
        return ", ".join(parts)


class Orbits:
    """The orbits of a series: the same at every epoch.

    :param lambda_max: largest λ of the spectra
    :param seed: of the circles
    """

    def __init__(self, lambda_max: int = 8, seed: int = 0) -> None:
        self.lambda_max, self.seed = lambda_max, seed
        self.grid = O3Grid(max(4, 2 * lambda_max), lambda_max)

    def count(self, plan: Plan, index: int) -> int:
        """Evaluations on one structure.

        :param plan: of the measurement
        :param index: number of the structure
        :return: how many
        """
        if index < plan.n_grid:
            return len(self.grid.matrices)
        return plan.circles * len(Circles(1, self.lambda_max).matrices)

    def of(self, plan: Plan, index: int) -> Orbit:
        """Orbit of one structure.

        :param plan: of the measurement
        :param index: number of the structure
        :return: grid or circles
        """
        if index < plan.n_grid:
            return self.grid
        return Circles(plan.circles, self.lambda_max, self.seed + index)
