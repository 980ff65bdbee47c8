"""What ``torch.compile`` of the forward of PET costs and brings.

The same untrained PET is opened twice, and one of the engines is compiled, in a folder of
its own for compiled code: ``compile_s`` is what the first measurement pays, ``again_s``
what the next one pays that finds the code. Both engines evaluate the same rotated copies
of a small and of a large structure, in chunks as a measurement takes them, one after the
other in an order that rotates. ``floor`` is the backend alone, without layers and
gradients, and not compiled. Medians over repeats; ``cpu`` is the time of the processor,
which other processes disturb less. ``deviation`` is the largest difference of an output or
layer, divided by its largest value. ``break_even`` is the number of evaluations after
which compiling has paid, and ``compiled_later`` what was compiled while structures were
evaluated, which should be nothing.

    python -m benchmarks.compiled --output benchmarks/results/compiled.json
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache

from benchmarks._orbit_parts import MEMORY, PROBES, build, cluster, ethanol
from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._timing import in_turns
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.models import PETEngine, Prepared, Values, open_engine
from metatrain_symmetry.models.loading import compilable
from metatrain_symmetry.models.sweep import chunk_size


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
STRUCTURES = {"small": ethanol, "large": cluster}
EVALUATIONS = len(O3Grid(16, 0).matrices)
"""Of the exact grid for λmax 8 on one structure."""


def engines(
    dtype: torch.dtype, probes: list[str], gradients: bool, device: str
) -> dict[str, PETEngine]:
    """The same model, in the ways that are compared; nothing is compiled yet."""
    model = build(dtype, device)
    found = {}
    for name, layers in (("floor", []), ("eager", probes), ("compiled", probes)):
        opened = open_engine(model, None, layers, gradients=gradients, device=device)
        found[name] = compilable(opened)
    return found


def compiling(engine: PETEngine) -> dict[str, float]:
    """Compile an engine, and once more with the code that is there then."""
    found = {}
    for name in ("compile", "again"):
        torch.compiler.reset()
        started = time.process_time()
        engine.compile()
        found[f"{name}_cpu_s"] = time.process_time() - started
        found[f"{name}_s"] = 0.0 if engine.compiled is None else engine.compiled.seconds
    return found


def measured(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processor, until a GPU has finished too."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def times(
    found: dict[str, PETEngine],
    structures: Mapping[str, Prepared],
    seconds: float,
    least: int,
) -> dict[str, Any]:
    """Times of one evaluation, of all engines."""
    eager = found["eager"]
    structure = structures["eager"]
    chunk = chunk_size(eager, structure, eager.probes, MEMORY)
    matrices = O3Grid(16, 0).matrices[:chunk]

    def evaluate(name: str, copies: torch.Tensor = matrices) -> Values:
        engine = found[name]
        blocks = [] if name == "floor" else engine.blocks
        return engine.evaluate(structures[name], copies, blocks, engine.probes)

    once = sum(measured(partial(evaluate, name))[0] for name in found)
    several = O3Grid(16, 0).matrices[:: EVALUATIONS // 20]
    difference = deviation(evaluate("eager", several), evaluate("compiled", several))
    repeats = max(least, min(50, int(seconds / once)))
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for name in in_turns(found, repeats):
        samples[name].append(measured(partial(evaluate, name)))
    wall, cpu = (
        {n: 1000 * float(np.median([s[i] for s in v])) / chunk for n, v in samples.items()}
        for i in (0, 1)
    )
    return {
        "n_atoms": structure.n_atoms, "n_edges": structure.n_edges, "chunk": chunk,
        "repeats": repeats, "ms": wall, "cpu_ms": cpu,
        "eager/compiled": wall["eager"] / wall["compiled"],
        "eager/compiled, cpu": cpu["eager"] / cpu["compiled"],
        "deviation": difference,
    }  # fmt: skip


def deviation(one: Values, other: Values) -> float:
    """Largest difference, as a share of the largest value of an output or layer."""
    pairs = [(one.targets[b], other.targets[b]) for b in one.targets]
    pairs += [(one.layers[p], other.layers[p]) for p in one.layers]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def case(
    dtype: torch.dtype,
    probes: list[str],
    gradients: bool,
    device: str,
    seconds: float,
    least: int,
) -> dict[str, Any]:
    """Compile once, then time both structures with the same code."""
    counters.clear()
    found = engines(dtype, probes, gradients, device)
    with fresh_cache():
        result: dict[str, Any] = {"probes": len(probes), **compiling(found["compiled"])}
        before = counters["stats"]["unique_graphs"]
        for size, make in STRUCTURES.items():
            prepared = {}
            for name, engine in found.items():
                ((_, system),) = read_systems(make(), engine)
                prepared[name] = engine.prepare(system)
            result[size] = times(found, prepared, seconds, least)
            saved = result[size]["ms"]["eager"] - result[size]["ms"]["compiled"]
            even = 1000 * result["compile_s"] / saved if saved > 0 else None
            result[size]["break_even"] = even
            result[size]["break_even_grids"] = None if even is None else even / EVALUATIONS
    result["compiled_later"] = counters["stats"]["unique_graphs"] - before
    return result


def table(result: dict[str, Any]) -> str:
    """Markdown table of a result."""
    lines = [
        "| case | atoms | floor (ms) | eager (ms) | compiled (ms) | eager / compiled "
        "| of CPU time | compiling, again (s) | break-even: evaluations, grids "
        "| deviation |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in result["cases"].items():
        sizes = [size for size in STRUCTURES if size in found]
        lines += [f"| {name} | {_row(found, found[size])} |" for size in sizes]
    return "\n".join([*lines, "", f"skipped: {'; '.join(result['skipped']) or 'nothing'}"])


def _row(found: dict[str, Any], part: dict[str, Any]) -> str:
    cells = [str(part["n_atoms"])]
    cells += [f"{part['ms'][name]:.3g}" for name in ("floor", "eager", "compiled")]
    cells += [f"{part[key]:.2f}" for key in ("eager/compiled", "eager/compiled, cpu")]
    cells.append(f"{found['compile_s']:.0f}, {found['again_s']:.0f}")
    even, grids = part["break_even"], part["break_even_grids"]
    cells.append("never" if even is None else f"{even:.0f}, {grids:.1f}")
    cells.append(f"{part['deviation']:.1e}")
    return " | ".join(cells)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("compiled.json"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="float32 only, few repeats")
    parser.add_argument("--minutes", type=float, help="(default: 15, on a GPU 0.8)")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU on this computer")
    # more threads than idle cores make every figure here meaningless
    torch.set_num_threads(1)
    seconds, least = (1.0, 2) if args.quick else (15.0, 5)
    minutes = 15.0
    if args.device == "cuda":  # borrowed ones are short of time
        seconds, minutes = min(seconds, 2.0), 0.8
    minutes = minutes if args.minutes is None else args.minutes
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    for what, probes, gradients in (
        ("outputs", [], False),
        ("10 layers", PROBES[:10], False),
        ("forces", [], True),
    ):
        for word in ("float32",) if args.quick else ("float32", "float64"):
            name = f"{word}, {what}"
            options = (probes, gradients, args.device, seconds, least)
            if args.only in name:
                cases[name] = partial(case, getattr(torch, word), *options)
    result = start("benchmarks.compiled", PACKAGES)
    if args.device == "cuda":
        result["gpu"] = torch.cuda.get_device_name()
    run_cases(cases, result, args.output, time.monotonic() + 60 * minutes)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
