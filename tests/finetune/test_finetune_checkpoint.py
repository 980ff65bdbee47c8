"""`mtt purify` with `method: full` or `heads`, from one checkpoint to another."""

import copy
import json
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from finetune_common import (
    DENSITY,
    FORCE,
    QUICK,
    checkpoint_of,
    options,
    structures,
    tiny,
    without_figures,
    write_world,
)
from metatomic.torch import ModelOutput, systems_to_torch
from metatrain.pet import PET
from metatrain.utils.io import load_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_symmetry import purify_checkpoint
from metatrain_symmetry.finetune import guard, work
from metatrain_symmetry.pet_ssh import PetSSH
from metatrain_symmetry.purify.checkpoint import KEY
from metatrain_symmetry.purify.files import REPORT


STATES = ("model_state_dict", "best_model_state_dict")
HEADS = ("node_heads", "edge_heads", "node_last_layers", "edge_last_layers")


@pytest.fixture
def drawn_world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path)
    return tmp_path


@pytest.fixture
def world(drawn_world, monkeypatch):
    """Without figures, which take longer than the rest."""
    without_figures(monkeypatch)
    return drawn_world


def load(name):
    return torch.load(name, weights_only=False, map_location="cpu")


def changed(old, new):
    """Names of the tensors that differ, the same in both states."""
    found = []
    for key in STATES:
        assert list(old[key]) == list(new[key])
        for name, value in old[key].items():
            if torch.is_tensor(value):
                assert new[key][name].dtype == value.dtype
            same = torch.equal(new[key][name], value) if torch.is_tensor(value) else (
                new[key][name] == value
            )  # fmt: skip
            found += [] if same else [name]
    assert all(found.count(name) == 2 for name in found)
    return set(found)


def everything(folder):
    return {
        str(p): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def call(purify=QUICK, **sections):
    given = options(purify, **sections)
    return purify_checkpoint("model.ckpt", given, "out.ckpt", progress=False)


@pytest.mark.parametrize(("kind", "dtype"), [(PET, torch.float32), (PetSSH, torch.float64)])
def test_a_checkpoint_that_is_better(drawn_world, kind, dtype):
    """With structures of another kind without labels, of all targets at once."""
    torch.save(checkpoint_of(tiny(kind, dtype)), "model.ckpt")
    before = Path("model.ckpt").read_bytes()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = call(QUICK | {"report_structures": 1, "unlabelled": {"read_from": "free.xyz"}})
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert Path("model.ckpt").read_bytes() == before
    assert {p.name for p in drawn_world.iterdir()} == {
        "model.ckpt", "x.xyz", "free.xyz", "out.ckpt", "out-report",
    }  # fmt: skip
    assert {p.name for p in Path("out-report").iterdir()} == set(REPORT)
    listed = json.loads(Path("out-report/summary.json").read_text())["files"]
    assert set(listed) == set(REPORT)

    old, new = load("model.ckpt"), load("out.ckpt")
    names = changed(old, new)
    parameters = {name for name, _ in tiny(kind).named_parameters()}
    assert names
    assert names <= parameters  # neither composition nor scales
    assert {n.split(".")[1] for n in names} >= {"gnn_layers", "node_heads"}
    for key in ("architecture_name", "train_hypers", "epoch", "best_epoch"):
        assert new[key] == old[key]
    # what an optimizer knows of other weights is of no use
    for key in ("optimizer_state_dict", "scheduler_state_dict", "best_metric"):
        assert new[key] is None
    (record,) = new[KEY]
    assert record["method"] == "full"
    assert record["structures"] == {"training": 5, "validation": 3, "unlabelled": 4}
    assert "T" in record["teacher"]
    assert {row["target"] for row in record["parts"]} == {
        "energy", "conservative_force", "conservative_stress", FORCE, DENSITY,
    }  # fmt: skip
    assert found.changed
    model = load_model("out.ckpt")
    assert type(model) is kind
    assert json.loads(model.metadata.extra[KEY])[0]["created"] == record["created"]
    table = found.accuracy
    assert (table.rmse_change <= 0.01).all()
    assert (table.A_change <= 0.01).all()
    assert len(table) == 6


def test_tables_are_what_the_files_say(world):
    """A and RMSE of the direct force, computed without any engine, before and after."""
    found = call()
    (row,) = found.accuracy[found.accuracy.target == FORCE].to_dict("records")
    used = [i for _, i in held_out_set().chosen]
    for name, when in (("model.ckpt", "before"), ("out.ckpt", "after")):
        model = load_model(name).eval()
        A, rmse = by_hand(model, [ase.io.read("x.xyz", i) for i in used])
        assert row[f"A_{when}"] == pytest.approx(A, rel=1e-6)
        assert row[f"rmse_{when}"] == pytest.approx(rmse, rel=1e-6)
    curve = pd.read_csv("out-report/curve.csv")
    (chosen,) = curve[curve.chosen & (curve.target == FORCE)].to_dict("records")
    assert chosen["A"] == pytest.approx(row["A_after"])


def held_out_set():
    from metatrain_symmetry.data.splits import read_sets
    from metatrain_symmetry.finetune.options import read_options

    return read_sets(read_options(options()).sections)[1]


def by_hand(model, frames):
    """A and RMSE of the direct force over the rotations of the guard."""
    from metatrain_symmetry.groups.frames import random_frame

    spread, error = [], []
    for number, atoms in enumerate(frames):
        back = []
        for matrix in work.JUDGE.orbit(0, random_frame(number)).matrices.numpy():
            one = atoms.copy()
            one.set_cell(one.cell[:] @ matrix.T)
            one.positions = one.positions @ matrix.T
            system = systems_to_torch(one, dtype=torch.float64)
            get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))
            values = model([system], {FORCE: ModelOutput(sample_kind="atom")})
            back.append(values[FORCE].block().values[..., 0].detach().numpy() @ matrix)
        back = np.stack(back)
        spread.append(((back - back.mean(axis=0)) ** 2).mean())
        error.append(((back - atoms.arrays[FORCE]) ** 2).mean())
    return np.sqrt(np.mean(spread)), np.sqrt(np.mean(error))


