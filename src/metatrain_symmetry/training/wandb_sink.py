"""Weights & Biases: one section ``symmetry``, its x axis the completed epochs.

W&B makes a panel of every key. Ours are A, RMSE and their ratio for each output, one panel
of growing heatmaps with a picture for each probe, and at the end a table and the page.

A step of W&B has one value for each key. Step 0 of metatrain is the end of the first epoch,
where two of our measurements are ready: the untrained model and the one after that epoch.
So measurements wait in a line, one is logged at each step of metatrain's, and
``symmetry/epoch`` says which it is. metatrain's handler commits a step, after which W&B
drops whatever comes for it: ours comes first, uncommitted.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..measure.labels import BlockKey
from ..measure.series import Series


AXIS = "symmetry/epoch"
SCALARS = {"A": "A", "rmse": "RMSE", "A_over_rmse": "A over RMSE"}
"""Words for the columns of the equivariance table that are logged."""

MAX_ROWS = 10_000
"""Rows of a table that W&B shows."""


class WandbSink:
    """Logs a series to a run.

    :param run: of Weights & Biases
    """

    def __init__(self, run: Any) -> None:
        # takes a second to import, which is no part of the first measurement
        from ..report.thumbnail import thumbnails

        self.run, self.thumbnails = run, thumbnails
        self.waiting: list[dict[str, Any]] = []
        self.defined: set[str] = set()

    def add(self, series: Series, epoch: int) -> None:
        """Put a measurement in the line.

        :param series: everything so far
        :param epoch: the measurement, in completed epochs
        """
        data: dict[str, Any] = {AXIS: epoch}
        for row in series.equivariance[series.equivariance.epoch == epoch].to_dict(
            "records"
        ):
            for column in SCALARS:
                if math.isfinite(row[column]):
                    data[_key(row, column)] = float(row[column])
        self._define(data)
        self.waiting.append(data | self._pictures(series))

    def _define(self, data: dict[str, Any]) -> None:
        """Give each scalar its x axis, before its first value."""
        if AXIS not in self.defined:
            self.run.define_metric(AXIS, hidden=True)
        for name in data.keys() - self.defined - {AXIS}:
            self.run.define_metric(name, step_metric=AXIS)
        self.defined |= data.keys()

    def _pictures(self, series: Series) -> dict[str, Any]:
        """Heatmaps of all epochs so far: a panel with one picture for each probe."""
        import wandb

        pictures = [
            wandb.Image(pixels, caption=probe)
            for probe, pixels in self.thumbnails(series).items()
        ]
        return {"symmetry/heatmaps": pictures} if pictures else {}

    def log_next(self, step: int, commit: bool = False) -> None:
        """Log the measurement that has waited longest.

        :param step: of metatrain
        :param commit: whether nothing more comes for the step; metatrain commits its own
        """
        if self.waiting:
            self.run.log(self.waiting.pop(0), step=step, commit=commit)

    def close(self, step: int, series: Series, page: Path | None) -> None:
        """Log what still waits, the table of shares and the page.

        :param step: the first one that metatrain does not use
        :param series: everything
        :param page: the interactive page, if it was written
        """
        import wandb

        while len(self.waiting) > 1:
            self.log_next(step, commit=True)
            step += 1
        data = self.waiting.pop(0) if self.waiting else {}
        if page is not None:
            data["symmetry/shares"] = wandb.Table(dataframe=shares(series))
            data["symmetry/page"] = wandb.Html(page.read_text("utf-8"), inject=False)
        if data:
            self.run.log(data, step=step, commit=True)


def shares(series: Series) -> pd.DataFrame:
    """Table of the shares of all irreps.

    :param series: what was measured
    :return: one row per epoch, probe and irrep, at most :data:`MAX_ROWS`: of a longer
        series evenly spaced epochs, the last among them
    """
    table = series.characters
    rows = len(table) / max(1, len(series.epochs))
    stride = math.ceil(len(table) / MAX_ROWS)
    kept = series.epochs[::-1][::stride] if rows <= MAX_ROWS else []
    table = table[table.epoch.isin(kept)]
    columns = {"channel": "irrep", "share": "share", "stderr": "standard error"}
    found = table[["epoch", "probe", "group", *columns]].rename(columns=columns)
    words = [
        in_words(share, stderr)
        for share, stderr in zip(table.share, table.stderr, strict=True)
    ]
    return found.assign(shown=words).astype({"probe": str, "group": str, "irrep": str})


def in_words(share: float, stderr: float) -> str:
    """Write a share as one may read it.

    :param share: of an irrep
    :param stderr: its standard error, NaN if unknown
    :return: with its error, as an upper bound, or with the remark that it has no error bar
    """
    if not math.isfinite(share):
        return "not measured"
    if not math.isfinite(stderr):
        return f"{share:.2g}, no error bar"
    if share <= 2 * stderr:
        return f"below {max(share, 0.0) + 2 * stderr:.1g}"
    return f"{share:.2g} ± {stderr:.1g}"


def find_run(handlers: list[Any]) -> Any:
    """Find the run that metatrain logs to.

    :param handlers: of metatrain's logger
    :return: the run, None if there is none
    """
    for handler in handlers:
        if type(handler).__name__ == "WandbHandler":
            return handler.run
    return None


def _key(row: Any, column: str) -> str:
    """Name of a scalar: the output first, so that its panels stand beside each other."""
    # a slash would open another section
    unit = str(row["unit"]).replace("/", " per ")
    tail = f" [{unit}]" if unit and column != "A_over_rmse" else ""
    block = str(BlockKey.of(row)).replace("/", " per ")
    return f"symmetry/{block} {SCALARS[column]}{tail}"
