"""Runs an exported model where neither we nor sphericart were ever imported.

    python clean_process.py MODEL.pt STRUCTURE.xyz OUTPUT.npz

Energy, forces, stress and a Hessian-vector product, all through autograd, in float64.
"""

import sys

import ase.io
import numpy as np
import torch
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    System,
    load_atomistic_model,
    systems_to_torch,
)
from vesin.metatomic import compute_requested_neighbors


torch.set_num_threads(1)
model_path, structure, output = sys.argv[1:]
model = load_atomistic_model(model_path)
options = ModelEvaluationOptions(
    length_unit="Angstrom", outputs={"energy": ModelOutput(sample_kind="system")}
)
start = systems_to_torch(ase.io.read(structure), dtype=torch.float64)
positions = start.positions.clone().requires_grad_()
strain = torch.eye(3, dtype=torch.float64, requires_grad=True)
system = System(start.types, positions @ strain, start.cell @ strain, start.pbc)
compute_requested_neighbors(system, "Angstrom", model)
energy = model([system], options, check_consistency=True)["energy"].block().values.sum()
gradient, strain_gradient = torch.autograd.grad(
    energy, (positions, strain), create_graph=True
)
generator = torch.Generator().manual_seed(0)
direction = torch.randn(positions.shape, generator=generator, dtype=torch.float64)
(hvp,) = torch.autograd.grad((gradient * direction).sum(), positions)

imported = {name.split(".")[0] for name in sys.modules}
assert not imported & {"sphericart", "metatrain_symmetry", "metatrain"}
assert not any("sphericart" in library for library in torch.ops.loaded_libraries)
np.savez(
    output,
    energy=energy.detach(),
    gradient=gradient.detach(),
    strain_gradient=strain_gradient.detach(),
    direction=direction,
    hvp=hvp,
)
