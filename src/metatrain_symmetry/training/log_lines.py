"""What is said about a series: lines in the log, and notes of what the budget did."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..measure.labels import BlockKey
from ..measure.plan import Plan
from ..measure.series import Series
from .budget import Budget, Choice


def note(plan: Plan, before: Plan | None, skipped: int, structures: int) -> str:
    """Say what the budget made of a measurement.

    :param plan: what was done
    :param before: what the measurement before did
    :param skipped: due epochs left out since
    :param structures: how many there are
    :return: empty if there is nothing to say
    """
    parts = []
    if plan != before:
        text = str(plan)
        if plan.n_structures < structures:
            rest = text.partition(",")[2]
            text = f"{plan.n_structures} of {structures} structures,{rest}"
        parts.append(text if before is None else f"from here on {text} (before: {before})")
    if skipped > 0:
        epochs = "epoch" if skipped == 1 else "epochs"
        parts.append(f"{skipped} due {epochs} left out to stay near the budget")
    return "; ".join(parts)


def warn_short(
    choice: Choice, cost: float, spent: float, allowed: float, fixed_schedule: bool
) -> None:
    """Log once that the budget does not last.

    :param choice: what is done all the same
    :param cost: of one measurement, in seconds
    :param spent: seconds so far
    :param allowed: seconds that the whole budget has
    :param fixed_schedule: whether the option ``interval`` asks for the measurements
    """
    total = spent + cost * choice.count
    reason = "`interval` asks for them" if fixed_schedule else "they are guaranteed"
    logging.warning(
        f"Symmetry: max_overhead allows {allowed:.3g} s, but measurements will take about "
        f"{total:.3g} s. {choice.count} more are made all the same, since {reason}, with "
        f"the cheapest plan ({choice.plan})"
    )


def headlines(events: pd.DataFrame, outputs: set[str]) -> list[str]:
    """What to log of sudden transitions: those of outputs, and how many layers changed.

    :param events: new rows of a series
    :param outputs: probes that are outputs, and no layers
    :return: sentences
    """
    pairs = list(zip(events.probe.astype(str), events.text.astype(str), strict=True))
    found = list(dict.fromkeys(text for probe, text in pairs if probe in outputs))
    layers = list(dict.fromkeys(probe for probe, _ in pairs if probe not in outputs))
    if layers:
        more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
        found.append(f"in the layers {', '.join(layers[:3])}{more}")
    return found


def line(series: Series, epoch: int) -> str:
    """One line for the log.

    :param series: whose last measurement is reported
    :param epoch: of it
    :return: a line
    """
    table = series.equivariance[series.equivariance.epoch == epoch]
    cost = series.measurements[series.measurements.epoch == epoch].iloc[-1]
    head = f"Symmetry after {epoch} epochs" if epoch else "Symmetry before training"
    number = int(cost.n_structures)
    rows: list[Any] = table.to_dict("records")
    parts = [_errors(row) for row in rows]
    parts.append(
        f"{number} structure{'s' * (number != 1)}, {cost.evaluations} evaluations, "
        f"{cost.seconds:.1f} s"
    )
    text = f"{head}: {' | '.join(parts)}"
    return f"{text} | {cost.note}" if cost.note else text


def _errors(row: Mapping[str, Any]) -> str:
    """A of one output, and beside it the error over the same structures."""
    unit = f" {row['unit']}" if row["unit"] else ""
    value, error = row["A"], row["A_stderr"]
    if not math.isfinite(error):
        shown = f"{value:.3g}"
    elif value <= 2 * error:
        shown = f"below {value + 2 * error:.2g}"
    else:
        shown = f"{value:.3g} ± {error:.1g}"
    text = f"{BlockKey.of(row)} A {shown}{unit}"
    if math.isfinite(row["A_over_rmse"]):
        text += f", {100 * row['A_over_rmse']:.2g} % of RMSE {row['rmse']:.3g}{unit}"
    if math.isfinite(row["norm_ratio"]):
        text += f", norm ratio {row['norm_ratio']:.3g}"
    return text


def closing(series: Series, page: Path, budget: Budget, drawing: float) -> str:
    """Last line in the log.

    :param series: all of it
    :param page: where it is drawn
    :param budget: at the end
    :param drawing: seconds that the page took
    :return: a line
    """
    number, spent = len(series.epochs), budget.measuring
    return (
        f"Symmetry: {number} measurement{'s' * (number != 1)}, {spent:.1f} s, "
        f"{spent / max(budget.training, 1e-9):.1%} of the training; files and pictures "
        f"{budget.apart:.1f} s. Page (drawn in {drawing:.1f} s): '{page}'. Figures: "
        f"`mtt symmetry {page.parent.parent}`"
    )
