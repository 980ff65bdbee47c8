"""What is looked at before the sweep: targets, the grid, the memory."""

from collections.abc import Iterable

from metatrain.pet import PET

from ..messages import did_you_mean
from .problems import Problem


def choose_targets(
    model: PET, available: Iterable[str], asked: list[str] | None
) -> list[str]:
    """Targets to purify.

    :param model: PET, or what inherits from it
    :param available: those in the data
    :param asked: for by the user, None for all
    :raises ValueError: if one is not in the model or not in the data, or if none is left
    :return: their names
    """
    known, given = list(model.dataset_info.targets), sorted(available)
    for name in asked or []:
        for names, where in ((known, "the model has"), (given, "the data set has")):
            if name not in names:
                raise ValueError(f"{where} no target '{name}': {did_you_mean(name, names)}")
    found = [name for name in known if name in (asked or given)]
    if not found:
        raise ValueError(
            f"the data set has no target of the model: it has {', '.join(given)}, the "
            f"model {', '.join(known)}"
        )
    return found


def grid_degree(problems: list[Problem], degree: int | None) -> int:
    """Degree of the grid.

    :param problems: of the model
    :param degree: asked for by the user, if any
    :raises ValueError: if it cannot integrate the equivariance error of a target
    :return: at least twice the largest λ
    """
    needed = 2 * max(p.part.irrep.o3_lambda for p in problems)
    if degree is None:
        return max(8, needed)
    if degree < needed:
        raise ValueError(
            f"purify.degree: a target of λ = {needed // 2} needs a grid of degree {needed} "
            f"or more, not {degree}"
        )
    return degree


def check_memory(problems: list[Problem], width: int, budget: int) -> None:
    """Make sure, before the sweep, that the matrices of all problems fit.

    :param problems: of the model
    :param width: number of features
    :param budget: in bytes
    :raises MemoryError: if they do not
    """
    sizes = [p.part.irrep.dimension * width for p in problems]
    # two sets at once, then the working space of the largest solve, as measured
    total = sum(2 * 8 * size**2 for size in sizes) + 8 * 8 * max(sizes) ** 2
    if total > budget:
        largest = max(zip(sizes, map(str, (p.part for p in problems)), strict=True))
        raise MemoryError(
            f"{len(sizes)} systems of equations, the largest with {largest[0]} unknowns "
            f"for {largest[1]}, take {total / 2**20:.0f} MiB: raise purify.memory_mib "
            "above that, or name fewer purify.targets"
        )
