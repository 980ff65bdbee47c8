"""Fine-tunings that are killed, stopped, or run into numbers that are none."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from finetune_common import QUICK, options, without_figures, write_world
from omegaconf import OmegaConf

from metatrain_symmetry import purify_checkpoint
from metatrain_symmetry.finetune import work
from metatrain_symmetry.finetune.training import newest_checkpoint
from metatrain_symmetry.models.sweep import NotFiniteValues
from metatrain_symmetry.training.penalty.loss import PenalisedLoss


FOLDER = Path("out-finetuning")


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path)
    without_figures(monkeypatch)
    return tmp_path


def call(purify=QUICK, **keywords):
    given = options(purify)
    return purify_checkpoint("model.ckpt", given, "out.ckpt", progress=False, **keywords)


def test_one_that_is_killed_goes_on(world, caplog):
    caplog.set_level("INFO")
    slow = options(QUICK | {"epochs": 300})
    OmegaConf.save(OmegaConf.create(slow), "o.yaml")
    before = Path("model.ckpt").read_bytes()
    command = [sys.executable, "-u", "-m", "metatrain_symmetry", "purify", "model.ckpt"]
    process = subprocess.Popen(
        [*command, "o.yaml", "-o", "out.ckpt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    seen = b""
    while b"Epoch:    4" not in seen:
        part = process.stdout.read1(4096)
        assert part, seen.decode()
        seen += part
    process.kill()
    process.communicate(timeout=60)
    assert Path("model.ckpt").read_bytes() == before
    assert not Path("out.ckpt").exists()
    assert not Path("out-report").exists()
    assert newest_checkpoint(FOLDER) is not None

    for wrong, words in (
        ({}, "go on with --restart"),
        ({"purify": QUICK | {"epochs": 299}, "restart": True}, "other options"),
    ):
        purify = wrong.pop("purify", QUICK | {"epochs": 300})
        with pytest.raises(ValueError, match=words):
            call(purify, **wrong)
    assert newest_checkpoint(FOLDER) is not None

    # as if it had been killed at the end: what is left is one epoch
    checkpoint = torch.load(newest_checkpoint(FOLDER), weights_only=False)
    checkpoint["epoch"] = 298
    torch.save(checkpoint, FOLDER / "model_298.ckpt")
    purify_checkpoint("model.ckpt", "o.yaml", "out.ckpt", restart=True, progress=False)
    assert "goes on after 299 epochs" in caplog.text
    assert "Epoch:  299" in caplog.text
    assert "Epoch:  298" not in caplog.text
    assert Path("out.ckpt").is_file()
    assert not FOLDER.exists()


def test_a_restart_after_the_last_epoch(world, monkeypatch, caplog):
    """Stopped while the guard decides: the same weights and the same decision."""

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(work, "choose", stop)
        with pytest.raises(KeyboardInterrupt):
            call()
    assert newest_checkpoint(FOLDER).name == "model_1.ckpt"
    assert "go on with --restart" in caplog.text
    call(restart=True)
    restarted = pd.read_csv("out-report/curve.csv")
    call(overwrite=True)
    pd.testing.assert_frame_equal(pd.read_csv("out-report/curve.csv"), restarted)


def test_one_that_is_stopped_before_its_first_checkpoint(world, monkeypatch):
    """Leaves nothing; a killed one leaves a folder, which does not stand in the way."""

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(work, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            call()
    assert not FOLDER.exists()
    FOLDER.mkdir()
    (FOLDER / "run.json").write_text("{}")
    call()
    assert Path("out.ckpt").is_file()
    assert not FOLDER.exists()


def broken_after(monkeypatch, calls):
    """A loss that is NaN from some call on."""
    compute, count = PenalisedLoss.compute, 0

    def broken(self, predictions, targets, extra_data=None):
        nonlocal count
        count += 1
        if count > calls:
            for one in predictions.values():
                one.block(0).values.data.mul_(float("inf"))
        return compute(self, predictions, targets, extra_data)

    monkeypatch.setattr(PenalisedLoss, "compute", broken)


def test_a_loss_that_is_no_number(world, monkeypatch, caplog):
    """Each epoch has one batch of training, and one or two of validation."""
    broken_after(monkeypatch, 6)
    found = call(QUICK | {"epochs": 5})
    assert "the loss is not finite: fine-tuning ends here" in caplog.text
    assert 1 <= found.summary["epochs"] < 5
    assert found.summary["settings"]["epochs"] == 5
    assert (found.accuracy.rmse_change <= 0.01).all()


def test_a_loss_that_is_no_number_at_once(world, monkeypatch):
    broken_after(monkeypatch, 0)
    with pytest.raises(ValueError, match=r"before any checkpoint: .*purify\.learning_rate"):
        call()
    assert not FOLDER.exists()
    assert not Path("out.ckpt").exists()


def test_a_learning_rate_that_is_too_large(world):
    """The guard keeps what the fine-tuning has spoilt from being written."""
    found = call(QUICK | {"learning_rate": 1.0, "epochs": 4})
    assert (found.accuracy.rmse_change <= 0.01).all()


def test_candidates_that_are_not_finite(world, monkeypatch):
    """Weights at the end that answer nothing: a smaller share is taken."""
    measured, count = work.errors, 0

    def fail(*arguments):
        nonlocal count
        count += 1
        if count == 3:  # the trained weights and the middle come first
            raise NotFiniteValues("target 'energy' is not finite")
        return measured(*arguments)

    monkeypatch.setattr(work, "errors", fail)
    found = call()
    assert found.choice.after.share < 1
    table = pd.read_csv("out-report/curve.csv")
    assert table[table.share == 1].A.isna().all()
