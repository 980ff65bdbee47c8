"""Cases of the benchmark of orbits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import ase
import ase.build
import numpy as np
import torch
from metatomic.torch import ModelOutput

from benchmarks._orbit_parts import (
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
from metatrain_symmetry.groups.fast_transform import FastTransform
from metatrain_symmetry.groups.grid import GridTransform
from metatrain_symmetry.models import Engine, Prepared, open_engine
from metatrain_symmetry.models.sweep import chunk_size


PEER_LIMIT = 4 * 2**30
"""Bytes of coefficients beyond which the peer is not tried."""


def compare(
    atoms: ase.Atoms, dtype: torch.dtype, lambda_max: int, probes: list[str], repeats: int
) -> dict[str, Any]:
    """Interleaved times of floor, ours and peer."""
    model, degree = build(dtype), 2 * lambda_max
    engine = open_engine(model, None, probes, gradients=False)
    system = to_system(atoms, model, dtype)
    structure = engine.prepare(system, "structure")
    needed = coefficient_bytes(engine, structure, probes, lambda_max)
    skipped = why_no_peer(structure.n_atoms, needed)
    actions: dict[str, Callable[[], None]] = {
        "floor": lambda: floor(engine, structure, degree, probes),
        "ours": lambda: ours(engine, structure, degree, probes),
    }
    if skipped is None:
        wrapped = peer_model(model, lambda_max)
        actions["peer"] = lambda: peer(wrapped, system, probes)
    floor(engine, structure, 4, probes)  # warm up
    return {
        "n_atoms": structure.n_atoms,
        "n_edges": structure.n_edges,
        "n_rotations": len(O3Grid(degree, 0).matrices),
        "chunk": chunk_size(engine, structure, probes, MEMORY),
        "coefficient_bytes": needed,
        "distinct_probes": distinct(engine, structure, probes),
        **({"peer_skipped": skipped} if skipped else {}),
        **ratios(interleaved(actions, repeats)),
    }


def transforms(lambda_max: int, probes: list[str], repeats: int) -> dict[str, Any]:
    """Times of the transform for float32 values, and of that for all values, on a CPU."""
    model = build(torch.float32)
    engine = open_engine(model, None, probes, gradients=False)
    structure = engine.prepare(to_system(ethanol(), model, torch.float32), "")
    degree = 2 * lambda_max

    def wide() -> None:
        def choose(one: GridTransform, float32: bool) -> FastTransform:
            return FastTransform(one.grid, one.widths, one.device)

        with mock.patch.object(GridTransform, "_choose", choose):
            ours(engine, structure, degree, probes)

    floor(engine, structure, 4, probes)  # warm up
    seconds = interleaved(
        {
            "floor": lambda: floor(engine, structure, degree, probes),
            "narrow": lambda: ours(engine, structure, degree, probes),
            "wide": wide,
        },
        repeats,
    )
    found: dict[str, Any] = {k: float(np.median(v)) for k, v in seconds.items()}
    for one, other in (("narrow", "floor"), ("wide", "floor"), ("narrow", "wide")):
        found[f"{one}/{other}"] = found[one] / found[other]
    return {**found, "seconds": seconds}


def why_no_peer(n_atoms: int, needed: int) -> str | None:
    """Reason not to run the peer, None if it runs.

    :param n_atoms: of the structure
    :param needed: bytes of the peer's coefficients
    """
    if n_atoms > 20:
        return "it takes longer than all else together"
    if needed > PEER_LIMIT:
        return f"its coefficients would take {needed / 2**30:.1f} GiB"
    return None


def ratios(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the times, and their ratios.

    :param seconds: of every repeat, by name
    """
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    found: dict[str, Any] = {"seconds": seconds, "median": median}
    found["ours/floor"] = median["ours"] / median["floor"]
    if "peer" in median:
        found["peer/ours"] = median["peer"] / median["ours"]
    return found


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


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Exponent of a power law."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def exponent_of(
    engine: Engine,
    points: list[tuple[int, list[Prepared], int]],
    probes: list[str],
    repeats: int,
) -> dict[str, Any]:
    """Exponent of our time in a size.

    :param engine: of the model
    :param points: size, structures and degree of the grid
    :param probes: layers to resolve
    :param repeats: medians are over so many
    """
    sizes, seconds = [], []
    for size, structures, degree in points:

        def action(chosen: list[Prepared] = structures, degree: int = degree) -> None:
            for structure in chosen:
                ours(engine, structure, degree, probes)

        action()  # warm up
        sizes.append(float(size))
        seconds.append(float(np.median([timed(action) for _ in range(repeats)])))
    return {"sizes": sizes, "seconds": seconds, "exponent": slope(sizes, seconds)}


def supercells() -> list[ase.Atoms]:
    """Rattled rock salt of 2, 4, 8 and 16 atoms."""
    crystal = ase.build.bulk("MgO", "rocksalt", a=4.21)
    found = [crystal.repeat(n) for n in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2))]
    for atoms in found:
        atoms.rattle(0.05, seed=0)
    return found


def scaling(repeats: int, largest: int) -> dict[str, Any]:
    """Exponents of our time in structures, rotations and edges."""
    model, probes = build(torch.float64), PROBES[:10]
    engine = open_engine(model, None, probes, gradients=False)

    def prepare(atoms: ase.Atoms) -> Prepared:
        return engine.prepare(to_system(atoms, model, torch.float64), "structure")

    molecules = [prepare(ethanol(seed)) for seed in range(4)]
    degrees = [degree for degree in (4, 8, 12, 16) if degree <= largest]
    series = {
        "structures": [(n, molecules[:n], 8) for n in (1, 2, 4)],
        "rotations": [(len(O3Grid(d, 0).matrices), molecules[:1], d) for d in degrees],
        "edges": [(solid.n_edges, [solid], 4) for solid in map(prepare, supercells())],
    }
    found = {name: exponent_of(engine, p, probes, repeats) for name, p in series.items()}
    return {"probes": 10, "dtype": "float64", **found}
