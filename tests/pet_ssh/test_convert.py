"""From a PET with harmonics of a branch of metatrain to a ``pet_ssh``."""

import ase
import pytest
import torch
from branches import NEW, OLD, branch_model
from common import crystal, energy_info, molecule, pet, pet_ssh, predict
from metatrain.utils.io import model_from_checkpoint

from metatrain_symmetry import convert_pet_checkpoint, upgrade_pet_checkpoint
from metatrain_symmetry.models.states import load
from metatrain_symmetry.pet_ssh import PetSSH
from metatrain_symmetry.pet_ssh.preflight import check, check_restart
from metatrain_symmetry.purify.checkpoint import read_pet


STRUCTURES = [molecule(), crystal(), ase.Atoms("CO", [[0, 0, 0], [0, 0, 4.2]])]


@pytest.fixture(params=[NEW, OLD])
def branch(request):
    """A checkpoint as such a branch writes it, and the predictions of its model."""
    model, checkpoint = branch_model(request.param)
    return checkpoint, predict(model, STRUCTURES)


@pytest.mark.parametrize("context", ["finetune", "export"])
def test_same_predictions(branch, context):
    checkpoint, expected = branch
    before = list(checkpoint["model_state_dict"])
    model = model_from_checkpoint(convert_pet_checkpoint(checkpoint), context=context)
    assert isinstance(model, PetSSH)
    assert list(checkpoint["model_state_dict"]) == before
    torch.testing.assert_close(
        predict(model.double(), STRUCTURES), expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("branch", [OLD], indirect=True)
def test_latest_branch_of_the_old_form(branch):
    """Its version 16 is not that of a release."""
    checkpoint, expected = branch
    model = model_from_checkpoint(
        convert_pet_checkpoint(checkpoint | {"model_ckpt_version": 16}), context="export"
    )
    torch.testing.assert_close(
        predict(model.double(), STRUCTURES), expected, rtol=1e-12, atol=1e-12
    )


def test_mtt_says_what_to_do_and_fine_tunes(branch, tmp_path):
    checkpoint, expected = branch
    torch.save(checkpoint, tmp_path / "branch.ckpt")
    with pytest.raises(ValueError, match="convert_pet_checkpoint"):
        load(tmp_path / "branch.ckpt")
    with pytest.raises(ValueError, match="convert_pet_checkpoint"):
        upgrade_pet_checkpoint(checkpoint, {"l_max": 3})
    training = {"finetune": {"read_from": str(tmp_path / "branch.ckpt")}}
    options = check({"architecture": {"name": "pet_ssh", "training": training}}, None,
                    tmp_path / "run")  # fmt: skip
    path = options["architecture"]["training"]["finetune"]["read_from"]
    model = load(tmp_path / "run" / "upgraded" / "branch.ckpt").model
    assert path == str(tmp_path / "run" / "upgraded" / "branch.ckpt")
    torch.testing.assert_close(
        predict(model.double(), STRUCTURES), expected, rtol=1e-12, atol=1e-12
    )
    with pytest.raises(ValueError, match="holds no state of a trainer"):
        check_restart(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout_type": {"atom_type_gating": True, "hypers": {}}}, "option readout_type"),
        ({"readout_type": {"energy": {"atom_type_gating": False}}}, "option readout_type"),
        ({"num_experts": 4}, "option num_experts: 4"),
        ({"some_new_option": True}, "option some_new_option: True"),
        ({"d_head": {"node": 8, "edge": 8}}, "option d_head"),
        ({"num_gnn_layers": 5}, r"gnn_layers\.2\.edge_embedder\.weight' of shape"),
    ],
)
def test_what_releases_do_not_have(branch, changes, message):
    checkpoint, _ = branch
    checkpoint["model_data"]["model_hypers"] |= changes
    with pytest.raises(ValueError, match=message):
        convert_pet_checkpoint(checkpoint)


def test_options_that_change_nothing(branch):
    checkpoint, expected = branch
    neutral = {"readout_type": {"atom_type_gating": False}, "moe_embedding_dim": 16}
    checkpoint["model_data"]["model_hypers"] |= neutral
    model = model_from_checkpoint(convert_pet_checkpoint(checkpoint), context="export")
    torch.testing.assert_close(
        predict(model.double(), STRUCTURES), expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", ["edge_embedder.bias", "rmsnorm.weight"])
def test_weights_that_are_not_there(branch, name):
    checkpoint, _ = branch
    for key in list(checkpoint["model_state_dict"]):
        if key.endswith(f"gnn_layers.1.{name}"):
            del checkpoint["model_state_dict"][key]
    with pytest.raises(ValueError, match=f"gnn_layers.1.{name}' of shape"):
        convert_pet_checkpoint(checkpoint)


@pytest.mark.parametrize("branch", [NEW], indirect=True)
def test_after_lora(branch):
    checkpoint, _ = branch
    layer = "backend.gnn_layers.0.edge_embedder"
    checkpoint["model_state_dict"][f"{layer}.lora_A.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="has been replaced"):
        convert_pet_checkpoint(checkpoint)


@pytest.mark.parametrize("data", [None, [1], {"model_hypers": None}, {}])
def test_what_is_half_a_checkpoint(data, tmp_path):
    checkpoint = {"architecture_name": "pet", "model_data": data}
    with pytest.raises(ValueError, match="holds no 'model_data"):
        convert_pet_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "half.ckpt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load(tmp_path / "half.ckpt")


def test_what_cannot_be_converted(branch, tmp_path):
    checkpoint, _ = branch
    for version in (99, None):
        with pytest.raises(ValueError, match=f"version {version} of this checkpoint"):
            convert_pet_checkpoint(checkpoint | {"model_ckpt_version": version})
    for model in (pet(energy_info()), pet_ssh(energy_info())):
        with pytest.raises(ValueError, match="upgrade_pet_checkpoint gives some"):
            convert_pet_checkpoint(model.get_checkpoint())
    torch.save(checkpoint, tmp_path / "branch.ckpt")
    with pytest.raises(ValueError, match="convert_pet_checkpoint"):
        read_pet(tmp_path / "branch.ckpt")
