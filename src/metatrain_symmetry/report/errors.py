"""Equivariance errors and errors of the model, block by block."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..measure.labels import BLOCK, BlockKey, target_label
from ..measure.results import Report
from ..measure.series import Series


@dataclass(frozen=True)
class Block:
    """Values of one output block.

    :param key: which block it is
    :param unit: of all values
    :param table: one row per structure, or per epoch in ascending order
    """

    key: BlockKey
    unit: str
    table: pd.DataFrame

    def __getitem__(self, column: str) -> np.ndarray:
        """A column as floats; NaN where unknown."""
        return self.table[column].to_numpy(dtype=float)

    @property
    def target(self) -> str:
        """Name of the target, with what tells its blocks apart."""
        return target_label(self.key.target, self.key.detail)

    @property
    def label(self) -> str:
        """Name of the block."""
        return str(self.key)

    @property
    def has_errors(self) -> bool:
        """Whether the error of the model is known anywhere."""
        return bool(np.isfinite(self["error"]).any())

    @property
    def ratio(self) -> np.ndarray:
        """A over the error, or over the norm without errors; may hold 0 and infinity."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self["A"] / (self["error"] if self.has_errors else self["norm"])
        return ratio[~np.isnan(ratio)]


def report_blocks(report: Report) -> list[Block]:
    """Collect the structures of each block.

    :param report: what was measured
    :return: blocks in the order of the table, with ``A``, ``A_stderr``, ``error``,
        ``error_averaged``, ``norm`` and ``noise``, divided by the number of atoms where
        the table says so
    """
    table = report.equivariance
    if table.empty:
        return []
    size = table["atoms"].where(table["per_atom"].astype(bool), 1.0)
    scaled = ("A", "A_stderr", "error", "error_averaged", "norm", "noise")
    values = {name: table[name].astype(float).abs() / size for name in scaled}
    return _blocks(table.assign(**values, unit=table["unit_per_atom"]))


def series_blocks(series: Series) -> list[Block]:
    """Collect the epochs of each block.

    :param series: what was measured along a training
    :return: blocks in the order of the table, with its columns and ``error`` for ``rmse``
    """
    table = series.equivariance.rename(columns={"rmse": "error"})
    blocks = []
    for block in _blocks(table):
        rows = block.table.drop_duplicates("epoch", keep="last").sort_values("epoch")
        blocks.append(Block(block.key, block.unit, rows))
    return blocks


def _blocks(table: pd.DataFrame) -> list[Block]:
    """In the order of the table."""
    found = []
    for _, rows in table.groupby(BLOCK, sort=False):
        units = [str(unit) for unit in rows["unit"].dropna()]
        key = BlockKey.of({name: rows[name].iloc[0] for name in BLOCK})
        found.append(Block(key, next(iter(units), ""), rows))
    return found
