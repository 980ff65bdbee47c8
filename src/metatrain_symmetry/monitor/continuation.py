"""The series of a continued training: it goes on where the checkpoint was written."""

import filecmp
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from ..measure.series import COLUMNS, FOLDER, Series, rewrite


NOTE = "continues.json"
"""Written before the trainer knows anything: which checkpoint a run goes on from."""


def remember(checkpoint_dir: str | Path, restart_from: str | Path) -> None:
    """Tell the run which checkpoint it goes on from.

    :param checkpoint_dir: folder of the new run
    :param restart_from: checkpoint of ``mtt train --restart``
    """
    folder = Path(checkpoint_dir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = {"restart_from": str(Path(restart_from).resolve())}
    _write(folder / NOTE, content)


def begin_series(folder: Path, start: int, summary: dict[str, Any]) -> Series:
    """Begin a series, with what an earlier run measured up to the checkpoint.

    :param folder: of the new series
    :param start: epochs completed before
    :param summary: of the new series
    :return: the series, also written to the folder
    """
    series = _empty()
    for source in [folder, *_earlier(folder)] if start > 0 else []:
        if (source / "measurements.csv").is_file():
            series = Series.load(source)
            for name in COLUMNS:
                table = getattr(series, name)
                setattr(series, name, table[table.epoch <= start].reset_index(drop=True))
            break
    series.summary = summary
    rewrite(folder, series)
    _write(folder / "summary.json", summary)
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


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(unfinished, path)
