"""Are the error bars of `mtt symmetry` honest, and what do they cost?

Over seeds, every channel that a report shows, of outputs and layers, proper and pseudo, and
A of every structure, are compared with exact grids: z = (found - exact) / stated error.

    python -m benchmarks.estimators --model quickstart-run/model.ckpt \
        --output benchmarks/results/estimators.json

Models: the one of the quickstart, the same before its first step, and an untrained PET with
harmonics on rattled crystals, whose pseudo channels are far below its proper ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._estimator_models import molecules, of_checkpoint, of_random, solids
from benchmarks._results import run_cases, start, stop_if_failed
from metatrain_symmetry.groups import Irrep, O3Grid, random_frame
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Engine, Prepared


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
DEGREE = 20
"""Of the exact grids; in a random frame."""

SMALLEST = 1e-12
"""Share of the squared norm below which float32 leaves nothing to compare."""


def exact(engine: Engine, structures: list[Prepared], degree: int) -> Any:
    """Shares of every channel, and A of every structure, from exact grids."""
    # aligned with a crystal, a grid would fold back as much as it can
    grid = O3Grid(degree, 8, frame=random_frame(12345))
    powers: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    for i, structure in enumerate(structures):
        measured = measure_structure(engine, structure, grid, engine.blocks, engine.probes)
        for key, spectrum in measured.spectra.items():
            name = key if isinstance(key, str) else f"{key.name} {key.irrep}"
            total = powers.setdefault(name, [0.0, 0.0])
            total[0] = total[0] + spectrum.powers.powers.mean(dim=0) / spectrum.n_samples
            total[1] = total[1] + float(spectrum.powers.norm2.mean()) / spectrum.n_samples
        for block, one in measured.equivariance.items():
            row = {"what": "A", "probe": f"{block.name} {block.irrep}", "channel": str(i)}
            found.append({**row, "exact": one.A})
    for name, (sums, norm) in powers.items():
        shares = (sums / norm).tolist()
        for irrep, share in zip(grid.irreps, shares, strict=True):
            what = "proper" if irrep.o3_sigma == 1 else "pseudo"
            row = {"what": what, "probe": name, "channel": str(irrep), "exact": share}
            found.append(row)
        row = {"what": "residual", "probe": name, "channel": "residual"}
        found.append({**row, "exact": 1 - sum(shares)})
    return pd.DataFrame(found)


def stated(engine: Engine, structures: list[Prepared], settings: Settings) -> Any:
    """The same from a report, with its errors."""
    report = analyze(engine, structures, settings=settings, progress=False)
    table = report.characters
    what = np.where(table.chi_sigma.fillna(1).eq(-1), "pseudo", "proper")
    shares = pd.DataFrame(
        {
            "what": np.where(table.channel == "residual", "residual", what),
            "probe": table.probe,
            "channel": table.channel,
            "found": table.share,
            "stderr": table.stderr,
        }
    )
    rows = report.equivariance
    names = [
        f"{name} {Irrep(o3_lambda, o3_sigma)}"
        for name, o3_lambda, o3_sigma in zip(
            rows.target, rows.o3_lambda, rows.o3_sigma, strict=True
        )
    ]
    errors = pd.DataFrame(
        {
            "what": "A",
            "probe": names,
            "channel": rows.structure.astype(str),
            "found": rows.A,
            "stderr": rows.A_stderr,
        }
    )
    return pd.concat([shares, errors], ignore_index=True), report.summary


def reference_of(
    engine: Engine, structures: list[Prepared], degree: int, kept: Path | None
) -> pd.DataFrame:
    """The exact table, from a file where there is one."""
    if kept is not None and kept.is_file():
        return pd.read_csv(kept, dtype={"channel": str})
    reference: pd.DataFrame = exact(engine, structures, degree)
    if kept is not None:
        reference.to_csv(kept, index=False)
    return reference


def honesty(
    make: Callable[[], tuple[Engine, list[Prepared]]],
    seeds: int,
    degree: int,
    options: dict[str, Any],
    kept: Path | None,
) -> dict[str, Any]:
    """Distribution of z over seeds."""
    engine, structures = make()
    reference = reference_of(engine, structures, degree, kept)
    tables, evaluations = [], []
    for seed in range(seeds):
        settings = Settings(seed=seed, budget=None, **options)
        table, summary = stated(engine, structures, settings)
        tables.append(table.assign(seed=seed))
        evaluations.append(summary["evaluations"])
    both = pd.concat(tables).merge(reference, on=["what", "probe", "channel"])
    return {
        "n_structures": len(structures),
        "seeds": seeds,
        "reference_degree": degree,
        "evaluations": evaluations,
        "evaluations_of_exact_grids": len(structures) * len(O3Grid(16, 0).matrices),
        "plan": summary["plan"],
        **distribution(both[both.what.eq("A") | (both.exact.abs() > SMALLEST)]),
    }


def distribution(seen: pd.DataFrame) -> dict[str, Any]:
    """How far apart what was found and what is exact are, in stated errors."""
    missing = seen.stderr.isna()
    z = (seen.found - seen.exact) / seen.stderr
    far = (z.abs() > 3) & ~missing
    shown = seen.assign(z=z, far=far, relative=seen.stderr / seen.exact.abs())[~missing]
    columns = ["what", "probe", "channel", "seed", "exact", "found", "stderr"]
    farthest = shown.reindex(shown.z.abs().sort_values(ascending=False).index).head(8)
    return {
        "compared": len(seen),
        "without_error_bar": int(missing.sum()),
        "beyond_3_sigma": float(far.mean()),
        "by_kind": {str(kind): of_kind(rows) for kind, rows in shown.groupby("what")},
        "farthest": farthest[columns].to_dict("records"),
    }


def of_kind(rows: pd.DataFrame) -> dict[str, float]:
    """Statistics of one kind of numbers, all of which have an error bar."""
    return {
        "compared": len(rows),
        "beyond_3_sigma": float(rows.far.mean()),
        "largest": float(rows.z.abs().max()),
        "rms_z": float((rows.z**2).mean() ** 0.5),
        "stated_error_over_value_median": float(rows.relative.median()),
        "known_to_a_third": float((rows.relative < 1 / 3).mean()),
    }


def _kept(folder: Path | None, name: str, n: int) -> Path | None:
    """File of the exact table of a case."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name.replace(', ', '-').replace(' ', '-')}-{n}.csv"


