"""Cost of our exact O(3) grid against ``metatomic.torch.o3.SymmetrizedModel``.

Both resolve the same layers of the same untrained PET on the same structure, up to the
same λ with a grid of degree 2 λ. In every repeat of a case these run one after the other
in the same process, in an order that rotates, and medians over repeats are reported (the
large structure once, without the peer):

- ``floor``: our tiled backend on all rotations in the same chunks, without layers
- ``ours``: the same with layers and their transform
- ``peer``: one call of ``SymmetrizedModel``, its construction left out

Peak memory is that of subprocesses, above the loaded model. The hybrid heatmap of the
layers is timed on many structures; its accuracy is measured on fewer, with as many
circles in all, and the time of the peer extrapolated from one structure. Exponents are
slopes of our time on double logarithmic axes.

The results file is rewritten after every case; cases that begin after ``--minutes`` are
skipped and listed.

    python -m benchmarks.orbit --output benchmarks/results/orbit.json
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
import torch
from metatomic.torch import ModelOutput, System, systems_to_torch
from metatomic.torch.o3 import SymmetrizedModel
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from benchmarks._results import hardware, peak, write_atomically
from metatrain_symmetry.group import O3Grid
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.orbit import Engine, Prepared, open_engine, sweep
from metatrain_symmetry.orbit.sweep import chunk_size


DATA = Path(__file__).parent.parent / "data" / "xtb_molecules.xyz"
PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
MEMORY = 2**31
PEER_LIMIT = 4 * 2**30
"""Bytes of coefficients beyond which the peer is not tried."""
ABSENT = 1e-10
"""Shares below are rounding."""
PROBES = [
    *(
        f"gnn_layers.{i}{part}"
        for i in (0, 1)
        for part in (".edge_embedder", ".compress", "_node", "_edge")
    ),
    *("node_backbone.0", "edge_backbone.0"),
    *("node_heads.energy.0", "edge_heads.energy.0"),
    *(
        f"gnn_layers.{i}.trans.layers.{j}_{part}"
        for i in (0, 1)
        for j in (0, 1)
        for part in ("node", "edge")
    ),
    *("combination_mlps.0", "combination_mlps.1", "combination_norms.0"),
    *("gnn_layers.0.compress.0", "gnn_layers.1.compress.0"),
]


def build(dtype: torch.dtype) -> PET:
    """Untrained PET of the default size, but for d_pet: 64 instead of 128."""
    target = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
    info = DatasetInfo("Angstrom", [1, 6, 7, 8, 12], {"energy": target})
    torch.manual_seed(0)
    hypers = get_default_hypers("pet")["model"] | {"d_pet": 64, "d_node": 256}
    return PET(hypers, info).to(dtype).eval()


def ethanol(seed: int = 1) -> ase.Atoms:
    """A rattled molecule of 9 atoms."""
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


def cluster() -> ase.Atoms:
    """Eleven rattled ethanol molecules, 99 atoms, on a grid of 4.5 Å."""
    atoms = ase.Atoms()
    for i in range(11):
        part = ethanol(i)
        part.translate(4.5 * np.array([i % 3, i // 3 % 2, i // 6]))
        atoms += part
    return atoms


def to_system(atoms: ase.Atoms, model: PET, dtype: torch.dtype) -> System:
    """Structure with the neighbour list of a model."""
    system = systems_to_torch(atoms, dtype=torch.float64).to(dtype)
    return get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))


def ours(engine: Engine, structure: Prepared, degree: int, probes: list[str]) -> None:
    """Exact grid, with layers."""
    grid = O3Grid(degree, degree // 2)
    measure_structure(
        engine, structure, grid, [], probes, equivariance=False, memory=MEMORY
    )


def floor(engine: Engine, structure: Prepared, degree: int, probes: list[str]) -> None:
    """Backend alone, in the chunks that ``ours`` takes."""
    chunk = chunk_size(engine, structure, probes, MEMORY)
    budget = chunk * engine.bytes_per_rotation(structure, [])
    matrices = O3Grid(degree, 0).matrices
    for _ in sweep(engine, structure, matrices, [], [], budget):
        pass


def peer_model(model: PET, lambda_max: int) -> Any:
    """Wrap a model for the peer."""
    return SymmetrizedModel(
        model, max_angular_momentum_target=0, max_angular_momentum_character=lambda_max
    )


def peer(wrapped: Any, system: System, probes: list[str]) -> None:
    """Character projections of the peer."""
    prefix = "o3::character_projection::mtt::feature::"
    outputs = {prefix + p: ModelOutput(sample_kind="atom") for p in probes}
    with torch.no_grad():
        wrapped([system], outputs, None)


def coefficient_bytes(
    engine: Engine, structure: Prepared, probes: list[str], lambda_max: int
) -> int:
    """Memory of all coefficients of both cosets, in bytes."""
    values = engine.evaluate(structure, torch.eye(3, dtype=torch.float64)[None], [], probes)
    channels = sum(part[0].numel() for part in values.layers.values())
    per_channel = sum((2 * l + 1) ** 2 for l in range(lambda_max + 1))
    return 2 * channels * per_channel * engine.dtype.itemsize


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def distinct(engine: Engine, structure: Prepared, probes: list[str]) -> int:
    """Number of probes that are a tensor of their own; we resolve only these."""
    values = engine.evaluate(structure, torch.eye(3, dtype=torch.float64)[None], [], probes)
    return len({id(part) for part in values.layers.values()})


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
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(timed(actions[name]))
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
            options = [which, str(n_probes), str(lambda_max)]
            command = [sys.executable, "-m", "benchmarks.orbit", "--memory-of", *options]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, text=True, capture_output=True)
            last = done.stdout.strip().splitlines()[-1:] or ["null"]
            found[f"{which}, {n_probes} probes"] = (
                json.loads(last[0])
                if done.returncode == 0
                else {"failed": done.returncode, "error": done.stderr[-500:]}
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
        return analyze(engine, structures[:count], settings, progress=False)

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


def plan(quick: bool, n_exact: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """All cases, the most important first."""
    repeats, high, low = (1, 4, 2) if quick else (3, 8, 4)
    cases: dict[str, Callable[[], dict[str, Any]]] = {}

    def add(
        size: str, dtype: torch.dtype, lambda_max: int, probes: list[str], repeats: int
    ) -> None:
        atoms = ethanol() if size == "small" else cluster()
        word = str(dtype).removeprefix("torch.")
        name = f"{size}, {word}, λmax {lambda_max}, {len(probes)} probes"
        cases[name] = lambda: compare(atoms, dtype, lambda_max, probes, repeats)

    for n in (25, 10):
        add("small", torch.float64, high, PROBES[:n], repeats)
    cases["memory"] = lambda: memory(high)
    count, exact = (4, 2) if quick else (100, n_exact)
    cases["hybrid"] = lambda: hybrid(count, exact, high)
    cases["scaling"] = lambda: scaling(repeats, 2 * high)
    for dtype, lambda_max in (
        (torch.float32, high),
        (torch.float64, low),
        (torch.float32, low),
    ):
        for n in (25, 10):
            add("small", dtype, lambda_max, PROBES[:n], repeats)
    for lambda_max in (low, high):
        for dtype in (torch.float32, torch.float64):
            for n in (10, 25):
                add("large", dtype, lambda_max, PROBES[:n], 1)
    return cases


def table(result: dict[str, Any]) -> str:
    """Markdown tables of a result."""
    cases = result["cases"]
    lines = [
        "| case | floor (s) | ours (s) | peer (s) | peer / ours | ours / floor |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, case in cases.items():
        if "median" in case:
            keys = ("floor", "ours", "peer")
            cells = [
                f"{case['median'][k]:.2f}" if k in case["median"] else "-" for k in keys
            ]
            cells.append(f"{case['peer/ours']:.2f}" if "peer/ours" in case else "-")
            lines.append(f"| {name} | {' | '.join(cells)} | {case['ours/floor']:.2f} |")
    lines += ["", "| other | value |", "|---|---|"]
    for name in ("memory", "hybrid", "scaling"):
        for key, value in cases.get(name, {}).items():
            shown = value
            if isinstance(value, dict):
                shown = value.get("exponent", value.get("MiB_above_model", "failed"))
            if isinstance(shown, float):
                shown = f"{shown:.4g}"
            lines.append(f"| {name}: {key} | {shown} |")
    lines += ["", f"skipped: {'; '.join(result['skipped']) or 'nothing'}"]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("orbit.json"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--exact-structures", type=int, default=20)
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    # more threads than idle cores make every figure here meaningless
    torch.set_num_threads(1)
    if args.memory_of:
        which, n_probes, lambda_max = args.memory_of
        memory_of(which, int(n_probes), int(lambda_max))
        return
    result: dict[str, Any] = {
        "command": " ".join(["python", "-m", "benchmarks.orbit", *sys.argv[1:]]),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
        "cases": {},
        "skipped": [],
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    for name, case in plan(args.quick, args.exact_structures).items():
        if args.only not in name:
            continue
        if time.perf_counter() - started > 60 * args.minutes:
            result["skipped"].append(name)
        else:
            print(name, flush=True)
            try:
                result["cases"][name] = case()
            except Exception as error:  # the others are still worth having
                result["cases"][name] = {"failed": f"{type(error).__name__}: {error}"}
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write_atomically(args.output, lambda path, text=text: Path(path).write_text(text))
    print(table(result))
    failed = [name for name, case in result["cases"].items() if "failed" in case]
    if failed:
        raise SystemExit(f"these cases failed, see {args.output}: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
