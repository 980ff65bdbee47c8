"""The section ``training: symmetry`` under metatrain's own architectures."""

import copy
import importlib
import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from zipfile import ZipFile

import pytest
import torch
from metatrain import PACKAGE_ROOT
from metatrain.utils.hypers import init_with_defaults
from monitor_common import OPTIONS, REPEATABLE, SYMMETRY, command, inside, train
from omegaconf import OmegaConf
from test_training_series import tensors
from training_common import mtt

from metatrain_symmetry.measure.series import Series
from metatrain_symmetry.plugin import watched


SMALL = {
    "pet": OPTIONS["architecture"]["model"],
    "soap_bpnn": {
        "soap": {"max_angular": 2, "max_radial": 2},
        "bpnn": {"num_neurons_per_layer": 8, "num_hidden_layers": 1},
    },
}


def options(name, symmetry=None, **training):
    """Options of a short training of an architecture."""
    found = copy.deepcopy(OPTIONS)
    architecture = found["architecture"] = {"name": name, "model": SMALL[name]}
    architecture["training"] = {
        "num_epochs": 2,
        "batch_size": 4,
        "num_workers": 0,
        "checkpoint_interval": 1,
        **training,
    }
    if symmetry is not None:
        architecture["training"]["symmetry"] = symmetry
    return found


def refused(folder, content, *arguments):
    """What ``mtt train`` complains about, before it writes a checkpoint of a model."""
    with inside(folder):
        known = set(folder.glob("outputs/*/*/model*.ckpt"))
        OmegaConf.save(OmegaConf.create(content), "options.yaml")
        text = mtt("train", "options.yaml", *arguments, expect=1)
    assert set(folder.glob("outputs/*/*/model*.ckpt")) == known
    return text


@pytest.fixture(scope="module", params=["pet", "soap_bpnn"])
def runs(request, tmp_path_factory):
    """The same training unwatched and watched."""
    folder = tmp_path_factory.mktemp(request.param)
    plain, _ = train(folder / "plain", options(request.param))
    run, log = train(folder / "watched", options(request.param, SYMMETRY))
    return request.param, plain, run, log


@pytest.mark.parametrize("file", ["model.ckpt", "model_0.ckpt", "model_1.ckpt"])
def test_weights_and_hypers_are_untouched(runs, file):
    """Bit by bit, what is pickled included: plain metatrain reads these files."""
    _, plain, run, _ = runs
    pair = [torch.load(folder / file, weights_only=False) for folder in (plain, run)]
    types = pair[0]["model_data"]["dataset_info"].atomic_types
    pair = [dict(tensors(checkpoint, types)) for checkpoint in pair]
    assert list(pair[0]) == list(pair[1])
    assert len(pair[0]) > 20
    for path, tensor in pair[0].items():
        if "species_to_species_index" in path:  # partly uninitialised
            continue
        assert tensor.numpy().tobytes() == pair[1][path].numpy().tobytes(), path
    with ZipFile(plain / file) as one, ZipFile(run / file) as two:
        (pickled,) = (member for member in one.namelist() if member.endswith("/data.pkl"))
        content = one.read(pickled)
        assert content == two.read(pickled)
        assert b"symmetry" not in content


def test_what_was_watched(runs):
    name, _, run, log = runs
    series = Series.load(run / "symmetry")
    assert series.epochs == [0, 1, 2]
    assert (run / "symmetry/index.html").stat().st_size > 10_000
    layers = series.characters[series.characters.kind != "output"]
    A = series.equivariance.set_index("target").A_over_rmse
    if name == "pet":
        assert set(layers.group) == {"EE", "GNN", "BBF", "LLF"}
        assert series.summary["settings"]["probes"] == ["EE", "GNN", "BBF", "LLF"]
        assert (A["non_conservative_force"] > 0.1).all()
        return
    assert layers.probe.nunique() == len(series.summary["probes"]) <= 10
    invariant = layers.probe.isin(["soap_calculator", "bpnn"])
    assert set(layers[invariant].probe) == {"soap_calculator", "bpnn"}
    scalars = layers[invariant & (layers.channel == "(0,+)")]
    assert scalars.share.tolist() == pytest.approx([1.0] * 6, abs=1e-6)
    # equivariant by construction: rounding of single precision
    assert (A < 1e-4).all()
    assert log.count("] - Symmetry after") == 2


def test_options_that_are_kept_watch_on(runs, tmp_path):
    """A restart from them goes on with the series; metatrain's entries are as they were."""
    name, plain, run, _ = runs
    kept = OmegaConf.load(run / "options_restart.yaml")
    assert kept.architecture.training.pop("symmetry") == SYMMETRY
    assert kept == OmegaConf.load(plain / "options_restart.yaml")
    further = options(name, SYMMETRY, num_epochs=3)
    again, _ = train(
        tmp_path, further, "--restart", run / "model_1.ckpt",
        "-r", "architecture.training.symmetry.lambda_max=2",
    )  # fmt: skip
    assert Series.load(again / "symmetry").epochs == [0, 1, 2, 3]
    other = "soap_bpnn" if name == "pet" else "pet"
    log = refused(tmp_path, options(other, {}), "--restart", run / "model.ckpt")
    assert f"holds a '{name}' model and cannot restart a '{other}' training" in log


