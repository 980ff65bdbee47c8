"""What can be chosen about a measurement."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..groups import O3, Group, group_by_name
from ..messages import quoted


class Settings(BaseModel):
    """Settings of a measurement; the defaults suit a first look.

    :param lambda_max: largest λ of the spectra
    :param budget: seconds that the measurement may take, None for no limit. It decides on
        grids, circles and, where it is short, on the number of structures
    :param estimator: ``grid``: a grid that is exact up to ``lambda_max`` on every
        structure. ``circles``: random circles. ``hybrid``: on every structure a grid in a
        random frame, as large as the spectra ask for, for A and the channels of its band,
        and circles for the others. ``icosahedral``: on every structure the icosahedral
        group with inversion in a random frame, 120 evaluations, for A of many structures;
        circles on a few of them say what it misses
    :param degree: integration degree of the grid; None chooses it by what a pilot finds
        beyond its band
    :param max_degree: largest degree that is chosen
    :param tolerance: share of the squared norm beyond ``lambda_max`` up to which a
        spectrum counts as converged
    :param circles: circles on each structure, at least 2; None takes about 100 in all, or
        8 in all beside a grid of a given degree
    :param max_evaluations: evaluations that ``hybrid`` may spend on grids that are exact
        up to ``lambda_max``
    :param memory: budget for one evaluation, and for the sums of one structure, each,
        in bytes
    :param seed: of frames, circles, sketches and choices among structures

    >>> from metatrain_symmetry import Settings
    >>> Settings(lambda_max=4).estimator
    'hybrid'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lambda_max: int = Field(default=8, ge=0, le=32)
    budget: float | None = Field(default=120.0, gt=0)
    estimator: Literal["grid", "circles", "hybrid", "icosahedral"] = "hybrid"
    degree: int | None = Field(default=None, ge=2, le=131)
    max_degree: int = Field(default=20, ge=2, le=131)
    tolerance: float = Field(default=1e-3, gt=0, lt=1)
    circles: int | None = Field(default=None, ge=2)
    max_evaluations: int = Field(default=20_000, ge=0)
    memory: int = Field(default=2 * 2**30, ge=2**20)
    seed: int = Field(default=0, ge=0)


OF_INFINITE = ("lambda_max", "estimator", "degree", "max_degree", "circles")
"""Settings that choose among orbits: a finite group has one, which is exact, and other
groups may have no circles."""


OF_GRIDS = ("degree", "max_degree", "max_evaluations")
"""Settings of grids alone."""


def checked_group(group: object, settings: Settings) -> Group:
    """Group whose symmetry is measured.

    :param group: as given: a group, its name, or None for O(3)
    :param settings: of the measurement
    :raises ValueError: if it is no group, or if a setting means nothing for it
    :return: the group
    """
    found = O3() if group is None else group
    if isinstance(found, str):
        found = group_by_name(found)
    if not isinstance(found, Group):
        raise ValueError(
            f"group is {quoted(found)}: give a Group, such as "
            "FiniteGroup.from_matrices(matrices), or a name, such as C3v, or leave it out "
            "for O(3)"
        )
    for_group(settings, found)
    return found


def for_group(settings: Settings, group: Group) -> None:
    """Make sure that nothing is asked of a group or an estimator that it cannot give.

    :param settings: of a measurement
    :param group: whose symmetry is measured
    :raises ValueError: if a setting means nothing for the group, or for the estimator
    """
    given = [
        name
        for name in OF_INFINITE
        if name in settings.model_fields_set and name not in group.chooses
    ]
    if given and not group.finite:
        raise ValueError(
            f"{group.name} is averaged over uniform angles about its axis: leave out "
            f"'{given[0]}'"
        )
    if given:
        raise ValueError(
            f"{group.name} is a finite group, over which every average is exact: leave "
            f"out '{given[0]}'"
        )
    grids = [name for name in OF_GRIDS if name in settings.model_fields_set]
    if grids and settings.estimator == "icosahedral":
        raise ValueError(
            f"the estimator icosahedral takes no grid: leave out '{grids[0]}', or choose "
            "another estimator"
        )
