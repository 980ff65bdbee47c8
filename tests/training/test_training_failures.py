"""A training goes on whatever happens to its watching."""

import copy
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from common import SMALL, hypers
from metatrain.pet import PET
from metatrain.pet import Trainer as PETTrainer
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.logging import ROOT_LOGGER
from monitor_common import SYMMETRY, command, few_molecules, inside, options
from omegaconf import OmegaConf
from training_common import mtt

from metatrain_symmetry import io
from metatrain_symmetry.measure.series import Series
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.pet_ssh import Trainer
from metatrain_symmetry.training import Monitor, complete, recorder, snapshots
from metatrain_symmetry.training import monitor as monitor_module
from metatrain_symmetry.training.budget import GUARANTEED
from metatrain_symmetry.training.isolation import refresh, replica, undisturbed


class Watched(PETTrainer):
    """Another architecture's trainer, watched without further ado."""

    symmetry = None

    def train(self, model, dtype, devices, train_datasets, val_datasets, checkpoint_dir):
        last = self.hypers["num_epochs"]
        with Monitor(model, val_datasets, checkpoint_dir, 0, last, self.symmetry):
            super().train(
                model, dtype, devices, train_datasets, val_datasets, checkpoint_dir
            )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight molecules as a data set, and what it holds."""
    return few_molecules(tmp_path_factory.mktemp("data"))


def run(data, folder, symmetry, epochs=3, val=None):
    """Train a plain PET; return its weights."""
    dataset, info, loss = data
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    model = PET(hypers("pet", num_gnn_layers=1, **{"d_node": SMALL["d_node"]}), info)
    training = get_default_hypers("pet")["training"] | {
        "num_epochs": epochs,
        "batch_size": 4,
        "num_workers": 0,
        "loss": copy.deepcopy(loss),
    }
    trainer = Watched(training)
    trainer.symmetry = symmetry
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    subset = torch.utils.data.Subset(dataset, range(2))
    devices = [torch.device("cpu")]
    trainer.train(model, torch.float32, devices, [dataset], val or [subset], str(folder))
    assert before == {name: p.requires_grad for name, p in model.named_parameters()}
    assert not model._forward_pre_hooks
    assert not any(type(h).__name__ == "EpochHandler" for h in ROOT_LOGGER.handlers)
    assert model.training
    # composition and scales stay in double precision
    assert model.additive_models[0].dummy_buffer.dtype == torch.float64
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def unwatched(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("plain"), None)


def assert_same(weights, others):
    for name, value in others.items():
        if "type_to_index" not in name:  # partly uninitialised
            assert torch.equal(weights[name], value), name


def test_any_trainer(data, unwatched, tmp_path):
    """Plain PET: one class, unchanged, and the same weights in the end."""
    weights = run(data, tmp_path, SYMMETRY | {"probes": ["EE"]})
    assert_same(weights, unwatched)
    series = Series.load(tmp_path / "symmetry")
    assert series.epochs == [0, 1, 2, 3]
    assert set(series.characters.group) == {"EE", "predictions"}


def warnings_of(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if "Symmetry is not measured" in record.getMessage()
    ]


def test_an_error_is_reported_once(data, unwatched, tmp_path, monkeypatch, caplog):
    def fail(*arguments, **keywords):
        torch.rand(3)  # even then the random numbers of the training stay
        raise RuntimeError("the stars\nare wrong")

    monkeypatch.setattr(snapshots, "measure_snapshot", fail)
    assert_same(run(data, tmp_path, SYMMETRY), unwatched)
    assert warnings_of(caplog) == [
        "Symmetry is not measured this time: the stars are wrong"
    ]
    with pytest.raises(RuntimeError, match="the stars"):
        run(data, tmp_path / "second", SYMMETRY | {"on_error": "raise"})
    assert not any(type(h).__name__ == "EpochHandler" for h in ROOT_LOGGER.handlers)


def test_a_full_disk(data, unwatched, tmp_path, monkeypatch, caplog):
    original, calls = recorder.append, []

    def full(*arguments):
        calls.append(1)
        if 1 < len(calls) < 4:
            raise OSError(28, "No space left on device")
        original(*arguments)

    monkeypatch.setattr(recorder, "append", full)
    assert_same(run(data, tmp_path, SYMMETRY), unwatched)
    assert len(warnings_of(caplog)) == 1
    assert "No space left on device" in warnings_of(caplog)[0]
    # what could be written is there
    assert Series.load(tmp_path / "symmetry").epochs[0] == 0


def other_elements(folder):
    ase.io.write(folder / "gold.xyz", ase.Atoms("Au2", [[0, 0, 0], [0, 0, 2.5]]))
    return {"structures": str(folder / "gold.xyz")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: {"structures": str(folder / "gone.xyz")}, "there is no file"),
        (lambda folder: {"structures": "validaton"}, "did you mean 'validation'"),
        (other_elements, "the element Au, which the model does not know"),
        (lambda folder: {"probes": ["gnn_layers.0.compres"]}, "did you mean gnn_layers.0"),
        (lambda folder: {"structures": "test"}, "options_restart.yaml"),
    ],
)
def test_a_wrong_option_stops_before_the_first_epoch(data, tmp_path, change, message):
    """One sentence that names the option, and nothing left behind in metatrain."""
    dataset, info, _ = data
    model = PET(hypers("pet", num_gnn_layers=1), info)
    symmetry = SYMMETRY | change(tmp_path)
    subset = torch.utils.data.Subset(dataset, range(2))
    with (
        pytest.raises(ValueError, match=re.escape(message)) as caught,
        Monitor(model, [subset], tmp_path, 0, 3, symmetry),
    ):
        pytest.fail("the training began")
    assert str(caught.value).startswith("training.symmetry")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "symmetry").exists()
    assert not any(type(h).__name__ == "EpochHandler" for h in ROOT_LOGGER.handlers)
    assert not model._forward_pre_hooks


def test_mtt_train_looks_for_structures_first(tmp_path):
    """Before data sets are read: the first sentence of the log, and no model."""
    with inside(tmp_path):
        Path("molecules.xyz").unlink()
        OmegaConf.save(
            OmegaConf.create(options({"structures": "gone.xyz"})), "options.yaml"
        )
        message = mtt("train", "options.yaml", expect=1)
    assert "training.symmetry.structures: there is no file 'gone.xyz'" in message
    assert not list(tmp_path.glob("outputs/*/*/*.ckpt"))


def test_an_empty_held_out_set(data, tmp_path):
    empty = torch.utils.data.Subset(data[0], [])
    model = PET(hypers("pet", num_gnn_layers=1), data[1])
    monitor = Monitor(model, [empty], tmp_path, 0, 3, SYMMETRY)
    with pytest.raises(ValueError, match="validation set is empty"):
        monitor.__enter__()


def test_only_the_main_process_watches(data, tmp_path, monkeypatch):
    monkeypatch.setattr(monitor_module, "is_main_process", lambda: False)
    run(data, tmp_path, SYMMETRY | {"on_error": "raise"}, epochs=1)
    assert not (tmp_path / "symmetry").exists()


def test_a_training_without_a_logged_end(data, tmp_path, monkeypatch):
    """Epochs that metatrain does not log wait for the next one; the end does not."""
    original = get_default_hypers

    def rarely(name):
        found = original(name)
        found["training"]["log_interval"] = 3
        return found

    monkeypatch.setitem(globals(), "get_default_hypers", rarely)
    run(data, tmp_path, SYMMETRY | {"probes": []}, epochs=6)
    assert Series.load(tmp_path / "symmetry").epochs == [0, 1, 4, 6]


def numbers(generator):
    """State of a legacy generator, with how much of it is used."""
    return [
        part.tolist() if hasattr(part, "tolist") else part for part in generator.get_state()
    ]


def test_random_states_and_copies(data):
    legacy = np.random.mtrand._rand  # what np.random.rand uses
    states = random.getstate(), numbers(legacy), torch.get_rng_state()
    with undisturbed():
        random.random(), legacy.rand(), torch.rand(3)
        assert numbers(legacy) != states[1]
    assert random.getstate() == states[0]
    assert numbers(legacy) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    model = PET(hypers("pet", num_gnn_layers=1), data[1]).train()
    twin = replica(model)
    assert not twin.training
    assert model.training
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert not torch.equal(next(twin.parameters()), next(model.parameters()))
    refresh(twin, model)
    for mine, its in zip(twin.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, its)
        assert mine.data_ptr() != its.data_ptr()
    assert open_engine(twin).model is twin  # no further copy
    with pytest.raises(RuntimeError, match="changed its shape"):
        refresh(twin, PET(hypers("pet", num_gnn_layers=2), data[1]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"intervall": 2}, "no option 'intervall': did you mean interval"),
        ({"colour": 2}, "no option 'colour': there are structures, n_structures"),
        ({"interval": 0}, "symmetry.interval' .* greater than or equal to 1, not 0"),
        ({"interval": 2.0}, "symmetry.interval' .* valid integer, not 2.0"),
        ({"interval": True}, "symmetry.interval' .* valid integer, not True"),
        ({"estimator": "all"}, "symmetry.estimator' .* 'hybrid', 'circles' .* not 'all'"),
        ({"seed": 1.5}, "symmetry.seed' .* valid integer, not 1.5"),
        ({"seed": -1}, "symmetry.seed' .* not -1"),
        ({"n_structures": 0}, "symmetry.n_structures' .* not 0"),
        ({"n_structures": "5"}, "symmetry.n_structures' .* not '5'"),
        ({"lambda_max": 33}, "symmetry.lambda_max' .* not 33"),
        ({"points": 1}, "symmetry.points' .* not 1"),
        ({"max_overhead": 0}, "symmetry.max_overhead' .* greater than 0"),
        ({"max_overhead": True}, "symmetry.max_overhead' .* valid number, not True"),
        ({"max_overhead": float("nan")}, "symmetry.max_overhead' .* not nan"),
        ({"max_overhead": float("inf")}, "symmetry.max_overhead' .* not inf"),
        ({"memory_mib": "1"}, "symmetry.memory_mib' .* not '1'"),
        ({"probes": "EE"}, "symmetry.probes' .* valid list, not 'EE'"),
        ({"probes": [1]}, r"symmetry.probes\[0\]' .* valid string, not 1"),
        ({"structures": ""}, "symmetry.structures': .* not ''"),
        ({"on_error": "ignore"}, "symmetry.on_error' .* not 'ignore'"),
        ("yes", "training.symmetry is 'yes': give options"),
        ([], r"training.symmetry is \[\]: give options"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        complete(wrong)


def test_right_options():
    assert complete(None) is None
    assert complete({})["max_overhead"] == 0.05
    assert complete({"max_overhead": 1})["max_overhead"] == 1


def test_killed_at_random_moments(tmp_path):
    """kill -9: every measurement that was logged is there, and the run can go on."""
    symmetry = SYMMETRY | {"structures": "test", "probes": ["LLF"]}
    moments = random.Random(1)
    with inside(tmp_path):
        content = options(symmetry, num_epochs=400)
        for _ in range(2):
            known = set(tmp_path.glob("outputs/*/*"))
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(command(content), env=environment)
            deadline, measured = time.time() + 120, []
            while not measured and time.time() < deadline:
                time.sleep(0.2)
                runs = set(tmp_path.glob("outputs/*/*")) - known
                measured = [p for r in runs for p in r.glob("symmetry/measurements.csv")]
            time.sleep(moments.uniform(2, 6))
            process.send_signal(signal.SIGKILL)
            process.wait()
            (folder,) = {path.parent for path in measured}
            series = Series.load(folder)
            assert series.epochs == list(range(len(series.epochs)))
            log = (folder.parent / "train.log").read_text()
            # the line comes after the files
            logged = log.count("] - Symmetry after") + log.count("Symmetry before")
            assert logged <= len(series.epochs) <= logged + 1
            sizes = series.characters.groupby("epoch").size()
            assert sizes.nunique() <= 1
            assert sizes.index.tolist() == series.epochs


def test_leftovers_of_killed_runs_are_removed(data, tmp_path, monkeypatch):
    """Of dead processes, in all runs started here; what others are writing stays."""
    process = subprocess.Popen(["true"])
    process.wait()
    name = io.unfinished(Path("characters.csv")).name
    dead = name.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    assert dead != name
    run_folder = tmp_path / "outputs/2026-01-02/10-00-00"
    older = tmp_path / "outputs/2026-01-01/09-00-00"
    folders = (older, older / "symmetry", run_folder / "symmetry")
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / dead).write_text("half")
        (folder / name).write_text("half")
    checkpoint = older / dead.replace("characters.csv", "model.ckpt").removesuffix(".part")
    checkpoint.mkdir()
    model = PET(hypers("pet", num_gnn_layers=1), data[1])
    trainer = Trainer(get_default_hypers("pet")["training"] | {"num_epochs": 1})
    monkeypatch.setattr(PETTrainer, "train", refuse)
    with pytest.raises(RuntimeError, match="not today"):
        trainer.train(model, torch.float32, ["cpu"], [data[0]], [data[0]], str(run_folder))
    for folder in folders:
        assert not (folder / dead).exists()
        assert (folder / name).exists()
    assert not checkpoint.exists()


def refuse(*arguments):
    raise RuntimeError("not today")


def test_epochs_are_guaranteed_and_the_budget_is_named_once(data, tmp_path, caplog):
    """A budget of nothing: 16 of 25 epochs all the same, and one line about it."""
    few = torch.utils.data.Subset(data[0], range(4))
    symmetry = {"max_overhead": 1e-6, "lambda_max": 1, "probes": [], "n_structures": 2}
    run((few, *data[1:]), tmp_path, symmetry, epochs=24)
    series = Series.load(tmp_path / "symmetry")
    assert len(series.epochs) == GUARANTEED
    assert (series.epochs[0], series.epochs[-1]) == (0, 24)
    # the cheapest plan, the same throughout
    assert set(series.measurements.n_structures) == {1}
    assert set(series.measurements.design.fillna("")) == {""}
    said = [r.getMessage() for r in caplog.records if "max_overhead" in r.getMessage()]
    assert len(said) == 1
    assert "since they are guaranteed" in said[0]


def test_an_explicit_interval_is_kept_and_the_budget_is_named_once(data, tmp_path, caplog):
    few = torch.utils.data.Subset(data[0], range(4))
    symmetry = {"max_overhead": 1e-6, "lambda_max": 1, "probes": [], "interval": 1}
    run((few, *data[1:]), tmp_path, symmetry, epochs=20)
    assert Series.load(tmp_path / "symmetry").epochs == list(range(21))
    said = [r.getMessage() for r in caplog.records if "max_overhead" in r.getMessage()]
    assert len(said) == 1
    assert "since `interval` asks for them" in said[0]
