"""From a trained PET to a ``pet_ssh``: the same predictions, then more."""

import copy
import gzip
from pathlib import Path

import metatrain.pet
import pytest
import torch
from common import crystal, energy_info, molecule, pet, pet_ssh, predict
from metatrain.pet.modules.finetuning import apply_finetuning_strategy
from metatrain.utils.io import model_from_checkpoint

from metatrain_symmetry.pet_ssh import PetSSH, upgrade_pet_checkpoint


EMBEDDINGS = [
    {},
    {"l_max": 8},
    {"l_max": 4, "normalization": "LayerNorm"},
    {"l_max": 1, "normalization": "RMSNorm", "length_scale": 0.7},
    {"l_max": 6, "normalization": None},
    {"l_max": 3, "normalization": "distance"},
]


def checkpoint_of(model):
    return copy.deepcopy(model.get_checkpoint()) | {"epoch": 3, "best_epoch": 2}


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("featurizer_type", ["feedforward", "residual"])
@pytest.mark.parametrize("context", ["finetune", "export"])
def test_same_predictions_then_new_gradients(embedding, featurizer_type, context):
    model = pet(energy_info(), featurizer_type=featurizer_type)
    upgraded = upgrade_pet_checkpoint(checkpoint_of(model), embedding)
    new = model_from_checkpoint(upgraded, context=context)
    assert isinstance(new, PetSSH)
    structures = [molecule(), crystal()]
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        expected = predict(model, structures, dtype=dtype)
        actual = predict(new, structures, dtype=dtype)
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=0)

    predict(new, structures).sum().backward()
    for layer in new.backend.gnn_layers:
        silent = layer.edge_embedder
        parameters = [*silent.norm.parameters()] or [silent.linear.weight]
        assert parameters[0].grad.abs().max() > 0  # they will wake up
        assert (parameters[0] == 0).all()


def test_the_original_is_left_alone_and_the_result_is_reproducible():
    checkpoint = checkpoint_of(pet(energy_info()))
    before = copy.deepcopy(checkpoint)
    state = torch.get_rng_state()
    first = upgrade_pet_checkpoint(checkpoint, {"normalization": "LayerNorm"})
    second = upgrade_pet_checkpoint(checkpoint, {"normalization": "LayerNorm"})
    assert torch.equal(torch.get_rng_state(), state)
    assert checkpoint["architecture_name"] == "pet"
    assert list(checkpoint["model_state_dict"]) == list(before["model_state_dict"])
    for key, value in first["best_model_state_dict"].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second["best_model_state_dict"][key])


def test_l_max_null_and_up_again():
    model = pet(energy_info())
    null = upgrade_pet_checkpoint(checkpoint_of(model), {"l_max": None})
    same = model_from_checkpoint(copy.deepcopy(null), context="export")
    assert torch.equal(predict(same, [molecule()]), predict(model, [molecule()]))
    upgraded = upgrade_pet_checkpoint(null, {"l_max": 3})
    new = model_from_checkpoint(upgraded, context="export")
    torch.testing.assert_close(
        predict(new, [molecule()]), predict(model, [molecule()]), rtol=1e-14, atol=0
    )


def test_every_version_that_metatrain_knows():
    """The checkpoints in metatrain's own tests, made by every version of PET."""
    folder = Path(metatrain.pet.__file__).parent / "tests/checkpoints"
    paths = sorted(folder.glob("*.ckpt.gz"))
    assert len(paths) > 20
    for path in paths:
        with gzip.open(path) as file:
            checkpoint = torch.load(file, weights_only=False)
        # old trainer states are beyond metatrain itself; a fine-tuning needs none
        checkpoint.pop("trainer_ckpt_version")
        upgraded = upgrade_pet_checkpoint(checkpoint, {"l_max": 2})
        model = model_from_checkpoint(upgraded, context="finetune")
        assert isinstance(model, PetSSH), path.name


def test_after_lora():
    model = pet(energy_info())
    strategy = {"method": "lora", "config": {"rank": 2, "alpha": 4}}
    apply_finetuning_strategy(model, strategy | {"inherit_heads": {}})
    checkpoint = checkpoint_of(model)
    checkpoint["best_model_state_dict"]["finetune_config"] = model.finetune_config
    expected = predict(model, [molecule()])
    new = model_from_checkpoint(
        upgrade_pet_checkpoint(checkpoint, {"l_max": 2}), context="export"
    )
    torch.testing.assert_close(predict(new, [molecule()]), expected, rtol=1e-13, atol=0)


def test_what_cannot_be_upgraded():
    checkpoint = checkpoint_of(pet(energy_info()))
    with pytest.raises(ValueError, match="keep_distance: true"):
        upgrade_pet_checkpoint(checkpoint, {"keep_distance": False})
    with pytest.raises(ValueError, match="l_max must be a whole number"):
        upgrade_pet_checkpoint(checkpoint, {"l_max": -2})
    with pytest.raises(ValueError, match="'soap_bpnn' model"):
        upgrade_pet_checkpoint(checkpoint | {"architecture_name": "soap_bpnn"}, {})
    harmonic = checkpoint_of(pet_ssh(energy_info()))
    with pytest.raises(ValueError, match="with l_max null can be upgraded"):
        upgrade_pet_checkpoint(harmonic, {"l_max": 8})
