"""``mtt symmetry RUN_DIR``: figures and page of a training that was watched."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..io import clean, write_folder
from ..places import check_folder, check_writable


if TYPE_CHECKING:
    from ..measure.series import Series

SMALL = 2**20
"""Bytes that have to be free for the page."""


def find_series(run: Path) -> Path:
    """Find the series of a run.

    :param run: folder of a run, of its series, or that in which ``mtt train`` was started
    :raises ValueError: if nothing was measured there
    :return: folder with the tables; of several runs that of the last one
    """
    from ..measure.series import FOLDER

    started = sorted(run.glob(f"outputs/*/*/{FOLDER}"), reverse=True)
    for folder in (run, run / FOLDER, *started):
        if (folder / "measurements.csv").is_file():
            return folder
    raise ValueError(
        f"the folder '{run}' holds no run that was watched: give a checkpoint and "
        "structures, or train with `symmetry: {}` under architecture: training"
    )


def load_series(source: Path) -> "Series":
    """Read the tables of a run.

    :param source: folder of the series
    :raises ValueError: if a table is missing or cannot be read, or if nothing was measured
    :return: the series
    """
    from ..measure.series import COLUMNS, Series

    for name in COLUMNS:
        path = source / f"{name}.csv"
        if not path.is_file():
            raise ValueError(
                f"the table '{path}' is missing: copy the whole folder of the run, tables "
                "included"
            )
        _check_columns(path, COLUMNS[name])
    try:
        series = Series.load(source)
        series.epochs  # noqa: B018 (whole numbers)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"'{source / 'summary.json'}' cannot be read as JSON: copy it again, or delete "
            "it"
        ) from error
    except Exception as error:
        raise ValueError(
            f"the tables in '{source}' cannot be read, perhaps because they were edited: "
            "copy the folder of the run again"
        ) from error
    if not series.epochs:
        raise ValueError(
            f"nothing has been measured yet in '{source}': wait for the first epochs"
        )
    return series


def _check_columns(path: Path, columns: list[str]) -> None:
    """A table begins with the names of its columns."""
    from ..measure.earlier import ADDED
    from ..measure.labels import BLOCK

    try:
        with path.open() as file:
            found = file.readline().strip().split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the table '{path}' cannot be read: copy the folder of the run again"
        ) from error
    later = {*ADDED, *BLOCK}  # not yet there in version 0.1
    missing = [name for name in columns if name not in found and name not in later]
    if missing:
        raise ValueError(
            f"the table '{path}' has no column '{missing[0]}': copy the folder of the run "
            "again"
        )


def draw_run(run: Path, output: Path | None = None, overwrite: bool = False) -> Path:
    """Draw what a training has measured so far; it may still go on.

    :param run: see :func:`find_series`
    :param output: folder for figures, page and tables; None for that of the series
    :param overwrite: replace the folder if it is there
    :raises ValueError: if there is no series, or if the folder must not be replaced
    :return: the page
    """
    from ..measure.series import COLUMNS

    source = find_series(run).resolve()
    if output is None or output.resolve() == source:
        check_writable(source / "index.html", SMALL)
        clean(source)
        clean(source / "figures")
        return _draw(load_series(source), source, source)
    folder = check_folder(output, overwrite)
    series = load_series(source)

    def fill(scratch: Path) -> None:
        for name in [*(f"{name}.csv" for name in COLUMNS), "summary.json"]:
            if (source / name).is_file():
                shutil.copy(source / name, scratch / name)
        _draw(series, source, scratch)

    write_folder(folder, fill)
    return folder / "index.html"


def _draw(series: "Series", source: Path, folder: Path) -> Path:
    """Draw figures and page of a series into a folder."""
    from ..report.epochs import draw_series
    from ..report.series_page import write_series_page

    series.summary.setdefault("model", str(source.parent))
    draw_series(series, folder)
    return write_series_page(series, folder / "index.html")
