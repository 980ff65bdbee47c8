"""How a report grows: with the structures of a data set, atoms, rotations and probes.

Memory and time of a report on eight structures of data sets of 10² to 10⁵, in a process
each; of a report that several processes share; times of reports, of single structures and
of the bare model (the floor), their exponents, and a cost model that is fitted to all of
them and extrapolated to many GPUs. CPU times, since other work shares the machine; wall
times on a GPU and of several processes.

    python -m benchmarks.scale --parts formats --output benchmarks/results/scale.json
    python -m benchmarks.scale --parts times --output benchmarks/results/scale.json
    python -m benchmarks.scale --parts processes --output benchmarks/results/scale.json
    python -m benchmarks.scale --device cuda --parts times \
        --axes atoms lambda_max probes --output benchmarks/results/scale_gpu.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks._results import run_cases, start, stop_if_failed, write_json
from benchmarks._scale_fit import Gpu
from benchmarks._scale_sets import WRITERS, write_set
from benchmarks._scale_show import figure, fitted, tables
from benchmarks._scale_times import AXES, QUICK, Bench
from benchmarks._timing import own_process


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
SIZES = (100, 1_000, 10_000, 100_000)
MEASURED = 8
SHARED = 64
"""Structures of a report that processes share."""

LAYERS = ["--probes", 6, "--lambda-max", 2]
"""What is resolved of them."""

PARTS = ("formats", "times", "processes")
GPU_JSON = Path(__file__).parent / "results" / "gpu.json"
MEASURED_ON_GPU = {"small": 81, "large": 99 * 37}
"""Structures of ``gpu.py``, with their places, see ``_scale_fit.CostModel``."""


def of_format(kind: str, count: int, device: str) -> dict[str, Any]:
    """A report on eight structures of a data set.

    :param kind: ``xyz``, ``zip`` or ``memmap``
    :param count: structures of the data set
    :param device: of torch
    :return: time and memory of the report, in a process of its own
    """
    found, size = _report(kind, count, 1, ["--structures", MEASURED, "--device", device])
    return {"format": kind, "count": count, "file_MiB": size / 2**20, **found}


def shared(processes: int, structures: int, device: str) -> dict[str, Any]:
    """A report that processes started by torchrun share.

    :param processes: how many
    :param structures: that are measured
    :param device: of torch
    :return: wall time of the report in the first process, without its start
    """
    arguments = ["--structures", structures, "--device", device, *LAYERS]
    found, _ = _report("xyz", structures, processes, arguments)
    if found["processes"] != processes:
        raise RuntimeError(f"{found['processes']} processes shared the report")
    return {"structures": structures, **found}


def _report(
    kind: str, count: int, processes: int, arguments: list[Any]
) -> tuple[dict[str, Any], int]:
    """What a report on a data set took, and the size of the set in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        options = write_set(kind, count, folder)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        module, arguments = "benchmarks._scale_report", [options, *arguments]
        if processes > 1:
            several = [f"--nproc-per-node={processes}", "--standalone"]
            arguments = [*several, "-m", module, *arguments]
            module = "torch.distributed.run"
        found = own_process(module, *arguments)
    finally:
        shutil.rmtree(folder)
    if "failed" in found:
        raise RuntimeError(found["error"].replace(str(folder), "FOLDER"))
    return found, size


def measured_gpu(
    evaluation: Sequence[float | None] = (None, None),
    reduction: Sequence[float | None] = (None, None),
    path: Path = GPU_JSON,
) -> list[Gpu]:
    """What one GPU took for 9 and for 99 atoms, from the results of ``gpu.py``.

    :param evaluation: seconds of one evaluation, in place of what was measured
    :param reduction: likewise, of one probe of a structure at λmax 8
    :param path: JSON file
    """
    found = []
    known = json.loads(path.read_text())["cases"]
    several = zip(MEASURED_ON_GPU.items(), evaluation, reduction, strict=True)
    for (name, places), first, second in several:
        case = known[f"{name}, float32, λmax 8, 25 probes"]
        floor, ours = case["median"]["floor"], case["median"]["ours"]
        found.append(
            Gpu(
                floor / case["n_rotations"] if first is None else first,
                (ours - floor) / 25 if second is None else second,
                case["n_atoms"],
                case["n_edges"],
                places,
            )
        )
    return found


def cases(args: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """All that is measured, by name."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    if "formats" in args.parts:
        for kind in WRITERS:
            for count in args.sizes:
                found[f"{kind}, {count}"] = partial(of_format, kind, count, args.device)
    if "processes" in args.parts:
        count = 4 if args.quick else SHARED
        for n in args.processes:
            found[f"{n} processes"] = partial(shared, n, count, args.device)
    if "times" in args.parts:
        bench = Bench(args.device)
        for axis, points in (QUICK if args.quick else AXES).items():
            if axis not in args.axes:
                continue
            found[axis] = lambda a=axis, p=points: {"points": bench.axis(a, p)}
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("scale.json"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--device", default="cpu", help="of torch, such as cuda")
    parser.add_argument("--parts", nargs="+", default=list(PARTS))
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--sizes", nargs="+", type=int, help="structures of data sets")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    for name, what in (("evaluation", "one evaluation"), ("reduction", "one probe")):
        parser.add_argument(
            f"--gpu-{name}", nargs=2, type=float, default=(None, None),
            help=f"seconds of {what} for 9 and 99 atoms; from gpu.json if not given",
        )  # fmt: skip
    parser.add_argument("--gpus", type=int, default=8)
    args = parser.parse_args()
    args.sizes = args.sizes or (SIZES[:2] if args.quick else SIZES)
    if not set(args.parts) <= set(PARTS):
        parser.error(f"--parts {args.parts}: give any of {', '.join(PARTS)}")
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(
            "there is no GPU on this computer: it would measure the same sizes there, with "
            "the time until the GPU has finished in place of CPU time"
        )
    return args


def main() -> None:
    """Run the benchmark."""
    args = arguments()
    torch.set_num_threads(1)
    gpus = measured_gpu(args.gpu_evaluation, args.gpu_reduction)
    result = start("benchmarks.scale", PACKAGES)
    result["clock"] = "CPU time" if args.device == "cpu" else "wall time"
    result["device"] = args.device
    if args.device != "cpu":
        result["gpu"] = torch.cuda.get_device_name()
    wanted = cases(args)
    if args.output.exists():  # the other part
        known = json.loads(args.output.read_text())["cases"]
        result["cases"] = {n: c for n, c in known.items() if n not in wanted}
    run_cases(wanted, result, args.output)
    result |= fitted(result["cases"], gpus, args.gpus)
    write_json(args.output, result)
    print(tables(result))
    figure(result, args.output.with_suffix(".png"))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
