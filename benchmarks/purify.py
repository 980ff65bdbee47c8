"""Cost of a purification, and what it brings for a given checkpoint and data set.

- ``sweep``: our sweep, moments of all targets included, against symmetrised inference: the
  bare engine that predicts the same targets for the same rotations of the same structures.
  Interleaved in one process, in an order that rotates, medians over repeats.
- ``scaling``: time of the sweep against the number of structures, as an exponent.
- ``solve``: time of one solve (one ridge, all α) and peak memory of a process of its own
  above the interpreter's, against the number of features K and λ.
- ``study``: with ``--checkpoint`` and ``--options``, what ``mtt purify`` finds: all targets
  and irreps, those included that gain nothing.

The results file is rewritten after every case.

    python -m benchmarks.purify --output benchmarks/results/purify.json
    python -m benchmarks.purify --checkpoint model.ckpt --options options.yaml
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
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

from benchmarks._results import hardware, peak, write_atomically
from metatrain_symmetry.group import O3Grid
from metatrain_symmetry.orbit import open_engine, read_systems, sweep
from metatrain_symmetry.purify.accumulate import Sweep
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.moments import Moments
from metatrain_symmetry.purify.samples import Sample
from metatrain_symmetry.purify.solve import Path as SolvePath
from metatrain_symmetry.purify.unknowns import find_problems


DATA = Path(__file__).parent.parent / "data" / "xtb_molecules.xyz"
PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
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


def samples(engine: FeatureEngine, count: int) -> list[Sample]:
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
        found.append(Sample(prepared, truth))
    return found


def zeros(run: Sweep) -> list[Moments]:
    """Moments of nothing."""
    cpu = torch.device("cpu")
    return [
        Moments.zeros(p.part.irrep.dimension, run.engine.width, len(p.properties), cpu)
        for p in run.problems
    ]


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


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
            steps = sweep(bare, sample.prepared, grid.matrices, bare.blocks, [], MEMORY)
            for _ in steps:
                pass

    actions = {"ours": ours, "inference": inference}
    for action in actions.values():
        action()  # warm up
    times: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(repeats):
        names = list(actions)
        for name in names[repeat % 2 :] + names[: repeat % 2]:
            times[name].append(timed(actions[name]))
    median = {name: float(np.median(values)) for name, values in times.items()}
    ratios = [a / b for a, b in zip(times["ours"], times["inference"], strict=True)]
    return {
        "K": engine.width,
        "rotations": len(grid.matrices),
        "structures": count,
        "seconds": times,
        "median": median,
        "ours/inference": float(np.median(ratios)),
        "ours/inference, range": [min(ratios), max(ratios)],
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
        command = [sys.executable, "-m", "benchmarks.purify"]
        command += ["--solve-of", str(K), str(o3_lambda)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        name = f"K {K}, λ {o3_lambda}, {(2 * o3_lambda + 1) * K} unknowns"
        if done.returncode == 0:
            found[name] = json.loads(done.stdout.strip().splitlines()[-1])
        else:
            found[name] = {"failed": done.returncode, "error": done.stderr[-500:]}
    return found


def study(checkpoint: Path, options: Path) -> dict[str, Any]:
    """What a purification brings, for every target and irrep.

    :param checkpoint: of a trained model
    :param options: options file of ``mtt purify``
    :return: rows of ``accuracy.csv``, seconds, settings
    """
    from metatrain_symmetry.cli.purify import purify_checkpoint

    start = time.perf_counter()
    found = purify_checkpoint(checkpoint, options, dry_run=True)
    assert found is not None
    seconds = time.perf_counter() - start
    rows = json.loads(found.accuracy.to_json(orient="records"))
    curve = json.loads(found.curve.to_json(orient="records"))
    return {"seconds": seconds, "rows": rows, "curve": curve, "summary": found.summary}


def plan(quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """All cases but the study, the most important first."""
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    count, repeats = (1, 3) if quick else (8, 7)
    wanted = [(48, 1), (48, 4)] if quick else [(48, 1), (128, 1), (128, 4)]
    if not quick:
        wanted.append((128, 8))
    for width, o3_lambda in wanted:
        for dtype in (torch.float32, torch.float64):
            word = str(dtype).removeprefix("torch.")
            name = f"sweep, width {width}, λ {o3_lambda}, {word}"
            cases[name] = partial(compare, width, o3_lambda, dtype, count, repeats)
    counts = [1, 2, 4] if quick else [1, 2, 4, 8, 16]
    cases["scaling"] = lambda: scaling(counts, repeats)
    sizes = [(66, 1), (130, 1), (258, 1), (130, 2), (130, 4)]
    if not quick:
        sizes += [(514, 1), (258, 4), (258, 8)]
    cases["solve"] = lambda: solve(sizes)
    return cases


def table(result: dict[str, Any]) -> str:
    """Markdown tables of a result."""
    lines = [
        "| case | ours (s) | inference (s) | ours / inference |",
        "|---|---:|---:|---:|",
    ]
    cases = result["cases"]
    for name, case in cases.items():
        if "median" in case:
            low, high = case["ours/inference, range"]
            lines.append(
                f"| {name} | {case['median']['ours']:.3f} | "
                f"{case['median']['inference']:.3f} | {case['ours/inference']:.2f} "
                f"({low:.2f} to {high:.2f}) |"
            )
    if "exponent" in cases.get("scaling", {}):
        lines.append(f"\ntime ~ structures^{cases['scaling']['exponent']:.3f}")
    lines += ["", "| solve | time (s) | memory above sums (MiB) | sums (MiB) |"]
    lines += ["|---|---:|---:|---:|"]
    for name, case in cases.get("solve", {}).items():
        if "s" in case:
            lines.append(
                f"| {name} | {case['s']:.2f} | {case['MiB_above']:.0f} | "
                f"{case['sums_MiB']:.1f} |"
            )
    rows = cases.get("study", {}).get("rows", [])
    if rows:
        lines += ["", "| target | state | A | RMSE | change of A | change of RMSE |"]
        lines += ["|---|---|---:|---:|---:|---:|"]
    for row in rows:
        sign = "+" if row["o3_sigma"] == 1 else "-"
        lines.append(
            f"| {row['target']} ({row['o3_lambda']},{sign}) | {row['state']} | "
            f"{row['A_before']:.4g} | {row['rmse_before']:.4g} {row['unit']} | "
            f"{100 * row['A_change']:+.2f} % | {100 * row['rmse_change']:+.2f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("purify.json"))
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--checkpoint", type=Path, help="study this model, nothing else")
    parser.add_argument("--options", type=Path, help="its options for mtt purify")
    parser.add_argument("--solve-of", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    # more threads than idle cores make every figure here meaningless
    torch.set_num_threads(1)
    if args.solve_of:
        solve_of(*args.solve_of)
        return
    if (args.checkpoint is None) != (args.options is None):
        parser.error("--checkpoint and --options belong together")
    cases = plan(args.quick)
    if args.checkpoint is not None:
        cases = {"study": lambda: study(args.checkpoint, args.options)}
    result: dict[str, Any] = {
        "command": " ".join(["python", "-m", "benchmarks.purify", *sys.argv[1:]]),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
        "cases": {},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    for name, case in cases.items():
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
