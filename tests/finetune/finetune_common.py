"""A tiny PET with targets of all kinds, as if trained, and its options and data."""

import copy

import ase.io
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from common import TYPES, crystal, hypers, molecule
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)

from metatrain_symmetry.pet_ssh import PetSSH


TINY = {"d_head": 4, "d_pet": 8, "d_node": 8, "d_feedforward": 8, "num_heads": 2}
TINY |= {"num_gnn_layers": 1, "cutoff": 3.0}
FORCE, DENSITY = "non_conservative_force", "mtt::density"
RANK_2 = {"spherical": {"irreps": [{"o3_lambda": 2, "o3_sigma": 1}]}}
GENERIC = {
    FORCE: {"unit": "eV/A", "type": {"cartesian": {"rank": 1}}},
    DENSITY: {"unit": "", "type": RANK_2},
}


def info(*, gradients=True):
    """Energy with forces and stress, a direct force, and λ = 2 on every atom."""
    targets = {
        "energy": get_energy_target_info(
            "energy",
            {"quantity": "energy", "unit": "eV"},
            add_position_gradients=gradients,
            add_strain_gradients=gradients,
        )
    }
    for name, one in GENERIC.items():
        options = {"quantity": "", "num_subtargets": 1, "sample_kind": "atom"} | one
        targets[name] = get_generic_target_info(name, options)
    return DatasetInfo("angstrom", TYPES, targets)


def tiny(kind=PET, dtype=torch.float64, seed=0, *, gradients=True):
    """Model with a composition, scales and an asymmetry of its own."""
    torch.manual_seed(seed)
    name = "pet" if kind is PET else "pet_ssh"
    model = kind(hypers(name, **TINY), info(gradients=gradients)).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    for part in (model.additive_models[0].model.weights, model.scaler.model.scales):
        for tensor in part.values():
            for block in tensor.blocks():
                shape = block.values.shape
                if len(block.components) == 0 or part is model.scaler.model.scales:
                    block.values[:] = 0.5 + torch.rand(shape, generator=generator)
    with torch.no_grad():
        for layer in model.backend.gnn_layers:
            if kind is PET:
                layer.edge_embedder.weight.mul_(2)
    return model


def checkpoint_of(model):
    """What ``mtt train`` would have written."""
    name = "pet_ssh" if isinstance(model, PetSSH) else "pet"
    loss = {"type": "mse", "weight": 1.0, "reduction": "mean", "gradients": {}}
    gradients = {name: dict(loss) for name in ("positions", "strain")}
    for gradient in gradients.values():
        del gradient["gradients"]
    losses = {
        "energy": loss | {"gradients": gradients},
        FORCE: dict(loss),
        DENSITY: dict(loss),
    }
    training = get_default_hypers(name)["training"] | {
        "batch_size": 4, "num_epochs": 4, "learning_rate": 3e-3, "loss": losses,
    }  # fmt: skip
    state = copy.deepcopy(model.get_checkpoint())
    return state | {
        "epoch": 3, "best_epoch": 3, "best_metric": 1.0, "train_hypers": training,
        "trainer_ckpt_version": 12, "optimizer_state_dict": None,
        "scheduler_state_dict": None, "best_optimizer_state_dict": None,
        "best_model_state_dict": copy.deepcopy(state["model_state_dict"]),
    }  # fmt: skip


def structures(count=8, make=crystal):
    """Crystals with labels of every target."""
    found = []
    for i in range(count):
        atoms = make()
        atoms.rattle(0.1, seed=i)
        random = np.random.default_rng(i)
        forces = random.normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=2.0 + random.normal(),
            forces=forces,
            stress=0.01 * random.normal(size=6),
        )
        atoms.arrays[FORCE] = forces
        atoms.arrays["density"] = random.normal(size=(len(atoms), 5))
        found.append(atoms)
    return found


def molecules(count=2):
    """Structures without labels."""
    found = []
    for i in range(count):
        atoms = molecule()
        atoms.rattle(0.1, seed=i)
        found.append(atoms)
    return found


def targets():
    """Section ``targets`` of the options."""
    direct = {
        name: {"key": name.removeprefix("mtt::"), "sample_kind": "atom", **one}
        for name, one in GENERIC.items()
    }
    return {
        "energy": {"key": "energy", "unit": "eV", "forces": True, "stress": True},
        **direct,
    }


QUICK = {
    "method": "full", "epochs": 2, "batch_size": 4, "teacher": 1.0, "weight": 16.0,
    "report_structures": 0,
}  # fmt: skip


def options(purify=QUICK, **sections):
    """Options file of a fine-tuning."""
    systems = {"read_from": "x.xyz", "length_unit": "angstrom"}
    return {
        "seed": 1,
        "training_set": {"systems": systems, "targets": targets()},
        "validation_set": 0.4,
        "test_set": 0.0,
        "purify": dict(purify),
    } | sections


def write_world(folder, model=None):
    """A checkpoint and its data."""
    torch.save(checkpoint_of(model or tiny()), folder / "model.ckpt")
    ase.io.write(folder / "x.xyz", structures())
    ase.io.write(folder / "free.xyz", molecules(4))


def without_figures(monkeypatch):
    """Write a report's tables alone."""
    monkeypatch.setattr("metatrain_symmetry.report.tradeoff.draw_way", lambda *_: None)
    monkeypatch.setattr("metatrain_symmetry.report.style.save", lambda *_: None)
