"""The median of A over many molecules, from icosahedral orbits and from a grid.

A is taken on every molecule from the icosahedral group with inversion in a random frame
(120 evaluations, ``estimator="icosahedral"``) and from the grid of degree 8 (684), the
smallest that is taken as exact. Compared are the medians over all molecules, and A of each:
z = (found - exact) / stated error, with the error of the grid itself, which a second frame
on a few molecules shows.

    python -m benchmarks.many --model quickstart-run/model.ckpt

Molecules: those of the quickstart with at most 8 atoms, then rattled copies of them.
Energies and direct forces are measured, without gradients.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pandas as pd
import torch

from benchmarks._estimator_models import DATA
from benchmarks._results import run_cases, start, stop_if_failed
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import O3
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.averages import error_of_median
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Engine, Prepared, open_engine
from metatrain_symmetry.progress import progress


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")

DEGREE = 8
"""Of the grid."""

ATOMS = 8
"""In the largest molecule."""

AGAIN = 24
"""Molecules that the grid is taken on in a second frame."""


def molecules(count: int) -> list[ase.Atoms]:
    """Molecules, and rattled copies as soon as there are no more."""
    frames = [a for a in ase.io.read(DATA, ":") if len(a) <= ATOMS]
    found = []
    for i in range(count):
        atoms = frames[i % len(frames)].copy()
        if i >= len(frames):
            atoms.rattle(0.05, seed=i)
        found.append(atoms)
    return found


def of_grid(engine: Engine, structures: list[Prepared], seed: int) -> pd.DataFrame:
    """A of every molecule and block from the grid, in a frame of its own."""
    rows, points = [], O3().exact(DEGREE)
    with progress(total=len(structures) * points.size, desc="grid", unit="rot") as bar:
        for i, structure in enumerate(structures):
            grid = points.orbit(0, O3().frame(seed + i))
            found = measure_structure(
                engine, structure, grid, engine.blocks, [], spectra=False,
                progress=bar.update,
            )  # fmt: skip
            rows += [(i, b.target, one.A) for b, one in found.equivariance.items()]
    return pd.DataFrame(rows, columns=["structure", "target", "exact"])


class Comparison:
    """The grid once, the estimator for each seed.

    :param model: checkpoint
    :param count: molecules
    """

    def __init__(self, model: Path, count: int) -> None:
        self.engine = open_engine(model, None, (), gradients=False)
        systems = read_systems(molecules(count), self.engine)
        self.structures = [self.engine.prepare(system) for _, system in systems]

    def grid(self) -> dict[str, Any]:
        """Values of the grid, and their scatter over frames."""
        began = time.process_time()
        self.exact = of_grid(self.engine, self.structures, 10**6)
        seconds = time.process_time() - began
        few = of_grid(self.engine, self.structures[:AGAIN], 10**7)
        both = few.merge(self.exact, on=["structure", "target"], suffixes=("", "_first"))
        both["relative"] = (both.exact / both.exact_first - 1) / 2**0.5
        scatter = both.groupby("target").relative.agg(lambda x: np.square(x).mean() ** 0.5)
        self.scatter = scatter.to_dict()
        size = O3().exact(DEGREE).size
        return {
            "molecules": len(self.structures),
            "evaluations": size * len(self.structures),
            "processor_seconds": seconds,
            "relative_scatter_over_frames": self.scatter,
            "median": self.exact.groupby("target").exact.median().to_dict(),
        }

    def seed(self, seed: int) -> dict[str, Any]:
        """What the estimator says with one seed, beside the grid."""
        began = time.process_time()
        settings = Settings(estimator="icosahedral", budget=None, lambda_max=2, seed=seed)
        report = analyze(self.engine, self.structures, settings=settings)
        seconds = time.process_time() - began
        table = report.equivariance.merge(self.exact, on=["structure", "target"])
        targets = {m["target"]: self._target(m, table) for m in report.summary["medians"]}
        evaluations = report.summary["evaluations"] + 4 * len(self.structures)
        grid = O3().exact(DEGREE).size * len(self.structures)
        return {
            # two for rounding, and two in the given frame where there are labels, are not
            # counted in the summary
            "evaluations": evaluations,
            "grid/estimator": grid / evaluations,
            "processor_seconds": seconds,
            "targets": targets,
        }

    def _target(self, middle: dict[str, Any], table: pd.DataFrame) -> dict[str, float]:
        """Median and single values of one target."""
        rows = table[table.target == middle["target"]]
        exact, scatter = rows.exact.to_numpy(), self.scatter[middle["target"]]
        of_grid = error_of_median(exact, scatter * exact)
        error = float(np.hypot(middle["A_stderr"], of_grid))
        z = (rows.A - exact) / np.hypot(rows.A_stderr, scatter * exact)
        return {
            "median/grid": middle["A"] / float(np.median(exact)),
            "relative_error": middle["A_stderr"] / middle["A"],
            "relative_error_of_grid": of_grid / float(np.median(exact)),
            "z": (middle["A"] - float(np.median(exact))) / error,
            "single_rms_deviation": float(np.square(rows.A / exact - 1).mean()) ** 0.5,
            "single_median_relative_error": float((rows.A_stderr / rows.A).median()),
            "single_rms_z": float(np.square(z).mean()) ** 0.5,
            "single_beyond_3": float((abs(z) > 3).mean()),
        }


def table(result: dict[str, Any]) -> str:
    """Markdown table of a result."""
    lines = [
        "| seed | target | median / grid | stated error | z | grid / evaluations | each A: "
        "deviation, stated error, beyond 3 σ |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, case in result["cases"].items():
        for target, found in case.get("targets", {}).items():
            lines.append(
                f"| {name} | {target} | {found['median/grid']:.4f} | "
                f"{found['relative_error']:.2%} | {found['z']:.1f} | "
                f"{case['grid/estimator']:.2f} | {found['single_rms_deviation']:.1%}, "
                f"{found['single_median_relative_error']:.1%}, "
                f"{found['single_beyond_3']:.1%} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/many.json"))
    parser.add_argument("--molecules", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    compared = Comparison(arguments.model, arguments.molecules)
    cases = {"grid": compared.grid}
    for seed in range(arguments.seeds):
        cases[f"seed {seed}"] = lambda seed=seed: compared.seed(seed)
    result = start("benchmarks.many", PACKAGES)
    run_cases(cases, result, arguments.output)
    print(table(result))
    stop_if_failed(result, arguments.output)


if __name__ == "__main__":
    main()
