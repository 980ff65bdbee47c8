"""When is the pseudo-scalar learned, and what could be read of it before?

For all settings and seeds of the study ``pseudoscalar``: R² of the best linear readout of
new models (:mod:`benchmarks.studies._embedding_start`), beside the epoch at which the
training left its plateau, and the rank correlation of the two. Nothing is trained, and the
weights are others of the same distribution::

    python -m benchmarks.studies.readable
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from scipy.stats import spearmanr

from benchmarks.studies import _series, pseudoscalar
from benchmarks.studies._embedding_steps import at_the_start
from benchmarks.studies._study import DATA, RESULTS, RUNS, Setting, make_data
from benchmarks.studies.one_embedding import FormTraining
from metatrain_symmetry.io import write_text
from metatrain_symmetry.pet_ssh import preflight


LEFT = "epoch_rmse_0.9"
"""Column of the study: when a training left its plateau, NaN for never."""
COLUMNS = {"readable": "R² before training", LEFT: "epoch of RMSE 0.9"}


def correlation(table: pd.DataFrame) -> float:
    """Rank correlation of the means over seeds; what was never learned comes last.

    :param table: ``variant``, ``readable`` and the epochs
    """
    means = table.assign(epoch=table[LEFT].fillna(np.inf), log=np.log(table.readable))
    means = means.groupby("variant", sort=False)[["log", "epoch"]].mean()
    return float(spearmanr(means.log, means.epoch.rank())[0])


def measure(setting: Setting) -> pd.DataFrame:
    """R² of new models of every setting.

    :param setting: seeds and folders
    :return: ``variant``, ``seed``, ``readable``
    """
    trainings = [
        FormTraining(t.variant, t.seed, _numbered(t.options), t.root, embedding=t.variant)
        for t in pseudoscalar.plan(setting)
    ]
    found = at_the_start(trainings, setting.quick)
    rows = [(variant, seed, value) for (variant, _, seed), value in found.items()]
    return pd.DataFrame(rows, columns=["variant", "seed", "readable"])


def _numbered(options: dict[str, Any]) -> dict[str, Any]:
    """Options with a number in place of ``l_max: auto``, as ``mtt train`` has them."""
    complete = OmegaConf.to_container(preflight.check(options, None, Path()))
    assert isinstance(complete, dict)
    return {str(key): value for key, value in complete.items()}


def main() -> None:
    """Measure, compare with the study's table, write ``readable.csv`` beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="few structures and settings")
    parser.add_argument("--output", type=Path, default=RESULTS / "pseudoscalar")
    args = parser.parse_args()
    setting = Setting(args.data.resolve(), RUNS, args.output, args.seeds, args.quick)
    make_data(pseudoscalar.STUDY, setting)
    known = pd.read_csv(RESULTS / "pseudoscalar" / "trainings.csv")
    table = measure(setting).merge(known[["variant", "seed", LEFT]])
    print(_series.table_of(table, COLUMNS))
    print(f"rank correlation: {correlation(table):.2f}")
    args.output.mkdir(parents=True, exist_ok=True)
    text = _series.rounded(table).to_csv(index=False)
    write_text(args.output / "readable.csv", text)


if __name__ == "__main__":
    main()
