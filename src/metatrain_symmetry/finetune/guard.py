"""Which weights are kept: of those whose held-out accuracy is accepted, the most symmetric.

The candidates lie along the fine-tuning, from the trained weights through the ends of its
stages (see :mod:`.stages`), with straight lines between them: along each, A and the errors
change smoothly, so that there is nearly always a candidate that is accepted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import Errors, Table


LEAST = 1e-2
"""A smaller gain in A is not worth a new checkpoint."""

KEPT = 0.5
"""Share of its norm that a prediction has to keep: zero is perfectly equivariant."""

STEPS = 3
"""Bisections between the last point that is accepted and the first that is not."""


@dataclass(frozen=True)
class Point:
    """A candidate.

    :param share: of the fine-tuning
    :param held_out: errors on the validation set
    """

    share: float
    held_out: Table


@dataclass(frozen=True)
class Choice:
    """What the guard decides.

    :param before: the trained weights
    :param curve: all candidates, by their share
    :param chosen: the best of them, None if the trained weights are to stay
    :param reason: why they stay
    """

    before: Point
    curve: list[Point]
    chosen: Point | None
    reason: str

    @property
    def after(self) -> Point:
        """What is written."""
        return self.chosen or self.before


def choose(
    before: Table,
    marks: Sequence[float],
    measure: Callable[[float], Table],
    max_increase: float,
) -> Choice:
    """Look at candidates, and decide.

    :param before: errors of the trained weights
    :param marks: shares of the fine-tuning that are looked at in any case
    :param measure: errors of the weights at a share
    :param max_increase: largest increase of an RMSE, as a share of it
    :return: the decision
    """
    start = Point(0.0, before)
    points = {share: Point(share, measure(share)) for share in marks}

    def accepted(point: Point) -> bool:
        return not objection(before, point.held_out, max_increase)

    good = max([p.share for p in points.values() if accepted(p)], default=0.0)
    bad = min([p.share for p in points.values() if p.share > good], default=good)
    for _ in range(STEPS if bad > good else 0):
        middle = (good + bad) / 2
        points[middle] = Point(middle, measure(middle))
        good, bad = (middle, bad) if accepted(points[middle]) else (good, middle)
    curve = [points[share] for share in sorted(points)]
    allowed = [point for point in curve if accepted(point)]
    best = min(allowed, key=lambda p: gain(before, p.held_out), default=None)
    if best is None:
        return Choice(
            start, curve, None, objection(before, curve[0].held_out, max_increase)
        )
    if gain(before, best.held_out) > 1 - LEAST:
        return Choice(start, curve, None, "no candidate had a lower equivariance error")
    return Choice(start, curve, best, "")


def gain(before: Table, after: Table) -> float:
    """Geometric mean over targets and gradients of A after over A before."""
    first, last = by_target(before), by_target(after)
    ratios = [
        math.log(max(last[name].A, 1e-300) / old.A)
        for name, old in first.items()
        if old.A > 0 and name in last
    ]
    return math.exp(sum(ratios) / len(ratios)) if ratios else 1.0


def by_target(table: Table) -> dict[str, Errors]:
    """Errors of whole targets, all their irreps together.

    :param table: of blocks
    :return: root mean squares over all components of a target or gradient
    """
    parts: dict[str, list[tuple[int, Errors]]] = {}
    for block, found in table.items():
        weight = block.irrep.dimension * found.samples
        parts.setdefault(block.target, []).append((weight, found))
    return {name: _together(blocks) for name, blocks in parts.items()}


def _together(parts: list[tuple[int, Errors]]) -> Errors:
    total = max(1, sum(weight for weight, _ in parts))

    def mean(name: str) -> float:
        squares = sum(weight * getattr(one, name) ** 2 for weight, one in parts)
        return math.sqrt(squares / total)

    return Errors(
        mean("A"),
        mean("rmse"),
        mean("norm"),
        mean("norm_targets"),
        max(one.samples for _, one in parts),
        max(one.structures for _, one in parts),
    )


def objection(before: Table, after: Table, max_increase: float) -> str:
    """Why a candidate is not accepted; empty if it is.

    :param before: errors of the trained weights
    :param after: of the candidate
    :param max_increase: largest increase of an RMSE, as a share of it
    """
    first, last = by_target(before), by_target(after)
    for what, old in first.items():
        new = last.get(what)
        if new is None or not math.isfinite(new.rmse + new.A + new.norm):
            return f"predictions of {what} are not finite"
        for name, worst in _ratios(old, new).items():
            if worst > 1 + max_increase:
                return (
                    f"{name} of {what} would rise by {100 * (worst - 1):.3g} %, which is "
                    f"more than {100 * max_increase:g} %"
                )
    for block, old in before.items():
        if _collapsed(old, after[block]):
            return (
                f"{block.name} {block.irrep} would be predicted as next to zero, which is "
                "no gain"
            )
    return ""


def losing(before: Table, after: Table) -> list[str]:
    """Targets and gradients whose RMSE rose.

    :param before: errors of the trained weights
    :param after: of the candidate
    """
    first, last = by_target(before), by_target(after)
    return [
        what
        for what, old in first.items()
        if what in last and _ratios(old, last[what])["RMSE"] > 1
    ]


def _ratios(old: Errors, new: Errors) -> dict[str, float]:
    """RMSE and A, after over before; what is rounding may rise."""
    floor = 1e-6 * max(old.norm, old.norm_targets, 1e-300)
    pairs = {"RMSE": (old.rmse, new.rmse), "A": (old.A, new.A)}
    return {name: max(b, floor) / max(a, floor) for name, (a, b) in pairs.items()}


def _collapsed(old: Errors, new: Errors) -> bool:
    """Whether a prediction lost its norm, and is below that of the target."""
    return new.norm < KEPT * min(old.norm, old.norm_targets)
