"""What ``pet_ssh`` relies on inside PET, by name: an upgrade has to fail loudly here."""

import inspect

import torch
from common import energy_info, molecule, pet, systems
from metatomic.torch import ModelOutput
from metatrain.pet import PET, Trainer
from metatrain.utils.architectures import get_default_hypers


def test_edge_embedder_takes_x_y_z_r():
    model = pet(energy_info()).double().eval()
    seen = []
    for layer in model.backend.gnn_layers:
        embedder = layer.edge_embedder
        assert type(embedder) is torch.nn.Linear, (
            "PET's edge_embedder is no Linear any more: GeometryEmbedding and "
            "upgrade._with_harmonics replace it"
        )
        assert (embedder.in_features, embedder.out_features) == (4, model.d_pet)
        embedder.register_forward_hook(lambda _, args, __: seen.append(args))
    model(systems([molecule()], model), {"energy": ModelOutput(sample_kind="system")})
    for ((edges,),) in zip(seen, strict=True):
        assert edges.ndim == 3, (
            "edge_embedder is called with another shape: see GeometryEmbedding.forward"
        )
        lengths = edges[..., :3].norm(dim=-1)
        assert torch.allclose(edges[..., 3], lengths, atol=1e-6), (
            "edge_embedder is called with other columns than x, y, z, r: see "
            "GeometryEmbedding.forward"
        )
    assert len(seen) == model.num_gnn_layers


def test_checkpoint_of_pet():
    checkpoint = pet(energy_info()).get_checkpoint()
    assert checkpoint["architecture_name"] == "pet", "see PetSSH.get_checkpoint"
    assert set(checkpoint["model_data"]) == {"model_hypers", "dataset_info"}, (
        "PET's checkpoint changed: see upgrade.upgrade_pet_checkpoint"
    )
    for key in ("model_state_dict", "best_model_state_dict"):
        names = list(checkpoint[key])
        assert "backend.gnn_layers.0.edge_embedder.bias" in names, (
            "the edge embedders have other names: see upgrade._with_harmonics"
        )


def test_versions_of_pet():
    versions = (PET.__checkpoint_version__, Trainer.__checkpoint_version__)
    assert versions == (16, 15), (
        "PET's checkpoint format changed: add reference checkpoints of ours in "
        "tests/pet_ssh/*/checkpoints and check upgrade.py against the new format"
    )
    assert max(versions) < 100, "checkpoints.py keeps PET's version in two digits"


def test_signatures():
    for function, parameters, user in [
        (PET.restart, ["self", "dataset_info", "model_hypers"], "PetSSH.restart"),
        (PET.load_checkpoint, ["checkpoint", "context"], "PetSSH.load_checkpoint"),
        (PET.upgrade_checkpoint, ["checkpoint"], "PetSSH.upgrade_checkpoint"),
        (Trainer.upgrade_checkpoint, ["checkpoint"], "Trainer.upgrade_checkpoint"),
        (Trainer.save_checkpoint, ["self", "model", "path"], "Trainer.save_checkpoint"),
        (
            Trainer.train,
            [
                "self",
                "model",
                "dtype",
                "devices",
                "train_datasets",
                "val_datasets",
                "checkpoint_dir",
            ],
            "Trainer.train",
        ),
    ]:
        actual = list(inspect.signature(function).parameters)
        assert actual == parameters, f"{function.__qualname__} changed: see our {user}"


def test_our_hyperparameters_are_those_of_pet_and_three_more():
    ours, theirs = get_default_hypers("pet_ssh"), get_default_hypers("pet")
    assert set(ours["model"]) - set(theirs["model"]) == {"geometry_embedding"}
    assert ours["training"] == {
        **theirs["training"], "symmetry": None, "symmetry_penalty": None,
    }  # fmt: skip