@pytest.mark.parametrize(
    ("arguments", "section", "message"),
    [
        ((), {"intervall": 2}, "training.symmetry has no option 'intervall': did you mean"),
        (
            ("-r", "architecture.training.symmetry.lambda_max=99"),
            {},
            "'training.symmetry.lambda_max' should be less than or equal to 32, not 99",
        ),
        ((), {"structures": "gone.xyz"}, "there is no file 'gone.xyz'"),
        ((), {"probes": ["gnn_layers.0.compres"]}, "did you mean gnn_layers.0.compress"),
        (("-r", "architecture.name=composition"), {}, "is not trained in epochs"),
        (("-r", "architecture.name=llpr"), {}, "wraps a model that is trained already"),
        # of what is no business of ours metatrain complains, as it does without the section
        (("-r", "architecture.name=pett"), {}, "Did you mean 'pet'?"),
        (("-r", "architecture.training.epochs=3"), {}, "Unrecognized option 'epochs'"),
    ],
)
def test_what_is_wrong_is_said_first(tmp_path, arguments, section, message):
    assert message in refused(tmp_path, options("pet", section), *arguments)


def test_a_section_that_is_null(tmp_path):
    """As in the completed options of a ``pet_ssh``: nothing is watched, nothing refused."""
    calls = []
    content = options("pet")
    content["architecture"]["training"]["symmetry"] = None
    arguments = {"options": content, "restart_from": None, "checkpoint_dir": "."}
    watched.train(lambda **call: calls.append(call), arguments)
    (call,) = calls
    assert call["options"] == options("pet")
    assert content["architecture"]["training"]["symmetry"] is None  # the caller's own


ALONE = """
import sys
from metatrain.__main__ import main
from metatrain.utils.io import load_model
sys.argv = ["mtt", "train", "options.yaml"]
main()
load_model("{checkpoint}").export()
assert "metatrain_symmetry" not in sys.modules
print("reads it")
"""


def test_without_the_plugin(runs, tmp_path):
    """Plain metatrain reads the checkpoints, and trains to the same bits."""
    name, plain, run, _ = runs
    environment = {**os.environ, **REPEATABLE, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    with inside(tmp_path):
        command(options(name))
        script = ALONE.format(checkpoint=run / "model.ckpt")
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "reads it" in done.stdout
    (alone,) = tmp_path.glob("outputs/*/*")
    for file in ("model_0.ckpt", "model_1.ckpt"):
        with ZipFile(plain / file) as one, ZipFile(alone / file) as two:
            (name,) = (member for member in one.namelist() if member.endswith("data.pkl"))
            assert one.read(name) == two.read(name)
        pair = [torch.load(folder / file, weights_only=False) for folder in (plain, alone)]
        types = pair[0]["model_data"]["dataset_info"].atomic_types
        ours, theirs = (dict(tensors(checkpoint, types)) for checkpoint in pair)
        for path, tensor in ours.items():
            if "species_to_species_index" not in path:
                assert tensor.numpy().tobytes() == theirs[path].numpy().tobytes(), path


# ---------------------------------------------------------- what trainers look like


TRAINERS = sorted(
    path
    for path in PACKAGE_ROOT.rglob("trainer.py")
    if "num_epochs" in path.read_text() and "deprecated" not in path.parts
)


@pytest.mark.parametrize("path", TRAINERS, ids=lambda path: path.parent.name)
def test_epochs_of_all_trainers(path):
    """How they count decides when the last measurement is due."""
    source = path.read_text()
    loops = re.findall(r"for epoch in range\((.*)\):", source)
    assert len(loops) == 1, f"{path} has no single loop over epochs: watched.epochs"
    loop = loops[0].split(",")[-1].strip()
    expected = watched.ON_TOP if watched.ON_TOP in source else 'self.hypers["num_epochs"]'
    assert loop == expected, f"{path} counts its epochs in a third way: watched.epochs"


@pytest.mark.parametrize(("module", "expected"), [("pet", (3, 9)), ("llpr", (3, 12))])
def test_epochs(module, expected):
    importlib.import_module(f"metatrain.{module}.trainer")
    trainer = type("Trainer", (), {"__module__": f"metatrain.{module}.trainer"})()
    trainer.hypers, trainer.epoch = {"num_epochs": 9}, 2
    assert watched.epochs(trainer) == expected
    trainer.epoch = None
    assert watched.epochs(trainer) == (0, 9)


def test_which_architectures_can_be_watched():
    """From their documentation alone: some need packages that are not installed."""
    refused = set()
    for path in PACKAGE_ROOT.rglob("documentation.py"):
        spec = spec_from_file_location("documentation", path)
        module = module_from_spec(spec)
        # relative imports, if any
        module.__package__ = ".".join(
            ("metatrain", *path.parent.relative_to(PACKAGE_ROOT).parts)
        )
        try:
            spec.loader.exec_module(module)
        except ImportError:
            continue
        defaults = init_with_defaults(module.TrainerHypers)
        with suppress(ValueError):
            watched.check_architecture(path.parent.name, defaults)
            continue
        refused.add(path.parent.name)
    assert refused == {"gap", "composition", "scaler", "llpr", "classifier"}


def test_the_trainer_is_put_back():
    class Base:
        def train(self, model, val_datasets, checkpoint_dir):
            """Never called."""

    class Derived(Base):
        pass

    def fail(cls):
        with watched.watching(cls, {}, {}):
            assert "train" in vars(cls)
            assert cls.train is not plain
            raise RuntimeError("not today")

    plain = Base.train
    for cls in (Base, Derived):
        before = dict(vars(cls))
        with pytest.raises(RuntimeError, match="not today"):
            fail(cls)
        assert dict(vars(cls)) == before
