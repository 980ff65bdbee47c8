"""Series of several trainings as one table, with errors relative to predicting zero."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import ase.io
import metatensor.torch as mts
import numpy as np
import pandas as pd

from benchmarks._training import Training
from metatrain_symmetry.io import write_text


def target_size(training: Training, part: str = "validation") -> float:
    """Root mean square of a target: the error of predicting zero.

    :param training: with one target, in a TensorMap or among the values of a structure
    :param part: of the data
    :return: per component, in the target's unit
    """
    section = training.options["training_set"]
    (target,) = section["targets"].values()
    chosen = training.indices(part)
    if "read_from" in target:
        block = mts.load(target["read_from"]).block()
        kept = np.isin(block.samples.column("system").numpy(), chosen)
        values = block.values.numpy()[kept]
    else:
        frames = list(ase.io.iread(section["systems"]["read_from"], ":"))
        values = np.array([frames[i].info[target["key"]] for i in chosen])
    return float(np.sqrt(np.mean(values**2)))


def logged(training: Training, column: str) -> dict[int, float]:
    """A column of metatrain's logs, also where a training was continued.

    :param training: with at least one log
    :param column: how its name begins
    :return: values by epoch, from 0; those of the newest log where there are several
    """
    found: dict[int, float] = {}
    for log in sorted(training.folder.glob("outputs/*/*/train.csv")):
        with log.open(newline="") as file:
            names, _, *rows = csv.reader(file)
        index = next(i for i, name in enumerate(names) if name.startswith(column))
        found |= {int(row[0]): float(row[index]) for row in rows}
    return found


def errors(trainings: list[Training]) -> pd.DataFrame:
    """Errors of all trainings over their epochs.

    :param trainings: with one target each
    :return: the columns of ``equivariance.csv``, and ``variant``, ``seed``,
        ``relative_rmse`` and ``relative_A``: divided by the root mean square of the target
    """
    tables = []
    for training in trainings:
        table = training.series().equivariance.copy()
        size = target_size(training)
        # errors of the whole validation set, where they were evaluated
        for name in ("rmse", "norm_ratio"):
            table[name] = table[f"{name}_all"].fillna(table[name])
        table["relative_rmse"] = table.rmse / size
        table["relative_A"] = table.A / size
        tables.append(_named(table, training))
    return pd.concat(tables, ignore_index=True)


def shares(trainings: list[Training]) -> pd.DataFrame:
    """Shares of the irreps over epochs.

    :param trainings: trainings that were watched
    :return: one row per training, epoch, probe and channel
    """
    columns = ["epoch", "probe", "group", "channel", "share"]
    tables = []
    for training in trainings:
        table = training.series().characters
        tables.append(_named(table[columns].copy(), training))
    return pd.concat(tables, ignore_index=True)


def of(table: pd.DataFrame, training: Training) -> pd.DataFrame:
    """Rows of one training.

    :param table: with ``variant`` and ``seed``
    :param training: which one
    """
    return table[(table.variant == training.variant) & (table.seed == training.seed)]


def write(folder: Path, tables: dict[str, pd.DataFrame], text: str) -> None:
    """Write CSV tables and ``table.md``, and print the latter.

    :param folder: where to; made if need be
    :param tables: by name
    :param text: Markdown
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", rounded(table).to_csv(index=False))
    write_text(folder / "table.md", text)
    print(text)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The same numbers with six significant digits: the repository keeps tables.

    :param table: left as it is
    """
    names = table.select_dtypes("float").columns
    return table.assign(
        **{name: [float(f"{value:.6g}") for value in table[name]] for name in names}
    )


def first_epoch(table: pd.DataFrame, column: str, limit: float, above: bool) -> float:
    """First measured epoch beyond a limit.

    :param table: rows of one training
    :param column: its column
    :param limit: to be passed
    :param above: whether from below
    :return: epoch, NaN if it never happens
    """
    passed = table[column] > limit if above else table[column] < limit
    return float(table.epoch[passed].min())


def last(table: pd.DataFrame) -> pd.DataFrame:
    """Last row of each training, in the order of the trainings.

    :param table: as returned by :func:`errors`
    """
    return (
        table.sort_values("epoch", kind="stable")
        .groupby(["variant", "seed"], sort=False)
        .tail(1)
        .sort_index()
    )


def spread(values: pd.Series) -> str:
    """Mean ± half of the range, if there is one.

    :param values: one for each seed
    """
    known = values.dropna()
    if not len(known):
        return "-"
    text, half = f"{known.mean():.3g}", (known.max() - known.min()) / 2
    return f"{text} ± {half:.2g}" if half > 0 else text


def table_of(rows: pd.DataFrame, columns: dict[str, str]) -> str:
    """Markdown table: a row for each variant.

    :param rows: one row for each training
    :param columns: heading by column
    """
    lines = [
        f"| variant | seeds | {' | '.join(columns.values())} |",
        "|---|---:" + "|---:" * len(columns) + "|",
    ]
    for variant, own in rows.groupby("variant", sort=False):
        cells = [spread(own[column]) for column in columns]
        lines.append(f"| {variant} | {own.seed.nunique()} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _named(table: pd.DataFrame, training: Training) -> pd.DataFrame:
    names: dict[str, Any] = {"variant": training.variant, "seed": training.seed}
    for position, (name, value) in enumerate(names.items()):
        table.insert(position, name, value)
    return table
