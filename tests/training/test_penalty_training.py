"""Whole trainings with the penalty, through PET's own trainer."""

import copy
import random
from pathlib import Path

import metatrain.pet.trainer as pet
import numpy as np
import pytest
import torch
from common import hypers
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from monitor_common import command, few_molecules, inside, options
from training_common import mtt

from metatrain_symmetry.training.trainer import SymmetryTrainer


NAMES = ("O3Augmenter", "LossAggregator", "build_train_dataloaders")
ORIGINAL = [getattr(pet, name) for name in NAMES]
PENALTY = {"copies": 2, "weight": 4.0, "start": 0.5, "ramp": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight molecules as a data set, and what it holds."""
    return few_molecules(tmp_path_factory.mktemp("data"))


def make_trainer(data, trainer=SymmetryTrainer, **changes):
    return trainer(
        get_default_hypers("pet")["training"]
        | {"num_epochs": 2, "batch_size": 4, "num_workers": 0, "checkpoint_interval": 1}
        | {"loss": copy.deepcopy(data[2])}
        | changes
    )


def train(data, folder, trainer):
    """Train a small PET; return its weights."""
    dataset, info, _ = data
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    model = PET(hypers("pet", num_gnn_layers=1), info)
    subset = torch.utils.data.Subset(dataset, range(2))
    devices = [torch.device("cpu")]
    folder.mkdir()
    trainer.train(model, torch.float32, devices, [dataset], [subset], str(folder))
    assert [getattr(pet, name) for name in NAMES] == ORIGINAL
    return model.state_dict()


def equal(weights, others):
    # this one is partly uninitialised
    names = [name for name in others if "type_to_index" not in name]
    return all(torch.equal(weights[name], others[name]) for name in names)


def of_epoch(folder, epoch):
    path = folder / f"model_{epoch}.ckpt"
    found = torch.load(path, weights_only=False)["model_state_dict"]
    return {name: value for name, value in found.items() if torch.is_tensor(value)}


def test_no_penalty_is_metatrain_bit_by_bit(data, tmp_path):
    own = train(data, tmp_path / "own", make_trainer(data, pet.Trainer))
    none = train(data, tmp_path / "none", make_trainer(data, symmetry_penalty=None))
    assert equal(none, own)
    penalised = make_trainer(data, symmetry_penalty=PENALTY)
    weights = train(data, tmp_path / "penalised", penalised)
    assert not equal(weights, own)
    # until the penalty begins it is metatrain's training
    assert equal(of_epoch(tmp_path / "penalised", 0), of_epoch(tmp_path / "own", 0))
    written = [
        torch.load(tmp_path / run / "model_1.ckpt", weights_only=False)["train_hypers"]
        for run in ("own", "none", "penalised")
    ]
    assert "symmetry_penalty" not in written[1]
    assert [key for key in written[2] if key not in written[0]] == ["symmetry_penalty"]


@pytest.mark.parametrize(
    ("penalty", "chosen"), [(None, None), (PENALTY, 1), (PENALTY | {"start": 0.0}, 0)]
)
def test_the_best_model_is_a_penalised_one(data, tmp_path, penalty, chosen):
    trainer = make_trainer(data, symmetry_penalty=penalty)
    trainer.best_metric = -1.0  # no epoch is better
    train(data, tmp_path / "run", trainer)
    if chosen is None:
        assert (trainer.best_metric, trainer.best_epoch) == (-1.0, None)
    else:
        assert trainer.best_metric > 0
        assert trainer.best_epoch >= chosen


def test_the_best_model_survives_a_restart(data, tmp_path):
    """Going on after the penalty has begun."""
    trainer = make_trainer(data, symmetry_penalty=PENALTY, num_epochs=4)
    trainer.epoch, trainer.best_epoch, trainer.best_metric = 2, 2, -1.0
    train(data, tmp_path / "run", trainer)
    assert (trainer.best_metric, trainer.best_epoch) == (-1.0, 2)


def test_names_are_restored_after_an_error(data, tmp_path):
    trainer = make_trainer(data, symmetry_penalty=PENALTY, batch_size=9)
    with pytest.raises(ValueError, match="fewer samples"):
        train(data, tmp_path / "run", trainer)
    assert [getattr(pet, name) for name in NAMES] == ORIGINAL


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        ({"copies": 8}, "copies is 8, but a batch has 4 structures only: raise"),
        ({"copies": 1}, "copies' should be greater than or equal to 2"),
        ({"weight": -1}, "weight' should be greater than or equal to 0"),
        ({"weight": float("nan")}, "weight' should be a finite number"),
        ({"wait": 1}, "no option 'wait': did you mean weight?"),
    ],
)
def test_bad_options_stop_before_the_training(data, penalty, message):
    with pytest.raises(ValueError, match=r"training\.symmetry_penalty") as error:
        make_trainer(data, symmetry_penalty=penalty)
    assert message in str(error.value)


def test_mtt_train_and_restart(tmp_path, caplog):
    """In one process, with workers; the restart is in the middle of the penalty."""
    caplog.set_level("INFO")
    content = options(symmetry_penalty=PENALTY, num_workers=2)
    with inside(tmp_path):
        command(content)
        mtt("train", "options.yaml", "-o", "first.pt")
        (run,) = Path("outputs").glob("*/*")
        log = caplog.text
        assert "from epoch 2 on, in full from epoch 2 on" in log
        assert log.count("The symmetry penalty begins") == 1
        caplog.clear()
        mtt("train", "options.yaml", "--restart", run / "model_2.ckpt", "-o", "second.pt")
        assert "The symmetry penalty begins" not in caplog.text
        (again,) = set(Path("outputs").glob("*/*")) - {run}
        assert [path.name for path in again.glob("model_*.ckpt")] == ["model_3.ckpt"]
        checkpoint = torch.load("second.ckpt", weights_only=False)
        assert checkpoint["epoch"] == 3
        assert checkpoint["best_epoch"] >= 2
        first = of_epoch(run, 3)
        for name, value in of_epoch(again, 3).items():
            assert torch.isfinite(value).all(), name
            assert value.shape == first[name].shape
        content["architecture"]["training"]["symmetry_penalty"] = {"copys": 2}
        command(content)
        text = mtt("train", "options.yaml", expect=1)
        assert "did you mean copies?" in text
