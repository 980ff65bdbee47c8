"""One evaluation with forces and stress, in a process of its own, for its peak memory.

    python -m benchmarks._symmetrise_case MODEL.pt REPEATS

The last line is JSON: MiB that the evaluation added at its peak to what the process held
before, and in all. Calls are not optimised by TorchScript, whose compiler takes memory too.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import ase
import ase.build
import torch
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    System,
    load_atomistic_model,
)
from vesin.metatomic import compute_requested_neighbors

from benchmarks._results import peak


def crystal(repeats: int) -> ase.Atoms:
    """Rattled MgO with a triclinic cell, two atoms for each of ``repeats³`` cells."""
    atoms = ase.build.bulk("MgO", "rocksalt", a=4.21)
    atoms = atoms.repeat((repeats, repeats, repeats))
    atoms.set_cell(atoms.cell[:] @ [[1, 0.03, 0], [0, 1.02, 0], [0.02, 0, 1]], True)
    atoms.rattle(0.05, seed=1)
    return atoms


def system_and_inputs(
    model: AtomisticModel, atoms: ase.Atoms, device: str = "cpu"
) -> tuple[System, list[torch.Tensor], ModelEvaluationOptions]:
    """What a model is evaluated with, without neighbour lists.

    :param model: exported
    :param atoms: a crystal
    :param device: of the tensors
    :return: the structure; positions and strain, which require gradients; the options
    """
    dtype = getattr(torch, model.capabilities().dtype)
    kind: dict[str, Any] = {"dtype": dtype, "device": device}
    positions = torch.tensor(atoms.positions, **kind, requires_grad=True)
    strain = torch.eye(3, **kind, requires_grad=True)
    system = System(
        torch.tensor(atoms.numbers, dtype=torch.int32, device=device),
        positions @ strain,
        torch.tensor(atoms.cell[:], **kind) @ strain,
        torch.tensor(atoms.pbc, device=device),
    )
    outputs = {"energy": ModelOutput(unit="eV", sample_kind="system")}
    return system, [positions, strain], ModelEvaluationOptions("Angstrom", outputs)


def evaluate(model: AtomisticModel, atoms: ase.Atoms) -> dict[str, torch.Tensor]:
    """Energy, forces and the derivative by the strain."""
    system, inputs, options = system_and_inputs(model, atoms)
    compute_requested_neighbors(system, "Angstrom", model)
    energy = model([system], options, check_consistency=False)["energy"].block().values
    gradient, virial = torch.autograd.grad(energy.sum(), inputs)
    return {"energy": energy.detach(), "forces": -gradient, "virial": virial}


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = load_atomistic_model(Path(sys.argv[1]))
    atoms = crystal(int(sys.argv[2]))
    with torch.jit.optimized_execution(False):
        evaluate(model, ase.build.bulk("MgO", "rocksalt", a=4.21))
        before = peak()
        evaluate(model, atoms)
    print(json.dumps({"added": peak() - before, "whole": peak(), "n_atoms": len(atoms)}))


if __name__ == "__main__":
    main()
