"""Cases of the benchmark of purification."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)

from benchmarks._results import peak
from benchmarks._timing import interleaved, own_process, timed
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.data.labelled import LabelledStructure
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.models import open_engine, sweep
from metatrain_symmetry.purify.accumulate import Sweep
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.moments import Moments
from metatrain_symmetry.purify.problems import find_problems
from metatrain_symmetry.purify.solve import Path as SolvePath


DATA = Path(__file__).parent.parent / "data" / "xtb_molecules.xyz"
MEMORY = 2**31
ALPHAS = (0.0, *np.geomspace(0.1, 1e4, 19).tolist())


def build(width: int, o3_lambda: int, dtype: torch.dtype) -> PET:
    """Untrained PET with an energy and one direct per-atom target."""
    targets: dict[str, Any] = {
        "energy": get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
    }
    kind: dict[str, Any] = {"cartesian": {"rank": 1}}
    if o3_lambda != 1:
        irreps = [{"o3_lambda": o3_lambda, "o3_sigma": 1}]
        kind = {"spherical": {"irreps": irreps}}
    options: dict[str, Any] = {"quantity": "", "unit": "", "type": kind}
    options |= {"num_subtargets": 1, "sample_kind": "atom"}
    targets["mtt::direct"] = get_generic_target_info("mtt::direct", options)
    torch.manual_seed(0)
    hypers = get_default_hypers("pet")["model"]
    hypers |= {"d_pet": width, "d_node": 2 * width, "d_head": width}
    hypers |= {"d_feedforward": 2 * width}
    info = DatasetInfo("Angstrom", [1, 6, 7, 8], targets)
    return PET(hypers, info).to(dtype).eval()


def samples(engine: FeatureEngine, count: int) -> list[LabelledStructure]:
    """Molecules with random labels."""
    pool = ase.io.read(DATA, ":")
    chosen = np.random.default_rng(0).permutation(len(pool))[:count]
    found = []
    for _, system in read_systems([pool[i] for i in chosen], engine):
        prepared = engine.prepare(system)
        one = torch.eye(3, dtype=torch.float64)[None]
        values = engine.evaluate(prepared, one, engine.blocks, []).targets
        truth = {
            b: torch.randn(v.shape[1:], dtype=torch.float64) for b, v in values.items()
        }
        found.append(LabelledStructure(prepared, bare_targets=truth))
    return found


def zeros(run: Sweep) -> list[Moments]:
    """Moments of nothing."""
    cpu = torch.device("cpu")
    return [
        Moments.zeros(p.part.irrep.dimension, run.engine.width, len(p.properties), cpu)
        for p in run.problems
    ]


def compare(
    width: int, o3_lambda: int, dtype: torch.dtype, count: int, repeats: int
) -> dict[str, Any]:
    """Interleaved times of our sweep and of symmetrised inference."""
    model = build(width, o3_lambda, dtype)
    engine = FeatureEngine(model, list(model.dataset_info.targets))
    bare = open_engine(model, None, (), gradients=False)
    grid = O3Grid(max(8, 2 * o3_lambda))
    chosen = samples(engine, count)
    run = Sweep(engine, find_problems(engine), grid, MEMORY)
    moments = zeros(run)

    def ours() -> None:
        for sample in chosen:
            run.add(moments, sample)

    def inference() -> None:
        for sample in chosen:
            steps = sweep(bare, sample.structure, grid.matrices, bare.blocks, [], MEMORY)
            for _ in steps:
                pass

    actions = {"ours": ours, "inference": inference}
    for action in actions.values():
        action()  # warm up
    sizes = {"K": engine.width, "rotations": len(grid.matrices), "structures": count}
    return {**sizes, **ratios(interleaved(actions, repeats))}


def ratios(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the times, and the ratio of the two, repeat by repeat.

    :param times: seconds of every repeat, by name
    """
    both = [a / b for a, b in zip(times["ours"], times["inference"], strict=True)]
    return {
        "seconds": times,
        "median": {name: float(np.median(values)) for name, values in times.items()},
        "ours/inference": float(np.median(both)),
        "ours/inference, range": [min(both), max(both)],
    }


def scaling(counts: list[int], repeats: int) -> dict[str, Any]:
    """Exponent of the time in the number of structures: the same ones again and again."""
    model = build(32, 1, torch.float64)
    engine = FeatureEngine(model, list(model.dataset_info.targets))
    run = Sweep(engine, find_problems(engine), O3Grid(8), MEMORY)
    (one,) = samples(engine, 1)
    moments = zeros(run)

    def action(count: int) -> None:
        for _ in range(count):
            run.add(moments, one)

    action(1)
    seconds = [
        float(np.median([timed(partial(action, n)) for _ in range(repeats)]))
        for n in counts
    ]
    exponent = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    return {"structures": counts, "seconds": seconds, "exponent": exponent}


def random_moments(K: int, o3_lambda: int) -> Moments:
    """Moments of random features, three times as many samples as features."""
    d = 2 * o3_lambda + 1
    found = Moments.zeros(d, K, 1, torch.device("cpu"))
    torch.manual_seed(0)
    T = torch.randn(3 * K // d + 1, d, d, K, dtype=torch.float64)
    found.add(torch.zeros(K, K).double(), T, torch.randn(len(T), d, 1).double())
    # I ⊗ S has to be larger than Q
    size = (
        float(torch.linalg.matrix_norm(found.Q, 2))
        if d * K < 1500
        else float(found.Q.diagonal().sum())
    )
    found.S += size * torch.eye(K).double()
    return found


def solve_of(K: int, o3_lambda: int) -> None:
    """Solve once in this process; print seconds and MiB."""
    moments = random_moments(K, o3_lambda)
    w0 = torch.zeros_like(moments.b)
    before = peak()

    def action() -> None:
        path = SolvePath(moments, w0, 1e-3)
        for alpha in ALPHAS:
            path.readout(alpha)

    seconds = timed(action)
    above = peak() - before
    sums = sum(part.numel() for part in moments.tensors) * 8 / 2**20
    print(json.dumps({"s": seconds, "MiB_above": above, "sums_MiB": sums}))


def solve(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """Time and memory of solves, each in a process of its own."""
    found: dict[str, Any] = {}
    for K, o3_lambda in sizes:
        name = f"K {K}, λ {o3_lambda}, {(2 * o3_lambda + 1) * K} unknowns"
        found[name] = own_process("benchmarks.purify", "--solve-of", K, o3_lambda)
    return found


def study(checkpoint: Path, options: Path) -> dict[str, Any]:
    """What a purification brings, for every target and irrep.

    :param checkpoint: of a trained model
    :param options: options file of ``mtt purify``
    :return: rows of ``accuracy.csv``, seconds, settings
    """
    from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint

    start = time.perf_counter()
    found = purify_checkpoint(checkpoint, options, dry_run=True)
    assert found is not None
    seconds = time.perf_counter() - start
    rows = json.loads(found.accuracy.to_json(orient="records"))
    return {"seconds": seconds, "rows": rows, "summary": found.summary}
