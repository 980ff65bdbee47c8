"""Bad input of a fine-tuning is answered in one sentence, and leaves nothing behind."""

import os
import re
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
from finetune_common import (
    FORCE,
    QUICK,
    checkpoint_of,
    options,
    targets,
    tiny,
    write_world,
)

from metatrain_symmetry import purify_checkpoint
from metatrain_symmetry.api import finetune_checkpoint


RAW = re.compile(
    r"Traceback|Error:|object has no attribute|NoneType|pydantic|\[type=|Errno"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    ase.io.write(folder / "gold.xyz", [ase.Atoms("Au2", [[0, 0, 0], [0, 0, 2.0]])] * 4)
    ase.io.write(folder / "few.xyz", ase.io.read(folder / "free.xyz", ":2"))
    (folder / "empty.xyz").write_text("")
    untrained = checkpoint_of(tiny())
    del untrained["train_hypers"]
    torch.save(untrained, folder / "untrained.ckpt")
    infinite = ase.io.read(folder / "x.xyz", ":")
    for atoms in infinite:
        atoms.arrays["density"][1, 2] = np.inf
    ase.io.write(folder / "inf.xyz", infinite)
    torch.save(checkpoint_of(tiny(gradients=False)), folder / "bare.ckpt")
    torch.save({"architecture_name": "soap_bpnn"}, folder / "soap.ckpt")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def listing(folder):
    return {p: p.stat().st_mtime_ns if p.is_file() else 0 for p in folder.rglob("*")}


def section(**changes):
    """Training set with other targets."""
    known = targets()
    for name, change in changes.items():
        known[name] = None if change is None else known[name] | change
    known = {name: one for name, one in known.items() if one is not None}
    return {"training_set": options()["training_set"] | {"targets": known}}


def other_targets():
    force = targets()[FORCE]
    return {"training_set": options()["training_set"] | {"targets": {"mtt::other": force}}}


def infinite_labels():
    """In the training set alone."""
    training = options()["training_set"]
    systems = training["systems"] | {"read_from": "inf.xyz"}
    return {
        "training_set": training | {"systems": systems},
        "validation_set": training,
    }


CASES = {
    "an infinite label": ({}, infinite_labels(), "holds an infinite number"),
    "a method that is none": ({"method": "fll"}, {}, "did you mean full"),
    "an option of readout": ({"alpha": [1.0]}, {}, "an option of method: readout"),
    "an option of full": ({"method": "readout", "epochs": 2}, {}, "epochs"),
    "an option that is none": ({"epoch": 2}, {}, "did you mean epochs"),
    "too many copies": ({"copies": 6}, {}, "purify.copies is 6, and a batch has 4"),
    "too large a batch": ({"batch_size": 6}, {}, "purify.batch_size to at most 5"),
    "no epochs": ({"epochs": 0}, {}, "epochs"),
    "a share above 1": ({"teacher": 1.5}, {}, "teacher"),
    "no file": ({"unlabelled": {"read_from": "no.xyz"}}, {}, "no file 'no.xyz'"),
    "an empty file": ({"unlabelled": {"read_from": "empty.xyz"}}, {}, "empty.xyz"),
    "gold": ({"unlabelled": {"read_from": "gold.xyz"}}, {}, "unlabelled, structure 0"),
    "few structures": (
        {"unlabelled": {"read_from": "few.xyz"}}, {}, "purify.batch_size to at most 2",
    ),
    "unlabelled without a file": ({"unlabelled": {}}, {}, "has no read_from"),
    "unlabelled with a typo": (
        {"unlabelled": {"read_from": "free.xyz", "lenght_unit": "A"}}, {}, "length_unit",
    ),
    "unlabelled in miles": (
        {"unlabelled": {"read_from": "free.xyz", "length_unit": "mile"}}, {}, "'mile'",
    ),
    "other targets": ({}, other_targets(), "no target of the model"),
    "no forces": ({}, section(energy={"forces": False}), "no positions gradients"),
    "no stress": ({}, section(energy={"stress": False}), "no strain gradients"),
    "another unit": ({}, section(energy={"unit": "kcal/mol"}), "the unit of the model"),
    "another type": ({}, section(**{FORCE: {"type": "scalar"}}), FORCE),
    "a seed": ({}, {"seed": "one"}, "seed"),
    "a device": ({}, {"device": "tpu"}, "tpu"),
}  # fmt: skip


def refused(folder, words, *arguments, **keywords):
    before = listing(folder)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        purify_checkpoint(*arguments, progress=False, **keywords)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert not RAW.search(text), text
    assert listing(folder) == before


@pytest.mark.parametrize("name", CASES)
def test_options(world, name):
    changes, sections, words = CASES[name]
    purify = changes if changes.get("method") == "readout" else QUICK | changes
    refused(world, words, "model.ckpt", options(purify, **sections), "out.ckpt")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("bare.ckpt", "gradients, on which the model was not trained"),
        ("soap.ckpt", "'soap_bpnn' model: only"),
        ("untrained.ckpt", "how it was trained"),
    ],
)
def test_checkpoints(world, model, words):
    refused(world, words, model, options(), "out.ckpt")


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "2"), ("SLURM_PROCID", "1")])
def test_several_processes(world, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    refused(world, "in one process for now", "model.ckpt", options(), "out.ckpt")


def test_nothing_to_continue(world):
    call = ("model.ckpt", options(), "out.ckpt")
    refused(world, "no interrupted run", *call, restart=True)
    refused(world, "leave out --restart", *call[:2], dry_run=True, restart=True)


def test_a_folder_that_is_not_ours(world):
    place = world / "out-finetuning"
    place.mkdir()
    (place / "mine.txt").touch()
    refused(world, "is there already", "model.ckpt", options(), "out.ckpt", overwrite=True)
    (place / "mine.txt").unlink()
    place.rmdir()


def test_wrong_options_leave_what_an_interrupted_run_has_left(world):
    place = world / "out-finetuning"
    place.mkdir()
    (place / "run.json").write_text("{}")
    (place / "model_3.ckpt").touch()
    changes, sections, words = CASES["a device"]
    given = options(QUICK | changes, **sections)
    refused(world, words, "model.ckpt", given, "out.ckpt", overwrite=True)
    given = options(QUICK) | {"training_set": "gold.xyz"}
    with pytest.raises(ValueError, match="gold"):
        purify_checkpoint("model.ckpt", given, "out.ckpt", overwrite=True, progress=False)
    assert (place / "model_3.ckpt").is_file()
    for path in place.iterdir():
        path.unlink()
    place.rmdir()


def test_a_record_begins_after_the_data_were_looked_at(world, monkeypatch):
    def begins(options):
        raise AssertionError("W&B has a run of a fine-tuning that never began")

    monkeypatch.setattr(finetune_checkpoint, "_recorded", begins)
    given = options(QUICK) | {"validation_set": 0.0001, "wandb": {"project": "p"}}
    with pytest.raises(ValueError, match="validation"):
        purify_checkpoint("model.ckpt", given, "out.ckpt", progress=False)
