"""One report in a process of its own: time, and the peak of its memory.

python -m benchmarks._scale_report OPTIONS.yaml --structures 8 --device cpu
"""

import argparse
import json
import os
import time

import torch

from benchmarks._orbit_parts import PROBES, build
from benchmarks._results import peak
from metatrain_symmetry import symmetry_report


def main() -> None:
    """Print what the report took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("options")
    parser.add_argument("--structures", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--probes", type=int, default=0)
    parser.add_argument("--lambda-max", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = build(torch.float32, args.device)
    before, started, used = peak(), time.perf_counter(), time.process_time()
    report = symmetry_report(
        model, args.options, max_structures=args.structures, probes=PROBES[: args.probes],
        lambda_max=args.lambda_max, degree=2 * args.lambda_max, estimator="grid",
        budget=None, device=args.device, progress=False,
        distributed="RANK" in os.environ,
    )  # fmt: skip
    found = {
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - used,
        "before_MiB": before,
        "peak_MiB": peak(),
        "measured": report.summary["n_measured"],
        "processes": report.summary.get("processes", 1),
        "evaluations": report.summary["evaluations"],
        "A": float(report.equivariance.A.mean()),
        "error": float(report.equivariance.error.mean()),
    }
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(found))


if __name__ == "__main__":
    main()
