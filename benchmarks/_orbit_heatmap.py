"""Cost and accuracy of a heatmap over many structures."""

from __future__ import annotations

from typing import Any

import ase.io
import numpy as np
import pandas as pd
import torch

from benchmarks._orbit_parts import DATA, PROBES, build, peer, peer_model, to_system
from benchmarks._timing import timed
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import Engine, Prepared, open_engine


ABSENT = 1e-10
"""Shares below are rounding."""


def hybrid(n_structures: int, n_exact: int, lambda_max: int) -> dict[str, Any]:
    """Heatmap over many structures, its accuracy on fewer, the peer extrapolated."""
    pool = ase.io.read(DATA, ":")
    chosen = np.random.default_rng(0).permutation(len(pool))[:n_structures]
    model = build(torch.float64)
    engine = open_engine(model, None, PROBES, gradients=False)
    systems = [to_system(pool[i], model, torch.float64) for i in chosen]
    structures = [engine.prepare(s, str(i)) for s, i in zip(systems, chosen, strict=True)]
    wanted = {"estimator": "hybrid", "max_evaluations": 0}
    seconds = timed(lambda: characters(engine, structures, lambda_max, **wanted))
    order = np.argsort([s.n_edges for s in structures], kind="stable")
    typical = int(order[n_structures // 2])
    wrapped = peer_model(model, lambda_max)
    one = timed(lambda: peer(wrapped, systems[typical], PROBES))
    return {
        "n_structures": n_structures,
        "seconds": seconds,
        "peer_seconds_one_structure": one,
        "peer_seconds_extrapolated": one * n_structures,
        "peer/ours": one * n_structures / seconds,
        "note": "time of the peer extrapolated from ONE structure of median size",
        # as many circles in all as the heatmap has
        **accuracy(engine, structures[:n_exact], lambda_max, -(-n_structures // n_exact)),
    }


def characters(
    engine: Engine, structures: list[Prepared], lambda_max: int, **options: Any
) -> pd.DataFrame:
    """Table of characters, as a report has it."""
    # max_degree stops at the degree that λmax needs
    settings = Settings(lambda_max=lambda_max, max_degree=2 * lambda_max, **options)
    return analyze(engine, structures, settings=settings, progress=False).characters


def accuracy(
    engine: Engine, structures: list[Prepared], lambda_max: int, circles: int
) -> dict[str, Any]:
    """Deviations of circles from the exact grid on the same structures."""
    keys = ["probe", "chi_lambda", "chi_sigma"]
    tables = []
    options: tuple[dict[str, Any], ...] = (
        {"estimator": "circles", "circles": circles}, {"estimator": "grid"},
    )  # fmt: skip
    for given in options:
        table = characters(engine, structures, lambda_max, **given)
        # layers only, as the peer resolves them
        proper = table[table.chi_sigma.eq(1) & table.kind.eq("layer")]
        tables.append(proper[[*keys, "share", "stderr"]])
    both = tables[0].merge(tables[1], on=keys, suffixes=("", "_exact"))
    both = both[both.share_exact > ABSENT]
    relative = (both.share / both.share_exact - 1).abs()
    in_errors = (both.share - both.share_exact).abs() / both.stderr
    return {
        "accuracy": f"{circles} circles on each of {len(structures)} structures against "
        f"the exact grid on the same, proper channels with a share above {ABSENT:g}",
        "n_exact": len(structures),
        "channels_compared": len(both),
        "relative_deviation_median": float(relative.median()),
        "relative_deviation_90_percent": float(relative.quantile(0.9)),
        "relative_deviation_max": float(relative.max()),
        "within_10_percent": float((relative <= 0.1).mean()),
        "deviation_over_stderr_median": float(in_errors.median()),
    }
