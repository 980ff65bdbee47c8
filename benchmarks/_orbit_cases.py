"""Cases of the benchmark of orbits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
import torch
from metatomic.torch import ModelOutput

from benchmarks._orbit_parts import (
    DATA,
    MEMORY,
    PROBES,
    build,
    coefficient_bytes,
    distinct,
    ethanol,
    floor,
    ours,
    peer,
    peer_model,
    to_system,
)
from benchmarks._results import peak
from benchmarks._timing import interleaved, own_process, timed
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import Prepared, open_engine
from metatrain_symmetry.models.sweep import chunk_size


PEER_LIMIT = 4 * 2**30
"""Bytes of coefficients beyond which the peer is not tried."""
ABSENT = 1e-10
"""Shares below are rounding."""


def compare(
    atoms: ase.Atoms, dtype: torch.dtype, lambda_max: int, probes: list[str], repeats: int
) -> dict[str, Any]:
    """Interleaved times of floor, ours and peer."""
    model, degree = build(dtype), 2 * lambda_max
    engine = open_engine(model, None, probes, gradients=False)
    system = to_system(atoms, model, dtype)
    structure = engine.prepare(system, "structure")
    needed = coefficient_bytes(engine, structure, probes, lambda_max)
    actions: dict[str, Callable[[], None]] = {
        "floor": lambda: floor(engine, structure, degree, probes),
        "ours": lambda: ours(engine, structure, degree, probes),
    }
    result: dict[str, Any] = {
        "n_atoms": structure.n_atoms,
        "n_edges": structure.n_edges,
        "n_rotations": len(O3Grid(degree, 0).matrices),
        "chunk": chunk_size(engine, structure, probes, MEMORY),
        "coefficient_bytes": needed,
        "distinct_probes": distinct(engine, structure, probes),
    }
    if structure.n_atoms > 20:
        result["peer_skipped"] = "it takes longer than all else together"
    elif needed <= PEER_LIMIT:
        wrapped = peer_model(model, lambda_max)
        actions["peer"] = lambda: peer(wrapped, system, probes)
    else:
        result["peer_skipped"] = f"its coefficients would take {needed / 2**30:.1f} GiB"
    floor(engine, structure, 4, probes)  # warm up
    seconds = interleaved(actions, repeats)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    result |= {"seconds": seconds, "median": median}
    result["ours/floor"] = median["ours"] / median["floor"]
    if "peer" in median:
        result["peer/ours"] = median["peer"] / median["ours"]
    return result


def memory_of(which: str, n_probes: int, lambda_max: int) -> None:
    """Print, as JSON, what a measurement of ethanol adds to the peak memory."""
    model, probes = build(torch.float64), PROBES[:n_probes]
    system = to_system(ethanol(), model, torch.float64)
    with torch.no_grad():  # what any evaluation loads
        model([system], {"energy": ModelOutput(sample_kind="system")})
    before = peak()
    if which == "ours":
        engine = open_engine(model, None, probes, gradients=False)
        ours(engine, engine.prepare(system, "structure"), 2 * lambda_max, probes)
    else:
        peer(peer_model(model, lambda_max), system, probes)
    print(json.dumps({"MiB_above_model": peak() - before, "MiB_before": before}))


def memory(lambda_max: int) -> dict[str, Any]:
    """Peak memories, each from a process of its own."""
    found: dict[str, Any] = {"lambda_max": lambda_max, "dtype": "float64"}
    for n_probes in (25, 10):
        for which in ("ours", "peer"):
            found[f"{which}, {n_probes} probes"] = own_process(
                "benchmarks.orbit", "--memory-of", which, n_probes, lambda_max
            )
    return found


def hybrid(n_structures: int, n_exact: int, lambda_max: int) -> dict[str, Any]:
    """Heatmap over many structures, its accuracy on fewer, the peer extrapolated."""
    pool = ase.io.read(DATA, ":")
    chosen = np.random.default_rng(0).permutation(len(pool))[:n_structures]
    model = build(torch.float64)
    # layers only: a heatmap, as the peer makes it
    engine = open_engine(model, [], PROBES, gradients=False)
    systems = [to_system(pool[i], model, torch.float64) for i in chosen]
    structures = [engine.prepare(s, str(i)) for s, i in zip(systems, chosen, strict=True)]

    def run(count: int, **options: Any) -> Any:
        # max_degree stops at the degree that λmax needs
        settings = Settings(lambda_max=lambda_max, max_degree=2 * lambda_max, **options)
        return analyze(engine, structures[:count], settings=settings, progress=False)

    wanted = {"estimator": "hybrid", "max_evaluations": 0}
    seconds = timed(lambda: run(n_structures, **wanted))
    order = np.argsort([s.n_edges for s in structures], kind="stable")
    typical = int(order[n_structures // 2])
    wrapped = peer_model(model, lambda_max)
    one = timed(lambda: peer(wrapped, systems[typical], PROBES))
    keys = ["probe", "chi_lambda", "chi_sigma"]
    tables = []
    # as many circles in all as the heatmap has
    circles = {"circles": -(-n_structures // n_exact)}
    for options in ({"estimator": "circles"} | circles, {"estimator": "grid"}):
        table = run(n_exact, **options).characters
        table = table[table.chi_sigma == 1]
        tables.append(table[[*keys, "share", "stderr", "estimator"]])
    both = tables[0].merge(tables[1], on=keys, suffixes=("", "_exact"))
    both = both[both.share_exact > ABSENT]
    relative = (both.share / both.share_exact - 1).abs()
    return {
        "n_structures": n_structures,
        "seconds": seconds,
        "peer_seconds_one_structure": one,
        "peer_seconds_extrapolated": one * n_structures,
        "peer/ours": one * n_structures / seconds,
        "note": "time of the peer extrapolated from ONE structure of median size; "
        f"accuracy: {circles['circles']} circles on each of {n_exact} structures against "
        f"the exact grid on the same, proper channels with a share above {ABSENT:g}",
        "n_exact": n_exact,
        "channels_compared": len(both),
        "relative_deviation_median": float(relative.median()),
        "relative_deviation_90_percent": float(relative.quantile(0.9)),
        "relative_deviation_max": float(relative.max()),
        "within_10_percent": float((relative <= 0.1).mean()),
        "deviation_over_stderr_median": float(
            ((both.share - both.share_exact).abs() / both.stderr).median()
        ),
    }


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Exponent of a power law."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def scaling(repeats: int, largest: int) -> dict[str, Any]:
    """Exponents of our time in structures, rotations and edges."""
    model, probes = build(torch.float64), PROBES[:10]
    engine = open_engine(model, None, probes, gradients=False)

    def prepare(atoms: ase.Atoms) -> Prepared:
        return engine.prepare(to_system(atoms, model, torch.float64), "structure")

    crystal = ase.build.bulk("MgO", "rocksalt", a=4.21)
    molecules = [prepare(ethanol(seed)) for seed in range(4)]
    solids = []
    for repeat in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2)):
        atoms = crystal.repeat(repeat)
        atoms.rattle(0.05, seed=0)
        solids.append(prepare(atoms))
    # size, structures, degree
    series: dict[str, list[tuple[int, list[Prepared], int]]] = {
        "structures": [(n, molecules[:n], 8) for n in (1, 2, 4)],
        "rotations": [
            (len(O3Grid(degree, 0).matrices), molecules[:1], degree)
            for degree in (4, 8, 12, 16)
            if degree <= largest
        ],
        "edges": [(solid.n_edges, [solid], 4) for solid in solids],
    }
    found: dict[str, Any] = {"probes": 10, "dtype": "float64"}
    for name, points in series.items():
        sizes, seconds = [], []
        for size, structures, degree in points:

            def action(chosen: list[Prepared] = structures, degree: int = degree) -> None:
                for structure in chosen:
                    ours(engine, structure, degree, probes)

            action()  # warm up
            sizes.append(float(size))
            seconds.append(float(np.median([timed(action) for _ in range(repeats)])))
        exponent = slope(sizes, seconds)
        found[name] = {"sizes": sizes, "seconds": seconds, "exponent": exponent}
    return found
