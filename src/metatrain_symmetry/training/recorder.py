"""The series of a training: kept in memory and in files, told to the log and to W&B."""

import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd
from metatrain.utils.logging import ROOT_LOGGER

from ..measure.series import FORMAT, Series, append
from ..measure.transitions import transitions
from ..models import Engine
from ..versions import versions
from . import log_lines
from .budget import Budget
from .options import SymmetryHypers
from .wandb_sink import WandbSink, find_run


class Recorder:
    """Writes a series down.

    :param series: what was measured before
    :param folder: of its tables
    """

    def __init__(self, series: Series, folder: Path) -> None:
        self.series, self.folder = series, folder
        run = find_run(ROOT_LOGGER.handlers)
        self.sink = None if run is None else WandbSink(run)

    def keep(self, tables: dict[str, pd.DataFrame], completed: int) -> None:
        """Append a measurement to the series in memory and in the files.

        :param tables: ``equivariance``, ``characters`` and ``measurements``
        :param completed: epochs
        """
        for table in tables.values():
            table.insert(0, "epoch", completed)
        series = self.series
        series.characters = _joined(series.characters, tables["characters"])
        tables["events"] = transitions(series.characters, series.events)
        for name in ("equivariance", "measurements", "events"):
            setattr(series, name, _joined(getattr(series, name), tables[name]))
        append(self.folder, tables)
        known = tables["characters"]
        outputs = set(known[known.kind == "output"].probe.astype(str))
        for text in log_lines.headlines(tables["events"], outputs):
            logging.info(f"Sudden transition: {text}")

    def tell(self, completed: int) -> None:
        """Say what was measured.

        :param completed: epochs
        """
        logging.info(log_lines.line(self.series, completed))
        if self.sink is not None:
            self.sink.add(self.series, completed)

    def step(self, epoch: int) -> None:
        """Log what waits for a step of W&B.

        :param epoch: as in metatrain's log
        """
        if self.sink is not None:
            self.sink.log_next(epoch)

    def finish(self, last: int, budget: Budget | None) -> None:
        """Draw the page, hand everything to W&B, say what it cost.

        :param last: epochs completed at the end
        :param budget: what was spent; None if there is nothing to draw
        """
        page = None
        try:
            if budget is not None:
                started = time.perf_counter()
                page = _draw(self.series, self.folder)
                seconds = time.perf_counter() - started
                logging.info(log_lines.closing(self.series, page, budget, seconds))
        finally:
            if self.sink is not None:
                self.sink.close(last, self.series, page)


def summary(options: SymmetryHypers, engine: Engine, probes: list[str]) -> dict[str, Any]:
    """What does not change during a training.

    :param options: complete options ``training.symmetry``
    :param probes: what stands for ``auto``, or what was asked for
    :param engine: of the model
    :return: can be written as JSON
    """
    model: Any = getattr(engine, "model", None)
    return {
        "format": FORMAT,
        "model": f"{type(model).__name__} in training",
        "settings": {**options, "probes": probes},
        "versions": versions(),
        "probes": list(engine.probes),
        "outputs": [f"{block.name} {block.irrep}" for block in engine.blocks],
        "dtype": str(engine.dtype).removeprefix("torch."),
        "epochs": "completed passes over the training set; 0 is the untrained model",
    }


def _draw(series: Series, folder: Path) -> Path:
    """Write the page of a series; other figures are drawn by ``mtt symmetry RUN_DIR``."""
    # takes a moment to import
    from ..report.series_page import write_series_page

    return write_series_page(series, folder / "index.html")


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of both, without pandas' complaint about empty tables."""
    if not len(new):
        return old
    return pd.concat([old, new], ignore_index=True) if len(old) else new.copy()
