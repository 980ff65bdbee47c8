"""Options are read as ``mtt train`` reads them: against metatrain, spelling by spelling."""

import copy
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from metatrain.cli import train
from metatrain.utils.pydantic import MetatrainValidationError
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from metatrain_symmetry.data.splits import read_sets
from metatrain_symmetry.purify.options import read_options


sys.path.insert(0, str(Path(__file__).parent.parent / "bad_input"))
from harness import FORCE, edited, eval_options, labelled, targets


DIRECT = targets()[FORCE]
OWN = {**DIRECT, "key": FORCE}
BASE = {
    "seed": 1,
    "architecture": {"name": "pet"},
    "training_set": eval_options(),
    "validation_set": 0.3,
    "test_set": 0.0,
}
PLAIN = {key: value for key, value in DIRECT.items() if key != "sample_kind"}
SET = "training_set"

ACCEPTED = [
    ("seed", 3),
    (SET, "x.xyz"),
    (f"{SET}/systems", "x.xyz"),
    (f"{SET}/systems/reader", "ase"),
    (f"{SET}/systems/length_unit", ...),
    (f"{SET}/targets/energy", "x.xyz"),
    (f"{SET}/targets/energy/forces", True),
    (f"{SET}/targets/energy/forces", "x.xyz"),
    (f"{SET}/targets/energy/forces", {"key": "forces"}),
    (f"{SET}/targets/energy/forces", "off"),
    (f"{SET}/targets/energy/quantity", "energy"),
    (f"{SET}/targets/energy/per_atom", False),
    (f"{SET}/targets/energy/description", "of xTB"),
    (f"{SET}/targets/{FORCE}", {**PLAIN, "per_atom": True}),
    (f"{SET}/targets/{FORCE}", {**PLAIN, "per_atom": True, "sample_kind": "atom"}),
    (f"{SET}/targets", {"mtt::force": OWN}),
    (f"{SET}/targets", {"mtt::force": {**PLAIN, "per_atom": True}}),
    (f"{SET}/targets", {"mtt::e": {"key": "energy", "quantity": "energy", "unit": "eV"}}),
    (f"{SET}/targets", {"energy/own": {"key": "energy", "unit": "eV"}}),
    (f"{SET}/targets", {"mtt::rows": {"key": "rows", "num_subtargets": 3}}),
    (f"{SET}/indices", [5, 0, 3, 2]),
    (f"{SET}/indices", "indices.txt"),
    (SET, [eval_options(), eval_options()]),
    ("validation_set", {"indices": [0, 2]}),
    ("validation_set", {"indices": "indices.txt"}),
    ("validation_set", eval_options()),
    ("validation_set", {**eval_options(), "indices": [1]}),
    ("test_set", 0.3),
    ("test_set", {"indices": [1]}),
]
REFUSED = [
    ("seed", 1.5),
    ("seed", -1),
    ("test_set", -1),
    ("validation_set", 1.0),
    ("validation_set", [eval_options(), eval_options()]),
    ("validation_set", edited(eval_options(), "systems/length_unit", "bohr")),
    ("validation_set", edited(eval_options(), "targets/energy/unit", "meV")),
    ("validation_set", {"indices": [99]}),
    (SET, 3),
    (SET, [eval_options(), edited(eval_options(), "targets/energy/unit", "meV")]),
    (f"{SET}/indices", [-1]),
    (f"{SET}/systems/lenght_unit", "A"),
    (f"{SET}/targets/energy/unitt", "eV"),
    (f"{SET}/targets/energy/per_atom", "yes"),
    (f"{SET}/targets/{FORCE}/per_atom", False),
    (f"{SET}/targets/energy/key", "nothing"),
    (f"{SET}/targets/{FORCE}/type", "vector"),
    (f"{SET}/targets/{FORCE}/type", {"Cartesian": {"rank": 1}}),
    # a reference out of the section leads nowhere once metatrain has completed it
    (f"{SET}/systems/read_from", "${wandb.file}"),
    (f"{SET}/targets/forces", {"key": "forces"}),
    (f"{SET}/targets/foo::x", {"key": "energy"}),
]


class Stop(Exception):
    """The data sets are complete."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("data")
    frames = labelled(10)
    for index, atoms in enumerate(frames):
        atoms.info["rows"] = np.arange(3.0) + index
    ase.io.write(found / "x.xyz", frames)
    (found / "indices.txt").write_text("3\n1\n8\n7\n")
    return found


@pytest.fixture
def metatrain(folder, monkeypatch):
    """What ``mtt train`` makes of options: data sets and the indices of its sets."""
    monkeypatch.chdir(folder)
    opened = []
    original = train.get_dataset

    def get_dataset(options):
        opened.append(original(options)[:2])
        return *opened[-1], {}

    def stop(*indices):
        raise Stop(indices[:2])

    monkeypatch.setattr(train, "get_dataset", get_dataset)
    monkeypatch.setattr(train, "_save_indices", stop)

    def run(options):
        with pytest.raises(Stop) as stopped:
            train.train_model(OmegaConf.create(options))
        return opened, stopped.value.args[0]

    return run


def written(path, value):
    return edited({**copy.deepcopy(BASE), "wandb": {"file": "x.xyz"}}, path, value)


@pytest.mark.parametrize(("path", "value"), ACCEPTED, ids=lambda v: str(v)[:50])
def test_what_metatrain_reads_we_read_alike(metatrain, path, value):
    options = written(path, value)
    opened, (_, validation) = metatrain(copy.deepcopy(options))
    train_set, held_out = read_sets(read_options(options).sections)
    for one, (dataset, infos) in zip(train_set.datasets, opened, strict=False):
        assert dict(one.infos) == dict(infos)
        _, tensors = one.sample(2)
        assert set(tensors) == set(infos)
        for name, tensor in tensors.items():
            expected = dataset[2][name]
            assert torch.equal(tensor.block(0).values, expected.block(0).values)
            assert tensor.block(0).gradients_list() == expected.block(0).gradients_list()
    for number, indices in enumerate(validation):
        if indices is not None:
            found = [i for n, i in held_out.chosen if n == number]
            assert sorted(found) == sorted(indices)


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=lambda v: str(v)[:50])
def test_what_metatrain_refuses_we_refuse(folder, monkeypatch, path, value):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(train, "_save_indices", lambda *_: 1 / 0)
    options = written(path, value)
    expected = (ValueError, MetatrainValidationError, InterpolationResolutionError)
    with pytest.raises(expected):
        train.train_model(OmegaConf.create(copy.deepcopy(options)))
    with pytest.raises(ValueError, match=r".") as error:
        read_sets(read_options(options).sections)
    assert len(str(error.value).splitlines()) == 1


def test_parts_of_a_training_set_must_agree(folder, monkeypatch):
    """metatrain refuses this one as well, after all sets are read."""
    monkeypatch.chdir(folder)
    other = edited(eval_options(), f"targets/{FORCE}/num_subtargets", 1)
    other = edited(other, f"targets/{FORCE}/type", "scalar")
    other = edited(other, f"targets/{FORCE}/num_subtargets", 3)
    options = written(SET, [eval_options(), other])
    with pytest.raises(ValueError, match=f"{FORCE}.* differs between"):
        read_sets(read_options(options).sections)
