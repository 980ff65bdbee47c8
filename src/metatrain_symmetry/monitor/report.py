"""What is said about a series: a line in the log, notes, the summary, the page."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..measure.plan import Plan
from ..measure.series import Series
from ..orbit import Engine


def summary(options: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """What does not change during a training.

    :param options: complete options ``training.symmetry``
    :param engine: of the model
    :return: can be written as JSON
    """
    model: Any = getattr(engine, "model", None)
    packages = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
    return {
        "model": f"{type(model).__name__} in training",
        "settings": dict(options),
        "versions": {package: version(package) for package in packages},
        "probes": list(engine.probes),
        "outputs": [f"{block.name} {block.irrep}" for block in engine.blocks],
        "dtype": str(engine.dtype).removeprefix("torch."),
        "epochs": "completed passes over the training set; 0 is the untrained model",
    }


def note(plan: Plan, before: Plan | None, skipped: int, structures: int) -> str:
    """Say what the budget made of a measurement.

    :param plan: what was done
    :param before: what the measurement before did
    :param skipped: due epochs left out since
    :param structures: how many there are
    :return: empty if there is nothing to say
    """
    parts = []
    if before is not None and plan != before:
        parts.append(f"now {plan} (before: {before})")
    elif before is None:
        parts.append(str(plan))
    if plan.n_structures < structures and plan != before:
        parts.append(f"{structures - plan.n_structures} structures left out for the budget")
    if skipped > 0:
        parts.append(f"{skipped} due epochs left out for the budget")
    return "; ".join(parts)


def line(series: Series, epoch: int) -> str:
    """One line for the log.

    :param series: of which the last measurement is told
    :param epoch: of it
    :return: a line
    """
    parts = []
    table = series.equivariance[series.equivariance.epoch == epoch]
    for row in table.to_dict("records"):
        sign = "+" if row["o3_sigma"] == 1 else "-"
        text = f"{row['target']} ({row['o3_lambda']},{sign}) A {row['A']:.3g}"
        text += f" ± {row['A_stderr']:.1g}" if row["A_stderr"] > 0 else ""
        text += f" {row['unit']}" if row["unit"] else ""
        for column, name in (("A_over_rmse", "A/RMSE"), ("norm_ratio", "norm ratio")):
            if math.isfinite(row[column]):
                text += f", {name} {row[column]:.3g}"
        parts.append(text)
    cost = series.measurements[series.measurements.epoch == epoch].iloc[-1]
    head = f"Symmetry after {epoch} epochs ({cost.evaluations} evaluations, "
    head += f"{cost.seconds:.1f} s"
    tail = f"; {cost.note})" if cost.note else ")"
    return f"{head}{tail}: " + " | ".join(parts)


def draw(series: Series, folder: Path) -> Path:
    """Draw the figures and the page of a series.

    :param series: what was measured
    :param folder: where to
    :return: the page
    """
    # matplotlib and plotly take a second to import
    from ..figures.epochs import draw_series
    from ..figures.series_page import write_series_page

    draw_series(series, folder)
    return write_series_page(series, folder / "index.html")
