"""Markdown tables of benchmark runs."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from benchmarks._results import matching
from benchmarks._runs import Run


# name in the results, heading, digits
COLUMNS = {
    "xtb": [
        ("loss_ratio", "first-epoch loss / PET", ".3g"),
        ("energy_rmse", "energy RMSE (meV/atom)", ".2f"),
        ("force_rmse", "force RMSE (meV/Å)", ".1f"),
        ("cpu_s", "processor time (s)", ".0f"),
    ],
    "lambda8": [
        ("loss_ratio", "first-epoch loss / PET", ".3g"),
        ("relative_rmse", "RMSE / predicting zero", ".3f"),
        ("norm_ratio", "norm ratio", ".3f"),
        ("epoch_norm_ratio_0.9", "epoch of norm ratio 0.9", ".0f"),
        ("cpu_s", "processor time (s)", ".0f"),
    ],
}


def summary(values: list[float], digits: str) -> str:
    """Format mean ± half of the range.

    :param values: one value for each seed
    :param digits: format of a number
    """
    if not values:
        return "-"
    text = format(statistics.fmean(values), digits)
    if len(values) > 1:
        text += f" ± {format((max(values) - min(values)) / 2, digits)}"
    return text


def table(entries: list[dict[str, Any]], runs: list[Run], reference: str) -> str:
    """Write the Markdown table of a task.

    :param entries: entries of the results file
    :param runs: what to show, all of one task; those not in the file are left out
    :param reference: variant whose first-epoch loss the others are divided by
    """
    task = runs[0].task
    columns = COLUMNS[task]
    lines = [
        "| " + " | ".join([task, *(heading for _, heading, _ in columns)]) + " |",
        "|---" + "|---:" * len(columns) + "|",
    ]
    found = {}
    for run in runs:
        # other versions make data that differ in the last digits
        settings = {name: value for name, value in asdict(run).items() if name != "data"}
        if numbers := matching(entries, settings):
            found[run.variant, run.seed] = numbers
    for (_, seed), numbers in found.items():
        loss = numbers.get("first_epoch_loss")
        standard = found.get((reference, seed), {}).get("first_epoch_loss")
        if loss and standard:
            numbers["loss_ratio"] = loss / standard
    for variant in dict.fromkeys(name for name, _ in found):
        rows = [numbers for (name, _), numbers in found.items() if name == variant]
        cells = [
            summary([row[key] for row in rows if key in row], digits)
            for key, _, digits in columns
        ]
        lines.append("| " + " | ".join([variant, *cells]) + " |")
    return "\n".join(lines)
