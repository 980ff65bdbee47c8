"""The series of a continued training: it goes on where the checkpoint was written.

Only if the same is measured: with other structures, rotations or layers the old numbers and
the new ones are not one curve. Then the old series is kept in a numbered folder beside the
new one, and the log says so.
"""

import filecmp
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from ..io import clean, write_json
from ..measure.series import COLUMNS, FOLDER, Series, rewrite


NOTE = "continues.json"
"""Written before the trainer knows anything: which checkpoint a run goes on from."""

EARLIER = "earlier-"
"""Beginning of the names of folders with series that were measured in another way."""

DECISIVE = ("structures", "n_structures", "probes", "lambda_max", "estimator", "seed")
"""Options on which it depends what is measured, and not only how often."""


def remember(checkpoint_dir: str | Path, restart_from: str | Path) -> None:
    """Note which checkpoint a run goes on from.

    :param checkpoint_dir: folder of the new run
    :param restart_from: checkpoint of ``mtt train --restart``
    """
    folder = Path(checkpoint_dir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NOTE, {"restart_from": str(Path(restart_from).resolve())})


def begin_series(folder: Path, start: int, summary: dict[str, Any]) -> Series:
    """Begin a series, with what an earlier run measured up to the checkpoint.

    :param folder: of the new series
    :param start: epochs completed before
    :param summary: of the new series
    :return: the series, also written to the folder
    """
    clean(folder)
    series = _empty()
    source = _source(folder) if start > 0 else None
    if source is not None:
        clean(source)
        series = _cut(Series.load(source), start)
        _take_along(source, folder)
        changes = differences(series.summary, summary)
        if changes:
            _set_aside(series, folder, changes)
            series = _empty()
    series.summary = summary
    rewrite(folder, series)
    write_json(folder / "summary.json", summary)
    return series


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What keeps two series from being one.

    :param old: summary of a series
    :param new: that of another
    :return: in words, empty if they are measured in the same way
    """
    before, after = old.get("settings") or {}, new["settings"]
    found = [
        f"{name} {before.get(name)!r} -> {after[name]!r}"
        for name in DECISIVE
        if before.get(name) != after[name]
    ]
    for name in ("outputs", "probes"):
        if not found and old.get(name) != new[name]:
            found.append(f"other {name}")
    if old.get("format") != new["format"]:
        found.append("measured by another version")
    return found


def _set_aside(series: Series, folder: Path, changes: list[str]) -> None:
    """Keep a series that is not continued."""
    number = 1 + len(list(folder.glob(f"{EARLIER}*")))
    kept = folder / f"{EARLIER}{number}"
    rewrite(kept, series)
    write_json(kept / "summary.json", series.summary)
    logging.warning(
        f"Symmetry: a new series begins, since the training that is continued was watched "
        f"in another way ({'; '.join(changes)}). Its {len(series.epochs)} measurements are "
        f"kept in '{kept}'"
    )


def _take_along(source: Path, folder: Path) -> None:
    """Copy what an earlier run had set aside."""
    for kept in source.glob(f"{EARLIER}*") if source != folder else []:
        shutil.copytree(kept, folder / kept.name, dirs_exist_ok=True)


def _source(folder: Path) -> Path | None:
    """Folder with the measurements that come before, if there are any."""
    for found in [folder, *_earlier(folder)]:
        if (found / "measurements.csv").is_file():
            return found
    return None


def _cut(series: Series, start: int) -> Series:
    for name in COLUMNS:
        table = getattr(series, name)
        setattr(series, name, table[table.epoch <= start].reset_index(drop=True))
    return series


def _empty() -> Series:
    tables: dict[str, Any] = {n: pd.DataFrame(columns=c) for n, c in COLUMNS.items()}
    return Series(**tables)


def _earlier(folder: Path) -> list[Path]:
    """Where the series of the run before can be: beside its checkpoint, or a copy."""
    note = folder / NOTE
    if not note.is_file():
        return []
    checkpoint = Path(json.loads(note.read_text())["restart_from"])
    found = [checkpoint.parent / FOLDER]
    # metatrain copies the last checkpoint to the folder that it was started in
    for copy in sorted(checkpoint.parent.glob("outputs/*/*/*.ckpt"), reverse=True):
        same = copy.stat().st_size == checkpoint.stat().st_size
        if same and filecmp.cmp(copy, checkpoint, shallow=False):
            found.append(copy.parent / FOLDER)
    return [path for path in found if path != folder]
