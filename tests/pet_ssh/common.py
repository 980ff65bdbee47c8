"""Small models and structures for the tests."""

import ase
import ase.build
import torch
from metatomic.torch import ModelOutput, System, systems_to_torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_symmetry.pet_ssh import PetSSH


SMALL = {
    "d_pet": 16,
    "d_head": 16,
    "d_node": 24,
    "d_feedforward": 32,
    "num_heads": 4,
    "num_attention_layers": 1,
}
TYPES = [1, 6, 7, 8, 12]


def hypers(name="pet_ssh", embedding=None, **changes):
    """Options of a small model."""
    options = get_default_hypers(name)["model"] | SMALL | changes
    if embedding is not None:
        options["geometry_embedding"] |= embedding
    return options


def energy_info(*, gradients=False):
    target = get_energy_target_info(
        "energy",
        {"quantity": "energy", "unit": "eV"},
        add_position_gradients=gradients,
        add_strain_gradients=gradients,
    )
    return DatasetInfo("Angstrom", TYPES, {"energy": target})


def spherical_info(o3_lambda, o3_sigma=1):
    irreps = [{"o3_lambda": o3_lambda, "o3_sigma": o3_sigma}]
    target = get_generic_target_info(
        "mtt::density",
        {
            "quantity": "",
            "unit": "",
            "type": {"spherical": {"irreps": irreps}},
            "num_subtargets": 1,
            "sample_kind": "atom",
        },
    )
    return DatasetInfo("Angstrom", TYPES, {"mtt::density": target})


def pet(info, seed=0, **changes):
    torch.manual_seed(seed)
    return PET(hypers("pet", **changes), info)


def pet_ssh(info, seed=0, embedding=None, **changes):
    torch.manual_seed(seed)
    return PetSSH(hypers(embedding=embedding, **changes), info)


def molecule():
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def crystal():
    atoms = ase.build.bulk("MgO", "rocksalt", a=4.21)
    atoms.set_cell(atoms.cell[:] @ [[1, 0.05, 0], [0, 1.02, 0], [0.03, 0, 1]], True)
    atoms.rattle(0.05, seed=1)
    return atoms


def systems(structures, model, dtype=torch.float64, *, gradients=False) -> list[System]:
    """Systems with the neighbour lists of a model."""
    converted = [
        system.to(dtype) for system in systems_to_torch(structures, dtype=torch.float64)
    ]
    for system in converted:
        system.positions.requires_grad_(gradients)
        get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))
    return converted


def predict(model, structures, target="energy", dtype=torch.float64, kind="system"):
    """Values of a target in eval mode, first block."""
    model = model.to(dtype).eval()
    outputs = {target: ModelOutput(sample_kind=kind)}
    return model(systems(structures, model, dtype), outputs)[target].block().values
