"""Averaged exports: peak memory and time of energy, forces and stress.

Memory: each number is the peak of a process of its own that evaluates one crystal once.
The bare model, ours over T, I and Ii (12, 60 and 120 elements) and metatomic's
``SymmetrizedModel.wrap``, whose sets have 12, 48 and 140 elements at the degrees used here.
``added`` is what the evaluation added to the process, ``ratio`` is this over that of the
bare model, ``ratio_whole`` is that of whole processes.

Time: processor time of one averaged evaluation over I, divided by that of 60 evaluations of
the bare model on rotated structures with neighbour lists that are there already; medians
over interleaved repeats, after TorchScript has optimised both. ``deviation`` is the largest
difference of a force from the mean of those 60, rotated back, in eV/Å.

    python -m benchmarks.symmetrise_export MODEL.pt --output RESULTS.json
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ase
import ase.build
import numpy as np
import torch
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    System,
    load_atomistic_model,
    register_autograd_neighbors,
)
from metatomic.torch.o3 import SymmetrizedModel
from vesin.metatomic import compute_requested_neighbors

from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._symmetrise_case import crystal
from benchmarks._timing import in_turns, own_process
from metatrain_symmetry import symmetrize_model
from metatrain_symmetry.groups import named_group
from metatrain_symmetry.models.structures import rotate


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")

DEGREES = {12: 0, 48: 3, 140: 4}
"""Degree of metatomic's set of this many elements."""


def memory(folder: Path, repeats: int) -> dict[str, Any]:
    """Peak memory of each kind of model on one crystal."""
    found = {
        path.stem: own_process("benchmarks._symmetrise_case", path, repeats)
        for path in sorted(folder.glob("*.pt"))
    }
    bare = found["bare"]
    for numbers in found.values():
        if "failed" not in numbers:
            numbers["ratio"] = numbers["added"] / bare["added"]
            numbers["ratio_whole"] = numbers["whole"] / bare["whole"]
    return found


def systems_of(model: AtomisticModel, atoms: ase.Atoms) -> list[System]:
    """The structure, and its 60 rotated copies, with neighbour lists."""
    dtype = getattr(torch, model.capabilities().dtype)
    system = System(
        torch.tensor(atoms.numbers, dtype=torch.int32),
        torch.tensor(atoms.positions, dtype=dtype),
        torch.tensor(atoms.cell[:], dtype=dtype),
        torch.tensor(atoms.pbc),
    )
    compute_requested_neighbors(system, "Angstrom", model)
    return [system, *rotate(system, named_group("I").elements)]


def forces(model: AtomisticModel, system: System) -> torch.Tensor:
    """Forces and, on the way, the derivative by the strain."""
    positions = system.positions.detach().clone().requires_grad_()
    strain = torch.eye(3, dtype=positions.dtype, requires_grad=True)
    copy = System(system.types, positions @ strain, system.cell @ strain, system.pbc)
    for options in system.known_neighbor_lists():
        neighbors = system.get_neighbor_list(options).copy()
        register_autograd_neighbors(copy, neighbors, False)
        copy.add_neighbor_list(options, neighbors)
    outputs = {"energy": ModelOutput(unit="eV", sample_kind="system")}
    evaluation = ModelEvaluationOptions("Angstrom", outputs)
    energy = model([copy], evaluation, check_consistency=False)["energy"].block().values
    return -torch.autograd.grad(energy.sum(), (positions, strain))[0]


def times(folder: Path, atoms: ase.Atoms, repeats: int) -> dict[str, Any]:
    """Time of one averaged evaluation in those of 60 bare ones."""
    bare = load_atomistic_model(folder / "bare.pt")
    averaged = load_atomistic_model(folder / "I.pt")
    system, *copies = systems_of(bare, atoms)
    matrices = named_group("I").elements.to(system.positions)
    actions: dict[str, Callable[[], list[torch.Tensor]]] = {
        "bare": lambda: [forces(bare, copy) for copy in copies],
        "averaged": lambda: [forces(averaged, system)],
    }
    for _ in range(3):  # TorchScript optimises what it has seen twice
        forces(bare, copies[0])
        actions["averaged"]()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    last: dict[str, list[torch.Tensor]] = {}
    for name in in_turns(actions, repeats):
        begin = time.process_time()
        last[name] = actions[name]()
        seconds[name].append(time.process_time() - begin)
    median = {f"{name}_s": float(np.median(v)) for name, v in seconds.items()}
    turned = [f @ m for f, m in zip(last["bare"], matrices, strict=True)]
    mean = torch.stack(turned).double().mean(0)
    ratios = np.array(seconds["averaged"]) / np.array(seconds["bare"])
    return {
        **median,
        "n_atoms": len(atoms),
        "ratio": float(np.median(ratios)),
        "ratio_largest": float(ratios.max()),
        "deviation": float((last["averaged"][0] - mean).abs().max()),
    }


def write_models(model: Path, folder: Path) -> None:
    """The bare model and all averages of it."""
    for group in ("T", "I", "Ii"):
        symmetrize_model(model, folder / f"{group}.pt", group)
    load_atomistic_model(model).save(folder / "bare.pt")
    for n_elements, degree in DEGREES.items():
        wrapped = SymmetrizedModel.wrap(
            load_atomistic_model(model),
            max_angular_momentum_target=2,
            max_angular_momentum_grid=degree,
            batch_size=1,
        )
        wrapped.save(folder / f"wrap-{n_elements}.pt")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="exported model with an energy")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--repeats", type=int, default=5, help="of each time (default: 5)")
    parser.add_argument("--cells", type=int, default=4, help="per edge of the crystal")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result = start("benchmarks.symmetrise_export", PACKAGES)
    small = crystal(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(arguments.model, folder)
        timed = {"primitive cell": small, "crystal": crystal(3)}
        cases: dict[str, Callable[[], dict[str, Any]]] = {
            f"time, {label}": partial(times, folder, atoms, arguments.repeats)
            for label, atoms in timed.items()
        }
        cases["memory"] = partial(memory, folder, arguments.cells)
        run_cases(cases, result, arguments.output)
    stop_if_failed(result, arguments.output)


if __name__ == "__main__":
    main()
