"""A series of measurements along a training: tables that grow row by row.

Epochs are counted as completed passes over the training set: 0 is the model before its
first step, 1 what ``Epoch 0`` of metatrain's log leaves.
"""

import json
import os
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from ..io import write_text
from .earlier import with_columns
from .labels import BLOCK
from .tables import CHARACTERS, with_types


FOLDER = "symmetry"
"""Name of the folder of a series inside the folder of a run."""

FORMAT = 2
"""Version of how a series is measured and written."""

COLUMNS = {
    "equivariance": [
        "epoch", *BLOCK, "sample_kind", "per_atom", "unit", "A", "A_stderr", "rmse",
        "A_over_rmse", "norm_ratio", "n_structures", "rmse_all", "norm_ratio_all", "n_all",
        "estimator",
    ],
    "characters": ["epoch", *CHARACTERS],
    "measurements": [
        "epoch", "evaluations", "seconds", "training_seconds", "n_structures", "circles",
        "design", "note",
    ],
    "events": ["epoch", "first_epoch", "probe", "channel", "factor", "text"],
}  # fmt: skip
"""Columns of each table, that is of ``NAME.csv``."""


@dataclass
class Series:
    """All measurements of one training.

    :param equivariance: one row per epoch and output block. Over the same ``n_structures``
        structures, their samples and components: ``A`` and its standard error, and in the
        given frame ``rmse`` and ``norm_ratio`` (root mean square of the prediction over
        that of the target, both without composition), NaN without targets; ``A_over_rmse``
        is the ratio of the two columns. Over all ``n_all`` watched structures ``rmse_all``
        and ``norm_ratio_all``, NaN where they were not evaluated
    :param characters: as in a report, with the epoch
    :param measurements: one row per epoch: what it cost, and what was done
    :param events: sudden transitions: one row per probe and irrep, ``text`` in words for
        all irreps of a probe
    :param summary: settings and versions

    >>> from pathlib import Path
    >>> from metatrain_symmetry import Series
    >>> Series.load(Path("nowhere"))
    Traceback (most recent call last):
    FileNotFoundError: there are no measurements in 'nowhere'
    """

    equivariance: pd.DataFrame
    characters: pd.DataFrame
    measurements: pd.DataFrame
    events: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def epochs(self) -> list[int]:
        """Epochs that were measured wholly, ascending."""
        return sorted(int(epoch) for epoch in self.measurements.epoch)

    @classmethod
    def load(cls, folder: Path) -> "Series":
        """Read a series.

        :param folder: the folder of the series
        :raises FileNotFoundError: if there is none
        :return: its complete measurements; a half-written one is left out
        """
        if not (folder / "measurements.csv").is_file():
            raise FileNotFoundError(f"there are no measurements in '{folder}'")
        tables = {name: _read(folder, name) for name in COLUMNS}
        # columns of a later version
        tables = {n: table.reindex(columns=COLUMNS[n]) for n, table in tables.items()}
        complete = set(tables["measurements"].epoch)
        kept = {name: table[table.epoch.isin(complete)] for name, table in tables.items()}
        path = folder / "summary.json"
        summary = json.loads(path.read_text()) if path.is_file() else {}
        return cls(
            **{n: t.reset_index(drop=True) for n, t in kept.items()}, summary=summary
        )


def _read(folder: Path, name: str) -> pd.DataFrame:
    path, columns = folder / f"{name}.csv", COLUMNS[name]
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    # a killed run may leave half a line at the end
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    table = pd.read_csv(StringIO(whole)) if whole.strip() else pd.DataFrame(columns=columns)
    return with_types(with_columns(table))


def append(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Add rows to the tables of a folder, ``measurements`` last.

    A measurement counts once its row in ``measurements`` is whole.

    :param folder: the folder of the series; made if need be
    :param tables: rows by the name of the table
    :raises OSError: if the disk is full or the folder cannot be written
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(tables, key=lambda name: name == "measurements"):
        rows = tables[name][COLUMNS[name]]
        if not len(rows):
            continue
        path = folder / f"{name}.csv"
        empty = not path.is_file() or path.stat().st_size == 0
        with path.open("a", newline="") as file:
            file.write(rows.to_csv(index=False, header=empty, lineterminator="\n"))
            file.flush()
            os.fsync(file.fileno())


def rewrite(folder: Path, series: Series) -> None:
    """Write whole tables, each atomically: what a continued run starts from.

    :param folder: the folder of the series; made if need be
    :param series: what to write
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(COLUMNS, key=lambda name: name == "measurements"):
        table: pd.DataFrame = getattr(series, name)
        text = table[COLUMNS[name]].to_csv(index=False, lineterminator="\n")
        write_text(folder / f"{name}.csv", text)
