"""Averaged exports on a GPU: agreement with a CPU, memory and time of forces and stress.

One evaluation of energy, forces and the derivative by the strain: of the bare model, of its
average over I (60 rotations) with copies of up to 64 and up to 4096 atoms at once, and of
metatomic's ``SymmetrizedModel.wrap`` with 140 elements, one at once. ``added_mib`` is what
the evaluation allocated at its peak. ``seconds`` are medians of interleaved repeats after
two evaluations for TorchScript, of all but ``wrap``; ``bare_60_s`` is 60 times the bare
model. ``deviation`` is the largest difference of a force from the CPU's, in eV/Å; the model
is in float32.

    python -m benchmarks.symmetrise_gpu MODEL.pt --output RESULTS.json
"""

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from metatomic.torch import AtomisticModel, load_atomistic_model
from metatomic.torch.o3 import SymmetrizedModel
from vesin.metatomic import compute_requested_neighbors

from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._symmetrise_case import crystal, system_and_inputs
from benchmarks._timing import interleaved
from metatrain_symmetry import symmetrize_model


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")

SIZES = (1, 3, 6)
"""Cells along each edge: 2, 54 and 432 atoms."""


def forces(model: AtomisticModel, atoms: ase.Atoms, device: str) -> torch.Tensor:
    """One evaluation, neighbour lists included."""
    system, inputs, evaluation = system_and_inputs(model, atoms, device)
    compute_requested_neighbors(system, "Angstrom", model)
    energy = model([system], evaluation, check_consistency=False)["energy"].block().values
    found: torch.Tensor = -torch.autograd.grad(energy.sum(), inputs)[0]
    return found


def added(model: AtomisticModel, atoms: ase.Atoms) -> float:
    """MiB that one evaluation allocates at its peak."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.jit.optimized_execution(False):
        forces(model, atoms, "cuda")
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measure(folder: Path, cells: int, repeats: int, device: str) -> dict[str, Any]:
    """All models on one crystal."""
    atoms = crystal(cells)
    paths = {path.stem: path for path in sorted(folder.glob("*.pt"))}
    models = {name: load_atomistic_model(path).to(device) for name, path in paths.items()}
    actions = {
        name: partial(forces, model, atoms, device)
        for name, model in models.items()
        if not name.startswith("wrap")
    }
    for action in actions.values():
        for _ in range(2):
            action()
    seconds = interleaved(actions, repeats)
    found: dict[str, Any] = {"n_atoms": len(atoms)}
    for name, model in models.items():
        found[name] = {"added_mib": added(model, atoms) if device == "cuda" else None}
        if name in seconds:
            found[name]["seconds"] = float(np.median(seconds[name]))
    found["bare_60_s"] = 60 * found["bare"]["seconds"]
    reference = forces(load_atomistic_model(paths["I-64"]), atoms, "cpu")
    deviation = (actions["I-64"]().cpu() - reference).abs().max()
    found["deviation"] = float(deviation)
    return found


def write_models(model: Path, folder: Path) -> None:
    """The bare model and its averages."""
    for size in (64, 4096):
        symmetrize_model(model, folder / f"I-{size}.pt", "I", batch_atoms=size)
    load_atomistic_model(model).save(folder / "bare.pt")
    wrapped = SymmetrizedModel.wrap(
        load_atomistic_model(model),
        max_angular_momentum_target=2,
        max_angular_momentum_grid=4,
        batch_size=1,
    )
    wrapped.save(folder / "wrap-140.pt")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="exported model with an energy")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--repeats", type=int, default=5, help="of each time (default: 5)")
    parser.add_argument("--device", default="cuda", help="cpu for a test")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result = start("benchmarks.symmetrise_gpu", PACKAGES)
    if torch.cuda.is_available():
        result["hardware"]["gpu"] = torch.cuda.get_device_name()
    sizes = SIZES if arguments.device == "cuda" else SIZES[:1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(arguments.model, folder)
        cases = {
            f"{2 * cells**3} atoms": partial(
                measure, folder, cells, arguments.repeats, arguments.device
            )
            for cells in sizes
        }
        run_cases(cases, result, arguments.output)
    stop_if_failed(result, arguments.output)


if __name__ == "__main__":
    main()
