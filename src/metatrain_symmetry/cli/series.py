"""``mtt symmetry RUN_DIR``: figures and page of a training that was watched."""

import shutil
from pathlib import Path

from .folder import check_folder


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


def draw_run(run: Path, output: Path | None = None, overwrite: bool = False) -> Path:
    """Draw what a training has measured so far; it may still go on.

    :param run: see :func:`find_series`
    :param output: folder for figures, page and tables; None for that of the series
    :param overwrite: replace the folder if it is there
    :raises ValueError: if there is no series, or if the folder must not be replaced
    :return: the page
    """
    from ..figures.epochs import draw_series
    from ..figures.series_page import write_series_page
    from ..measure.series import COLUMNS, Series

    source = find_series(run)
    series = Series.load(source)
    if not series.epochs:
        raise ValueError(f"nothing has been measured yet in '{source}'")
    series.summary.setdefault("model", str(source.parent))
    folder = source
    if output is not None:
        names = [*(f"{name}.csv" for name in COLUMNS), "summary.json"]
        folder = check_folder(output, overwrite, names)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (source / name).is_file():
                shutil.copy(source / name, folder / name)
    draw_series(series, folder)
    return write_series_page(series, folder / "index.html")
