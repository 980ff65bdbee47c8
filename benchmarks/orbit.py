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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks._orbit_cases import compare, memory, memory_of, scaling, transforms
from benchmarks._orbit_heatmap import hybrid
from benchmarks._orbit_parts import PROBES, cluster, ethanol
from benchmarks._results import run_cases, start, stop_if_failed


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")


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
    cases["transforms"] = lambda: transforms(high, PROBES[:25], repeats + 2)
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
    for name in ("memory", "transforms", "hybrid", "scaling"):
        for key, value in cases.get(name, {}).items():
            shown = value
            if isinstance(value, dict):
                shown = value.get("exponent", value.get("MiB_above_model", "failed"))
            if key == "seconds":
                continue
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
    result = start("benchmarks.orbit", PACKAGES)
    every = plan(args.quick, args.exact_structures)
    cases = {name: case for name, case in every.items() if args.only in name}
    run_cases(cases, result, args.output, time.monotonic() + 60 * args.minutes)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
