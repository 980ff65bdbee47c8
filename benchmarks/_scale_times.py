"""Times of the parts of a report: bare model, one structure, many structures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import ase
import numpy as np
import torch

from benchmarks._orbit_parts import PROBES, build, ethanol
from metatrain_symmetry.data import LazyStructures, read_structures
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Engine, Prepared, open_engine
from metatrain_symmetry.models.sweep import chunk_size, sweep


MEMORY = 2**31
FEW, ENOUGH = 4, 4_000
"""Evaluations for the floor: at least 4, and up to 4000 if counted once for each atom."""

REPEATS, SHORT = 3, 4.0
"""Runs of what takes less than so many seconds."""

SPACING = 4.5
"""Å between molecules."""

AXES: dict[str, list[dict[str, int]]] = {
    "atoms": [{"molecules": n, "lambda_max": 1, "probes": 4} for n in (1, 4, 14, 56, 111)],
    "lambda_max": [
        {"molecules": 1, "lambda_max": n, "probes": 10} for n in (1, 2, 3, 4, 6, 8)
    ],
    "probes": [
        {"molecules": 1, "lambda_max": 4, "probes": n} for n in (0, 1, 2, 5, 10, 25)
    ],
    "both": [
        {"molecules": 4, "lambda_max": 3, "probes": 25},
        {"molecules": 14, "lambda_max": 2, "probes": 10},
    ],
    "structures": [{"structures": n} for n in (4, 8, 16, 32)],
}
"""What is varied, and what it is for each point; ``both`` is there for the fit."""

QUICK: dict[str, list[dict[str, int]]] = {
    "atoms": [{"molecules": n, "lambda_max": 1, "probes": 2} for n in (1, 2, 3)],
    "lambda_max": [{"molecules": 1, "lambda_max": n, "probes": 2} for n in (1, 2, 3)],
    "probes": [{"molecules": 1, "lambda_max": 1, "probes": n} for n in (0, 1, 4)],
    "structures": [{"structures": n} for n in (1, 2, 4)],
}


def molecules(count: int) -> ase.Atoms:
    """Rattled molecules of ethanol on a grid, 9 atoms each.

    :param count: how many
    """
    atoms, side = ase.Atoms(), int(np.ceil(count ** (1 / 3)))
    for i in range(count):
        part = ethanol(i)
        place = np.array([i % side, i // side % side, i // side**2])
        part.translate(SPACING * place)
        atoms += part
    return atoms


def places(structure: Prepared) -> int:
    """Atoms, times neighbours of the one that has most, itself included: PET pads them.

    :param structure: with its neighbour list
    """
    known = structure.system
    pairs = known.get_neighbor_list(known.known_neighbor_lists()[0])
    counts = torch.bincount(pairs.samples.column("first_atom").long().cpu())
    return structure.n_atoms * (int(counts.max()) + 1)


def seconds_of(action: Callable[[], object], device: str) -> float:
    """CPU time, since others use the machine; on a GPU the time until it has finished.

    What else runs only makes it longer, so the least of up to three runs is taken, where
    the first ones were short.

    :param action: what is timed
    :param device: where it runs
    """
    seconds = [_once(action, device)]
    while len(seconds) < REPEATS and sum(seconds) < SHORT:
        seconds.append(_once(action, device))
    return min(seconds)


def _once(action: Callable[[], object], device: str) -> float:
    on_cpu = torch.device(device).type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    if not on_cpu:
        torch.cuda.synchronize()
    started = clock()
    action()
    if not on_cpu:
        torch.cuda.synchronize()
    return clock() - started


class Bench:
    """The same untrained model for all points.

    :param device: of torch
    """

    def __init__(self, device: str) -> None:
        self.device, self.model = device, build(torch.float32, device)

    def engine(self, probes: int) -> Engine:
        """Evaluates the model with its first probes."""
        return open_engine(
            self.model, None, PROBES[:probes], gradients=False, device=self.device
        )

    def one(self, point: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Bare model and measurement of one structure on an exact grid.

        :param point: ``molecules``, ``lambda_max``, ``probes``
        """
        engine, limit = self.engine(point["probes"]), point["lambda_max"]
        (given,) = read_structures([molecules(point["molecules"])], engine)
        structure = engine.prepare(given.system)
        grid, probes = O3Grid(2 * limit, limit), engine.probes
        chunk = chunk_size(engine, structure, probes, MEMORY)
        bare = chunk * engine.bytes_per_rotation(structure, [])
        matrices = grid.matrices
        for _ in sweep(engine, structure, matrices[:8], [], [], bare):
            pass  # warm

        # of large structures a few say as much
        few = matrices[: max(FEW, ENOUGH // structure.n_atoms)]

        def floor() -> None:
            for _ in sweep(engine, structure, few, [], [], bare):
                pass

        def measured() -> None:
            measure_structure(engine, structure, grid, engine.blocks, probes, memory=MEMORY)

        common = {
            "atoms": structure.n_atoms, "edges": structure.n_edges,
            "places": places(structure),
            "evaluations": len(matrices),
        }  # fmt: skip
        what = {"probes": point["probes"] + len(engine.blocks), "lambda_max": limit}
        yield {
            **common, "evaluations": len(few), "structures": 0, "reported": 0, "probes": 0,
            "lambda_max": 1, "part": "floor",
            "seconds": seconds_of(floor, self.device),
        }  # fmt: skip
        yield {
            **common, "structures": 1, "reported": 0, **what, "part": "structure",
            "seconds": seconds_of(measured, self.device),
        }  # fmt: skip

    def many(self, point: dict[str, int]) -> Iterator[dict[str, Any]]:
        """A report of several molecules on a grid of degree 2, reading and tables included.

        :param point: ``structures``
        """
        count, engine = point["structures"], self.engine(4)
        several = [ethanol(seed) for seed in range(count)]
        settings = Settings(lambda_max=1, degree=2, estimator="grid", budget=None)
        found: list[Any] = []

        def report() -> None:
            data = LazyStructures(engine, read_structures(several, engine))
            found.append(analyze(engine, data, None, settings, progress=False))

        seconds = seconds_of(report, self.device)
        evaluations = found[0].summary["evaluations"]
        (given,) = read_structures(several[:1], engine)
        first = engine.prepare(given.system)
        yield {
            "atoms": first.n_atoms, "edges": first.n_edges, "places": places(first),
            "evaluations": evaluations, "structures": count, "reported": count,
            "probes": 4 + len(engine.blocks), "lambda_max": 1, "part": "report",
            "seconds": seconds,
        }  # fmt: skip

    def axis(self, name: str, points: list[dict[str, int]]) -> list[dict[str, Any]]:
        """All points of an axis.

        :param name: of the axis, a key of ``AXES``
        :param points: of it
        :return: cases as the fit takes them
        """
        measure = self.many if name == "structures" else self.one
        return [case for point in points for case in measure(point)]
