"""The exact grid on a GPU, beside one thread of a CPU of the same machine.

Both resolve the same layers of the same untrained PET on the same structures, with the
grid of degree 2 λmax. ``floor`` is the backend alone on all rotations, ``ours`` with layers
and their transform. Medians over interleaved repeats; the CPU is timed once, on the small
structure only. ``deviation`` is the largest difference of a share of B between the two, in
float64: they have to agree to rounding.

    python -m benchmarks.gpu --output benchmarks/results/gpu.json
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch

from benchmarks._orbit_parts import MEMORY, PROBES, build, cluster, ethanol, floor, ours
from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._timing import interleaved, timed
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Engine, Prepared, open_engine
from metatrain_symmetry.models.sweep import chunk_size


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")


def prepared(
    atoms: ase.Atoms, dtype: torch.dtype, device: str, probes: list[str]
) -> tuple[Engine, Prepared]:
    """Engine on a device, and a structure for it."""
    model = build(dtype, device)
    engine = open_engine(model, None, probes, gradients=False, device=device)
    ((_, system),) = read_systems(atoms, engine)
    return engine, engine.prepare(system)


def times(
    atoms: ase.Atoms, dtype: torch.dtype, lambda_max: int, n_probes: int, repeats: int
) -> dict[str, Any]:
    """Floor and ours on the GPU; both once on the CPU where that is bearable."""
    probes, degree = PROBES[:n_probes], 2 * lambda_max
    engine, structure = prepared(atoms, dtype, "cuda", probes)
    actions: dict[str, Callable[[], object]] = {
        "floor": partial(floor, engine, structure, degree, probes),
        "ours": partial(ours, engine, structure, degree, probes),
    }
    for action in actions.values():  # warm up
        action()
    torch.cuda.reset_peak_memory_stats()
    seconds = interleaved(actions, repeats)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    found: dict[str, Any] = {
        "n_atoms": structure.n_atoms,
        "n_edges": structure.n_edges,
        "n_rotations": len(O3Grid(degree, 0).matrices),
        "chunk": chunk_size(engine, structure, probes, MEMORY),
        "seconds": seconds,
        "median": median,
        "ours/floor": median["ours"] / median["floor"],
        "peak_MiB": torch.cuda.max_memory_allocated() / 2**20,
    }
    if structure.n_atoms < 20:
        engine, structure = prepared(atoms, dtype, "cpu", probes)
        floor(engine, structure, 4, probes)
        found["cpu"] = timed(lambda: ours(engine, structure, degree, probes))
        found["cpu/gpu"] = found["cpu"] / median["ours"]
    return found


def agreement(lambda_max: int) -> dict[str, Any]:
    """Largest deviation between the devices, of shares and of A, in float64."""
    shares: dict[str, np.ndarray] = {}
    A: dict[str, float] = {}
    for device in ("cpu", "cuda"):
        engine, structure = prepared(ethanol(), torch.float64, device, PROBES)
        grid = O3Grid(2 * lambda_max)
        found = measure_structure(engine, structure, grid, engine.blocks, engine.probes)
        parts = [s.powers.powers / s.powers.norm2[:, None] for s in found.spectra.values()]
        shares[device] = torch.cat([part.cpu() for part in parts]).numpy()
        A[device] = found.equivariance[engine.blocks[0]].A
    return {
        "shares": shares["cpu"].size,
        "deviation": float(np.abs(shares["cpu"] - shares["cuda"]).max()),
        "A": A["cpu"],
        "deviation_of_A": abs(A["cuda"] / A["cpu"] - 1),
    }


def table(result: dict[str, Any]) -> str:
    """Markdown table of a result."""
    lines = [
        f"{result.get('gpu', '')}",
        "",
        "| case | floor (s) | ours (s) | ours / floor | CPU, one thread (s) | CPU / GPU |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, case in result["cases"].items():
        if "median" not in case:
            continue
        cells = [f"{case['median'][k]:.3f}" for k in ("floor", "ours")]
        cells.append(f"{case['ours/floor']:.2f}")
        cells += [f"{case[k]:.3g}" if k in case else "-" for k in ("cpu", "cpu/gpu")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"agreement: {result['cases'].get('agreement')}"])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once")
    parser.add_argument("--minutes", type=float, default=6)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no GPU on this computer")
    torch.set_num_threads(1)
    high, repeats = (2, 1) if args.quick else (8, 5)
    cases: dict[str, Callable[[], dict[str, Any]]] = {"agreement": lambda: agreement(high)}
    for size, atoms in (("small", ethanol()), ("large", cluster())):
        for dtype in (torch.float32, torch.float64):
            for n in (10, 25):
                word = str(dtype).removeprefix("torch.")
                name = f"{size}, {word}, λmax {high}, {n} probes"
                cases[name] = partial(times, atoms, dtype, high, n, repeats)
    result = start("benchmarks.gpu", PACKAGES)
    result["gpu"] = torch.cuda.get_device_name()
    run_cases(cases, result, args.output, time.monotonic() + 60 * args.minutes)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
