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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks._purify_cases import compare, scaling, solve, solve_of, study
from benchmarks._results import run_cases, start, stop_if_failed
from metatrain_symmetry.groups import Irrep


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")


def plan(quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """All cases but the study, the most important first."""
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    count, repeats = (1, 3) if quick else (2, 5)
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
    cases = result["cases"]
    lines = [
        "| case | ours (s) | inference (s) | ours / inference |",
        "|---|---:|---:|---:|",
    ]
    lines += [sweep_row(name, case) for name, case in cases.items() if "median" in case]
    if "exponent" in cases.get("scaling", {}):
        lines.append(f"\ntime ~ structures^{cases['scaling']['exponent']:.3f}")
    lines += ["", "| solve | time (s) | memory above sums (MiB) | sums (MiB) |"]
    lines += ["|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {case['s']:.2f} | {case['MiB_above']:.0f} | {case['sums_MiB']:.1f} |"
        for name, case in cases.get("solve", {}).items()
        if "s" in case
    ]
    rows = cases.get("study", {}).get("rows", [])
    if rows:
        lines += ["", "| target | state | A | RMSE | change of A | change of RMSE |"]
        lines += ["|---|---|---:|---:|---:|---:|", *map(study_row, rows)]
    return "\n".join(lines)


def sweep_row(name: str, case: dict[str, Any]) -> str:
    """Row of a sweep."""
    median, (low, high) = case["median"], case["ours/inference, range"]
    return (
        f"| {name} | {median['ours']:.3f} | {median['inference']:.3f} | "
        f"{case['ours/inference']:.2f} ({low:.2f} to {high:.2f}) |"
    )


def study_row(row: dict[str, Any]) -> str:
    """Row of what a purification found."""
    irrep = Irrep(row["o3_lambda"], row["o3_sigma"])
    return (
        f"| {row['target']} {irrep} | {row['state']} | "
        f"{row['A_before']:.4g} | {row['rmse_before']:.4g} {row['unit']} | "
        f"{100 * row['A_change']:+.2f} % | {100 * row['rmse_change']:+.2f} % |"
    )


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
    result = start("benchmarks.purify", PACKAGES)
    run_cases(cases, result, args.output)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