def plan(arguments: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """All cases whose names hold what was asked for."""
    n, seeds = arguments.structures, arguments.seeds
    trained = partial(of_checkpoint, arguments.model)
    makers: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
        "trained, molecules": (lambda: trained(molecules(n)), {}),
        "trained, few molecules": (lambda: trained(molecules(3)), {"max_evaluations": 0}),
        "trained, molecules, circles": (
            lambda: trained(molecules(n // 2)), {"estimator": "circles"},
        ),
        "untrained, molecules": (lambda: of_random(molecules(n // 2), 4), {}),
        "untrained, solids": (lambda: of_random(solids(n * 3 // 8), 4), {}),
    }  # fmt: skip
    return {
        name: partial(honesty, make, seeds, DEGREE, options, _kept(arguments.keep, name, n))
        for name, (make, options) in makers.items()
        if arguments.only in name
    }


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, required=True)
    add("--output", type=Path, default=Path("benchmarks/results/estimators.json"))
    add("--seeds", type=int, default=5)
    add("--structures", type=int, default=16)
    add("--only", default="", help="cases whose name holds this")
    add("--keep", type=Path, metavar="DIR", help="exact tables are kept and found here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = start("benchmarks.estimators", PACKAGES)
    run_cases(plan(arguments), result, arguments.output)
    stop_if_failed(result, arguments.output)


if __name__ == "__main__":
    main()