def test_heads_alone(world):
    call(QUICK | {"method": "heads"})
    names = changed(load("model.ckpt"), load("out.ckpt"))
    assert names
    assert all(any(part in name.split(".") for part in HEADS) for name in names)


def test_a_guard_that_refuses(world, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(
        work,
        "choose",
        lambda b, marks, measure, most: guard.choose(b, marks, measure, -0.5),
    )
    found = call()
    assert not found.changed
    assert changed(load("model.ckpt"), load("out.ckpt")) == set()
    assert "would rise by" in found.choice.reason
    assert "nothing to be gained" in caplog.text
    assert "the weights stay" in caplog.text
    table = pd.read_csv("out-report/accuracy.csv")
    assert (table.A_after == table.A_before).all()
    assert table.reason.str.contains("would rise").all()
    assert len(load("out.ckpt")[KEY]) == 1


def test_a_dry_run_writes_nothing(world):
    before = everything(world)
    found = purify_checkpoint("model.ckpt", options(), dry_run=True, progress=False)
    assert len(found.accuracy) == 6
    assert everything(world) == before


def test_both_states_and_a_second_time(world):
    """Two states that differ: the best one is fine-tuned, and is both afterwards."""
    checkpoint = load("model.ckpt")
    other = tiny(seed=1)
    checkpoint["model_state_dict"] = copy.deepcopy(
        other.get_checkpoint()["model_state_dict"]
    )
    torch.save(checkpoint, "model.ckpt")
    call()
    new = load("out.ckpt")
    for name, _ in other.named_parameters():
        assert torch.equal(*(new[key][name] for key in STATES)), name
    again = purify_checkpoint("out.ckpt", options(), "again.ckpt", progress=False)
    assert len(load("again.ckpt")[KEY]) == 2
    table = pd.read_csv("out-report/accuracy.csv")
    assert np.allclose(again.accuracy.A_before, table.A_after)


def test_labels_that_are_missing(world):
    """NaN in training and validation set, without a teacher."""
    frames = structures()
    for atoms in frames[::2]:
        atoms.arrays[FORCE][:] = np.nan
    ase.io.write("x.xyz", frames)
    found = call(QUICK | {"teacher": 0.0})
    table = found.accuracy.set_index("target").validation_structures
    assert table[FORCE] < table[DENSITY]
    assert np.isfinite(found.accuracy.rmse_after).all()


def test_targets_without_labels(world, caplog):
    """The teacher supplies what the options do not name."""
    section = options()["training_set"]
    del section["targets"][DENSITY]
    found = call(QUICK | {"teacher": 0.0}, training_set=section)
    assert "T" in found.summary["teacher"]
    assert DENSITY not in set(found.accuracy.target)
    assert f"no validation structure has labels of {DENSITY} (2,+)" in caplog.text


def test_what_counts_more_is_in_the_summary(world, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(work, "losing", lambda before, after: ["energy", FORCE])
    found = call(QUICK | {"weight": [1.0, 2.0], "teacher": 0.0})
    assert found.summary["emphasis"] == {"energy": 2.0, FORCE: 2.0}
    assert f"The RMSE of energy, {FORCE} has risen in this stage" in caplog.text
    assert caplog.text.count("has risen in this stage") == 1
