"""The verdict in words: one sentence per finding, from the numbers of its tables."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from ..groups import Irrep
from .spectra_text import percent
from .verdict import FORCE, NET, STRESS, TORQUE, Verdict


SHARE = 0.1
"""Share of A² from which on an irrep is worth a sentence about directions."""

PREFERS = 1.5
"""A direction is preferred if its part is this much larger than an even one."""

SAME = 1.05
"""Orientations up to this factor apart are alike."""

SAID = {
    NET: "the forces do not add up to zero: relaxations cannot converge below fmax "
    "{limit}, and dynamics does not conserve the momentum (net force {value})",
    TORQUE: "a torque turns the molecule: relaxations cannot converge in this orientation "
    "below fmax {limit} (torque {value})",
    FORCE: "relaxations will lose {symmetry} symmetry below fmax {limit}: forces that "
    "break it reach {value}",
    STRESS: "relaxations of the cell with ASE's filters will lose {symmetry} symmetry "
    "below fmax {limit}: stress that breaks it reaches {value}",
}  # fmt: skip
"""What each quantity means, if it is more than rounding."""


def sentences(verdict: Verdict, errors: bool = True) -> list[str]:
    """Say what follows from the numbers.

    :param verdict: with its tables
    :param errors: whether the shares of the squared errors are said
    :return: one sentence per finding
    """
    found = []
    for target, rows in verdict.table.groupby("target", sort=False):
        found += _of_target(target, rows, verdict)
    if errors:
        found += [_share(entry) for entry in verdict.errors.to_dict("records")]
    for entry in verdict.directions.to_dict("records"):
        if entry["share"] > SHARE and entry["along"] > PREFERS * entry["even"]:
            found.append(_direction(entry))
    return found


def _of_target(target: Hashable, rows: pd.DataFrame, verdict: Verdict) -> list[str]:
    """Sentences about one target, the zeros at the end."""
    found, zero = [], []
    for quantity, some in rows.groupby("quantity", sort=False):
        felt = some[some.maximum > some.noise]
        if len(felt):
            found.append(_finding(target, str(quantity), felt, some, verdict))
        else:
            zero.append(str(quantity))
    if zero:
        *first, last = zero
        verb = "are" if first else "is"
        words = f"{', '.join(first)} and {last}" if first else last
        found.append(f"{target}: {words} {verb} zero within rounding.")
    return found


def _finding(
    target: Hashable,
    quantity: str,
    felt: pd.DataFrame,
    rows: pd.DataFrame,
    verdict: Verdict,
) -> str:
    """The worst structure, how many others, and what that is of fmax and of the error."""
    given = bool((felt.given > felt.noise).any())
    column = "fmax" if given else "fmax_maximum"
    worst: Any = felt.iloc[int(felt[column].to_numpy().argmax())]
    limit = float(worst[column])
    unit = _unit(worst.unit)
    value = f"{worst['given' if given else 'maximum']:.2g} {unit}"
    if given and worst.maximum > SAME * worst.given:
        value += f", up to {worst.maximum:.2g} over {worst.orientations} orientations"
    said = SAID[quantity].format(
        symmetry=worst.symmetry, limit=f"{limit:.2g} eV/Å", value=value
    )
    if not given:
        said += ", in other orientations than the given one"
    where = worst["name"]
    if len(rows) > 1:
        which = f"the worst of {len(felt)} where it is not zero"
        which = {1: "the only one", len(rows): "the worst"}.get(len(felt), which)
        where += f" ({which} of {len(rows)} structures)"
    pieces = [f"{target}, {where}: {said}."]
    pieces += [_against(felt[column], felt.fmax_maximum, verdict.fmax)]
    pieces += [_error(target, worst.unit, verdict.errors)]
    return " ".join(piece for piece in pieces if piece)


def _against(limits: pd.Series, worst: pd.Series, fmax: float | None) -> str:
    """Compare with the wanted fmax."""
    if fmax is None:
        return ""
    yours, many = f"Your fmax of {fmax:g} eV/Å is", int((limits > fmax).sum())
    if many:
        of_all = f" of {many} structures" if many > 1 else ""
        return f"{yours} below that{of_all}."
    if worst.max() > fmax:
        return (
            f"{yours} above that, and below the {worst.max():.2g} eV/Å of the worst "
            "orientation."
        )
    return f"{yours} above that."


def _error(target: Hashable, unit: str, errors: pd.DataFrame) -> str:
    """The error of the same target, where it is known in the same unit."""
    known = errors[(errors.target == target) & (errors.unit == unit)]
    if not len(known):
        return ""
    return f"The RMSE is {known.RMSE.iloc[0]:.2g} {_unit(unit)} per component."


def _share(entry: dict[Hashable, Any]) -> str:
    """How much of the squared error is asymmetry."""
    unit = _unit(entry["unit"])
    if entry["share"] != entry["share"]:
        return f"{entry['target']}: the error is zero within rounding."
    names = ("equivariance RMSE", "O3-averaged RMSE", "oriented RMSE")
    parts = ", ".join(f"{name} {entry[name]:.3g}" for name in names)
    bar, share = entry["share_err"], percent(entry["share"])
    if bar == bar:  # both in percent
        share = f"{100 * entry['share']:.2g} ± {round(100 * bar, 9):.1g} %"
    return f"{entry['target']}: asymmetry is {share} of the squared error ({parts} {unit})."


def _direction(entry: dict[Hashable, Any]) -> str:
    """Which direction of the laboratory is preferred."""
    irrep = Irrep(int(entry["o3_lambda"]), int(entry["o3_sigma"]))
    place = ", ".join(f"{round(entry[axis], 2) + 0.0:.2f}" for axis in "xyz")
    return (
        f"{entry['target']}: the model prefers the axis ({place}) of the laboratory (no "
        f"error bar): {percent(entry['share'])} of A² is {irrep}, and "
        f"{percent(entry['along'])} of that belongs to this axis, where "
        f"{percent(entry['even'])} would be even."
    )


def _unit(unit: str) -> str:
    return unit.replace("A^3", "Å³").replace("/A", "/Å")
