"""The whole measurement: which structures get which orbit, and what comes out.

First a pilot structure decides the degree of the grids. Then every structure gets a grid
for A of the outputs, and for spectra either the exact grid or random circles.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..group import Circles, O3Grid, irreps_up_to
from ..orbit.engine import Block, Engine, Prepared
from .combine import Share, combine
from .degree import Degrees, choose_degrees, noise_floor
from .report import Report
from .settings import Settings
from .structure import Measured, Representations, Spectrum, measure_structure
from .subject import raw_values
from .tables import Row, atoms_table, characters_table, equivariance_table, medians


Truth = Mapping[Block, torch.Tensor]


def analyze(
    engine: Engine,
    structures: Sequence[Prepared],
    settings: Settings | None = None,
    truths: Sequence[Truth] | None = None,
    group_of: Callable[[str], str] = lambda probe: "",
    progress: bool = True,
) -> Report:
    """Measure A and B of a model on some structures.

    :param engine: what evaluates the model, with its blocks and probes
    :param structures: as prepared by the engine
    :param settings: of the measurement
    :param truths: for each structure the targets, ``(samples, 2 λ + 1, properties)``
    :param group_of: name of the group of a probe, for the tables
    :param progress: whether to show a progress bar
    :raises ValueError: if there are no structures
    :return: tables and summary, without a diagnosis
    """
    if not structures:
        raise ValueError("there are no structures to measure: give one or more")
    settings = settings or Settings()
    started = time.perf_counter()
    with tqdm(unit="rot", desc="orbits", disable=not progress) as bar:
        run = _Run(engine, structures, settings, bar)
        rows = run.rows(truths)
        characters = run.characters()
    table = characters_table(characters, group_of, settings.tolerance)
    report = Report(
        equivariance_table(rows),
        atoms_table(rows),
        table,
        {
            "n_structures": len(structures),
            "lambda_max": settings.lambda_max,
            "estimator": settings.estimator,
            "grid_degree": run.degrees.spectra,
            "dtype": str(engine.dtype).removeprefix("torch."),
            "evaluations": int(bar.n) if progress else run.evaluations,
            "seconds": round(time.perf_counter() - started, 3),
            "settings": settings.model_dump(),
            **_convergence(run.degrees, settings, table),
        },
    )
    report.summary["medians"] = medians(report.equivariance)
    return report


def _convergence(degrees: Degrees, settings: Settings, table: Any) -> dict[str, Any]:
    """Say whether the spectra are complete."""
    last = degrees.steps[-1]
    word = "converged" if degrees.converged else "NOT converged"
    text = (
        f"{word}: on the pilot structure the grid of degree {last['degree']} leaves at "
        f"most {last['residual']:.1e} of any probe's squared norm ({last['probe']}) beyond "
        f"λ = {last['degree'] // 2}; the tolerance is {settings.tolerance:g}"
    )
    rest = table[table.channel == "residual"]
    return {
        "converged": bool(degrees.converged and rest.converged.all()),
        "convergence_text": text,
        "convergence": degrees.steps,
        "equivariance_degree": degrees.equivariance,
        "residuals_beyond_lambda_max": dict(zip(rest.probe, rest.share, strict=True)),
    }


class _Run:
    """The passes over the structures."""

    def __init__(
        self, engine: Engine, structures: Sequence[Prepared], settings: Settings, bar: tqdm
    ) -> None:
        self.engine, self.structures, self.settings = engine, structures, settings
        self.bar, self.evaluations = bar, 0
        n = len(structures)
        order = np.argsort([s.n_edges for s in structures], kind="stable")
        # of median size: it should speak for the others
        self.pilot = int(order[(n - 1) // 2])
        self.degrees = choose_degrees(
            engine,
            structures[self.pilot],
            engine.blocks,
            engine.probes,
            settings,
            self._progress,
        )
        self.gridded = self._choose_gridded(order)
        self.grids: list[Measured | None] = [None] * n
        self.circles: list[Measured | None] = [None] * n
        self.grids[self.pilot] = self.degrees.pilot
        self._measure()

    def _progress(self, count: int) -> None:
        self.evaluations += count
        self.bar.update(count)

    def _circles(self) -> int:
        """Circles on each structure."""
        return self.settings.circles or -(-100 // len(self.structures))

    def _choose_gridded(self, order: np.ndarray) -> set[int]:
        """Structures whose spectra come from the exact grid."""
        n = len(self.structures)
        cost = len(O3Grid(self.degrees.spectra, 0).matrices)
        if self.settings.estimator == "grid":
            return set(range(n))
        if self.settings.estimator == "circles":
            return set()
        if n * cost <= self.settings.max_evaluations:
            return set(range(n))
        spent = n * len(Circles(self._circles(), self.settings.lambda_max).matrices)
        few = min(n, max(2, round(spent / cost)))
        # the pilot, and others spread over sizes
        chosen = {int(order[i]) for i in np.linspace(0, n - 1, few + 1).astype(int)[1:]}
        return {self.pilot, *list(chosen)[: few - 1]}

    def _measure(self) -> None:
        """Evaluate everything that the pilot did not."""
        engine, settings = self.engine, self.settings
        lambda_max = min(settings.lambda_max, self.degrees.spectra // 2)
        grid = O3Grid(self.degrees.spectra, lambda_max)
        small = O3Grid(self.degrees.equivariance, 0)
        turned = {id(o): Representations(o, engine.device) for o in (grid, small)}
        n_circles = self._circles()
        per_circle = len(Circles(1, settings.lambda_max).matrices) * n_circles
        others = [i for i in range(len(self.structures)) if i != self.pilot]
        # without outputs there is no A to ask for
        alone = len(small.matrices) if engine.blocks else 0
        self.bar.total = self.bar.n + sum(
            len(grid.matrices) if i in self.gridded else alone + per_circle for i in others
        )
        for i in range(len(self.structures)):
            options: dict[str, Any] = {
                "memory": settings.memory,
                "progress": self._progress,
            }
            arguments = (engine, self.structures[i])
            if i != self.pilot and (i in self.gridded or engine.blocks):
                orbit = grid if i in self.gridded else small
                self.grids[i] = measure_structure(
                    *arguments,
                    orbit,
                    engine.blocks,
                    engine.probes if i in self.gridded else [],
                    spectra=i in self.gridded,
                    seed=settings.seed + i,
                    representations=turned[id(orbit)],
                    **options,
                )
            if i not in self.gridded:
                circles = Circles(n_circles, settings.lambda_max, settings.seed + i)
                self.circles[i] = measure_structure(
                    *arguments,
                    circles,
                    engine.blocks,
                    engine.probes,
                    equivariance=False,
                    seed=settings.seed + i,
                    **options,
                )

    def characters(self) -> dict[Block | str, list[Share]]:
        """Shares of every output block and probe."""
        irreps = irreps_up_to(self.settings.lambda_max)
        found: dict[Block | str, list[Share]] = {}
        keys: list[Block | str] = [*self.engine.probes, *self.engine.blocks]
        for key in keys:
            grid = [
                self._spectrum(m, key) if i in self.gridded else None
                for i, m in enumerate(self.grids)
            ]
            circles = [self._spectrum(m, key) for m in self.circles]
            if any(s is not None for s in [*grid, *circles]):
                shares = combine(grid, circles, irreps)
                if shares:
                    found[key] = shares
        return found

    @staticmethod
    def _spectrum(measured: Measured | None, key: Block | str) -> Spectrum | None:
        return None if measured is None else measured.spectra.get(key)

    def rows(self, truths: Sequence[Truth] | None) -> list[Row]:
        """A, error and noise of every structure and block."""
        rows = []
        for i, structure in enumerate(self.structures):
            measured = self.grids[i]
            if measured is None:  # there are no outputs
                continue
            blocks = list(measured.equivariance)
            noise = noise_floor(self.engine, structure, blocks, self.settings.seed)
            truth = truths[i] if truths is not None else {}
            predicted = self.engine.predict(structure) if truth else {}
            raw = raw_values(self.engine, structure, blocks) if truth else {}
            for block in blocks:
                found = measured.equivariance[block]
                row = Row(i, structure, block, found, None, noise[block])
                if block in truth and block in predicted:
                    reference = truth[block].to(torch.float64)
                    value = predicted[block].cpu().to(torch.float64)
                    _check_shapes(structure, block, value, reference)
                    row.difference = value - reference
                    if found.mean is not None:
                        row.averaged = found.mean + row.difference - raw[block]
                rows.append(row)
        return rows


def _check_shapes(
    structure: Prepared, block: Block, value: torch.Tensor, reference: torch.Tensor
) -> None:
    """Refuse what would broadcast without a word."""
    if value.shape != reference.shape:
        raise ValueError(
            f"{structure.name}: target '{block.name}' has the shape "
            f"{tuple(reference.shape)}, the prediction {tuple(value.shape)}: give targets "
            "of the kind that the model was made for"
        )
