"""Weights & Biases: scalars, growing heatmaps, and at the end a table and the page.

metatrain's handler logs an epoch with ``commit=True``, after which W&B drops whatever
comes for that step. So we log before it, uncommitted, and it commits ours with its own.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..measure.series import Series


GROUPS = {
    "A": "symmetry A",
    "rmse": "symmetry RMSE",
    "A_over_rmse": "symmetry A over RMSE",
    "norm_ratio": "symmetry norm ratio",
}
"""Group of each column of the equivariance table."""


class WandbSink:
    """Logs a series to a run.

    :param run: of Weights & Biases
    """

    def __init__(self, run: Any) -> None:
        self.run = run

    def log(
        self, step: int, series: Series, epoch: int, prefix: str = "", commit: bool = False
    ) -> None:
        """Log one measurement.

        :param step: epoch of metatrain's log
        :param series: everything so far
        :param epoch: the measurement, in completed epochs
        :param prefix: in front of the scalars' groups
        :param commit: whether the step is complete then; metatrain completes its own
        """
        data: dict[str, float | int] = {}
        for row in _at(series.equivariance, epoch).to_dict("records"):
            name = f"{row['target']} ({row['o3_lambda']},{_sign(row['o3_sigma'])})"
            for column, group in GROUPS.items():
                value = float(row[column])
                # a slash in a unit would open another group
                unit = str(row["unit"]).replace("/", " per ")
                unit = f" [{unit}]" if unit and column in ("A", "rmse") else ""
                if math.isfinite(value):
                    data[f"{prefix}{group}/{name}{unit}"] = value
        for row in _at(series.characters, epoch).to_dict("records"):
            if row["kind"] == "output" or row["channel"] == "residual":
                kind = "residual" if row["channel"] == "residual" else "share"
                name = row["probe"] if kind == "residual" else row["channel"]
                group = "residual" if kind == "residual" else f"share of {row['probe']}"
                data[f"{prefix}symmetry {group}/{name}"] = float(row["share"])
        cost = _at(series.measurements, epoch).iloc[-1]
        data[f"{prefix}symmetry cost/seconds"] = float(cost.seconds)
        data[f"{prefix}symmetry cost/evaluations"] = int(cost.evaluations)
        pictures = {} if prefix else self._pictures(series)
        self.run.log({**data, **pictures}, step=step, commit=commit)

    @staticmethod
    def _pictures(series: Series) -> dict[str, Any]:
        """Heatmaps of all epochs so far, one for each probe."""
        import wandb

        from ..figures.thumbnail import thumbnail

        return {
            f"symmetry heatmaps/{probe}": wandb.Image(thumbnail(series, probe))
            for probe in dict.fromkeys(series.characters.probe)
        }

    def close(self, step: int, series: Series, page: Path | None, commit: bool) -> None:
        """Log the final table and the page.

        :param step: epoch of metatrain's log
        :param series: everything
        :param page: the interactive page, if it was written
        :param commit: whether the step is complete then
        """
        import wandb

        table = wandb.Table(dataframe=series.equivariance.astype({"target": str}))
        data: dict[str, Any] = {"symmetry/equivariance": table}
        if page is not None:
            data["symmetry/page"] = wandb.Html(page.read_text(), inject=False)
            artifact = wandb.Artifact(f"symmetry-{self.run.id}", type="symmetry-report")
            artifact.add_file(str(page))
            self.run.log_artifact(artifact)
        self.run.log(data, step=step, commit=commit)


def find_run(handlers: list[Any]) -> Any:
    """Find the run that metatrain logs to.

    :param handlers: of metatrain's logger
    :return: the run, None if there is none
    """
    for handler in handlers:
        if type(handler).__name__ == "WandbHandler":
            return handler.run
    return None


def _at(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    return table[table.epoch == epoch]


def _sign(sigma: float) -> str:
    return "+" if sigma == 1 else "-"
