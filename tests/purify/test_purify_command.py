"""`mtt purify` as a user types it, and what metatrain makes of its checkpoints."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator
from metatrain.utils.io import load_model
from omegaconf import OmegaConf
from training_common import MOLECULES, changed, mtt

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.data.splits import read_sets
from metatrain_symmetry.purify import files
from metatrain_symmetry.purify.checkpoint import KEY
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.options import read_options
from metatrain_symmetry.purify.problems import sample_weights


OPTIONS = changed(
    base_precision=64,
    architecture__training__num_epochs=2,
    architecture__training__learning_rate=1e-2,
    training_set__targets__energy__forces=False,
    training_set__targets__energy__stress=False,
    validation_set=0.3,
    test_set=0.1,
)
DIRECT = OPTIONS["training_set"]["targets"]["non_conservative_force"]
PURIFY = {"alpha": [0, 1, 10, 100], "ridge": [1e-4, 1e-2, 1], "report_structures": 1}


def options_with(purify=PURIFY, **changes):
    """Options of the training, with a section of ours."""
    return changed(OPTIONS | {"purify": purify}, **changes)


def write(name, options):
    OmegaConf.save(OmegaConf.create(options), name)
    return name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained model, purified, with everything that was written."""
    folder = tmp_path_factory.mktemp("purified")
    ase.io.write(folder / "molecules.xyz", ase.io.read(MOLECULES, ":20"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        mtt("train", write("train.yaml", OPTIONS), "-o", "model.pt")
        mtt("purify", "model.ckpt", write("o.yaml", options_with()), "-o", "pure.ckpt")
        mtt("export", "pure.ckpt", "-o", "pure.pt")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A working folder of its own with everything that was made."""
    for path in trained.iterdir():
        # where another test has imported sphericart, exports collect its library anew
        if path.name not in ("outputs", "extensions"):
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name):
    return torch.load(name, weights_only=False, map_location="cpu")


def states():
    return "model_state_dict", "best_model_state_dict"


def test_report(trained):
    report = trained / "pure-report"
    assert {path.name for path in report.iterdir()} == set(files.REPORT)
    written = json.loads((report / "summary.json").read_text())["files"]
    assert set(written) == set(files.REPORT)
    accuracy = pd.read_csv(report / "accuracy.csv")
    assert set(accuracy.target) == {"energy", "non_conservative_force"}
    assert (accuracy.A_after <= accuracy.A_before).all()
    assert (accuracy.rmse_after <= 1.01 * accuracy.rmse_before).all()
    assert (accuracy.A_change < -0.01).any()
    assert (accuracy.norm_ratio_before > 0).all()
    assert (accuracy.norm_ratio_after > 0.5 * accuracy.norm_ratio_before).all()
    curve = pd.read_csv(report / "curve.csv")
    for _, part in curve.groupby(["state", "target", "o3_lambda"]):
        assert part.chosen.sum() == 1
        assert set(part.alpha.dropna()) == {0, 1, 10, 100}
        assert part.alpha.isna().sum() == 1
    characters = pd.read_csv(report / "characters.csv")
    assert set(characters.when) == {"before", "after"}
    # what is not the target's own irrep becomes less
    forces = characters[characters.probe.str.startswith("non_conservative_force")]
    own = forces[forces.channel == "(1,+)"].groupby(["state", "when"]).share.mean()
    assert (own[:, "after"] >= own[:, "before"]).all()


def test_only_readouts_changed(trained):
    old, new = load(trained / "model.ckpt"), load(trained / "pure.ckpt")
    changed = set()
    for key in states():
        for name, value in old[key].items():
            if torch.is_tensor(value):
                assert new[key][name].dtype == value.dtype
                if not torch.equal(new[key][name], value):
                    changed.add((key, name))
    assert changed
    assert {key for key, _ in changed} == set(states())
    assert all("_last_layers." in name for _, name in changed)
    assert all(new[k] == old[k] for k in ("epoch", "best_epoch", "architecture_name"))
    (record,) = new[KEY]
    assert record["settings"]["alpha"] == PURIFY["alpha"]
    assert {part["target"] for part in record["parts"]} == {
        "energy", "non_conservative_force",
    }  # fmt: skip
    (exported,) = json.loads(new["metadata"].extra[KEY])
    assert exported["parts"] == record["parts"]
    # the optimizer goes on with what it had
    assert new["optimizer_state_dict"]["param_groups"]


def test_predictions_change_by_the_new_readout(trained, monkeypatch):
    monkeypatch.chdir(trained)
    found = purify_checkpoint("model.ckpt", options_with(), dry_run=True, progress=False)
    results = next(iter(found.results.values()))
    old, new = load_model("model.ckpt"), load_model("pure.ckpt")
    engines = [FeatureEngine(m, ["energy", "non_conservative_force"]) for m in (old, new)]
    ((_, system),) = read_systems([ase.io.read("molecules.xyz", 3)], engines[0])
    prepared = [engine.prepare(system) for engine in engines]
    one = torch.eye(3, dtype=torch.float64)[None]
    for result in results:
        (problem,) = result.problems
        part = result.part
        features = engines[0].evaluate(prepared[0], one, [], [part.target])
        phi = features.layers[part.target][0]
        phi = phi * sample_weights(problem, prepared[0], False)[:, None]
        step = result.after.readouts[0] - result.before.readouts[0]
        expected = phi @ step.reshape(part.irrep.dimension, -1).T
        (block,) = [b for b in engines[0].blocks if b.target == part.target]
        values = [
            engine.evaluate(item, one, [block], []).targets[block][0]
            for engine, item in zip(engines, prepared, strict=True)
        ]
        change = (values[1] - values[0])[..., 0]
        if part.kind == "system":
            expected, change = expected.sum(0), change[0] / prepared[0].n_atoms
        torch.testing.assert_close(change, expected, rtol=1e-8, atol=1e-10)


def root_mean(table, column, weights):
    return float(np.sqrt((weights * table[column] ** 2).sum() / weights.sum()))


@pytest.mark.parametrize("name", ["model.ckpt", "pure.ckpt"])
def test_a_is_that_of_mtt_symmetry(trained, monkeypatch, name):
    """Both on grids, each in a frame of its own, which differ by their truncation.

    By 4e-4 at degree 8 and by 5e-5 at degree 16, as measured.
    """
    monkeypatch.chdir(trained)
    fine = options_with(PURIFY | {"degree": 16, "max_structures": 1})
    _, held_out = read_sets(read_options(fine).sections)
    systems = [held_out.read(i).system for i in range(len(held_out))]
    report = symmetry_report(
        name, systems, probes=[], lambda_max=2, degree=16, estimator="grid",
        progress=False, budget=None,
    )  # fmt: skip
    found = purify_checkpoint(name, fine, dry_run=True, progress=False)
    accuracy = found.accuracy
    best = accuracy[accuracy.state.str.contains("best")].set_index("target").A_before
    table = report.equivariance
    energy = table[table.target == "energy"]
    A = root_mean(energy, "A_per_atom", np.ones(len(energy)))
    assert np.isclose(A, best["energy"], rtol=2e-4)
    forces = table[table.target == "non_conservative_force"]
    A = root_mean(forces, "A", forces.atoms)
    assert np.isclose(A, best["non_conservative_force"], rtol=2e-4)


def test_the_split_is_that_of_the_training(trained, monkeypatch):
    monkeypatch.chdir(trained)
    sets = read_sets(read_options(options_with()).sections)
    for source, name in zip(sets, ("training", "validation"), strict=True):
        (file,) = Path("outputs").glob(f"*/*/indices/{name}.txt")
        indices = np.loadtxt(file, dtype=int)
        assert sorted(indices) == sorted(index for _, index in source.chosen)
    listed = options_with()
    listed["training_set"]["indices"] = [0, 1, 2]
    listed["validation_set"] = {"indices": [3, 4]}
    train, held_out = read_sets(read_options(listed).sections)
    assert sorted(i for _, i in train.chosen) == [0, 1, 2]
    assert sorted(i for _, i in held_out.chosen) == [3, 4]


# ------------------------------------------------------- what metatrain does with it


def test_export_and_eval(folder):
    evaluation = {"systems": "molecules.xyz", "targets": OPTIONS["training_set"]["targets"]}
    mtt("eval", "pure.pt", write("eval.yaml", evaluation), "-o", "out.xyz")
    assert len(ase.io.read("out.xyz", ":")) == 20


def test_restart(folder):
    options = copy.deepcopy(OPTIONS)
    options["architecture"]["training"]["num_epochs"] = 3
    mtt("train", write("more.yaml", options), "--restart", "pure.ckpt", "-o", "more.pt")
    assert load("more.ckpt")["epoch"] == 2
    # where the readouts came from is still said
    assert KEY in load("more.ckpt")["metadata"].extra


def test_finetune(folder):
    options = copy.deepcopy(OPTIONS)
    options["architecture"]["training"] |= {
        "finetune": {"read_from": "pure.ckpt", "method": "full", "config": {}},
        "num_epochs": 1,
        "learning_rate": 0.0,
    }
    mtt("train", write("fine.yaml", options), "-o", "fine.pt")
    atoms = ase.io.read("molecules.xyz", 0)
    energies = []
    for name in ("pure.pt", "fine.pt"):
        atoms.calc = MetatomicCalculator(name)
        energies.append(atoms.get_potential_energy())
    assert np.isclose(*energies, rtol=1e-6)


def test_llpr(folder):
    llpr = {
        "name": "llpr",
        "model": {},
        "training": {"model_checkpoint": "pure.ckpt", "batch_size": 2},
    }
    options = copy.deepcopy(OPTIONS) | {"architecture": llpr}
    del options["training_set"]["targets"]["non_conservative_force"]
    mtt("train", write("llpr.yaml", options), "-o", "llpr.pt")
    wanted = {"energy_uncertainty": ModelOutput(sample_kind="system")}
    values = MetatomicCalculator("llpr.pt").run_model(
        ase.io.read("molecules.xyz", "0"), wanted
    )
    assert values["energy_uncertainty"].block().values.item() > 0


# ----------------------------------------------------------------- several processes


def test_two_processes_find_the_same(folder):
    alone = pd.read_csv("pure-report/curve.csv")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "metatrain_symmetry", "purify", "model.ckpt"]
    command += ["o.yaml", "-o", "two.ckpt"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    both = pd.read_csv("two-report/curve.csv")
    for column in ("A", "rmse", "A_training", "rmse_training"):
        # A is the root of a difference: of the size of the error its rounding is
        difference = (both[column] - alone[column]).abs() / alone.rmse
        assert difference.max() < 1e-10
    assert both.chosen.equals(alone.chosen)
    one, two = load("pure.ckpt"), load("two.ckpt")
    for key in states():
        for name, value in one[key].items():
            if torch.is_tensor(value) and value.is_floating_point():
                torch.testing.assert_close(two[key][name], value, rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------------- bad input


def everything(folder):
    """Names, sizes and times of all files."""
    return {
        str(p): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_a_dry_run_writes_nothing(folder):
    before = everything(folder)
    found = purify_checkpoint("model.ckpt", options_with(), dry_run=True, progress=False)
    assert found.changed
    assert everything(folder) == before


def nan_labels():
    atoms = ase.io.read("molecules.xyz", ":")
    for one in atoms:
        one.arrays["non_conservative_force"][1, 1] = np.nan
    ase.io.write("nan.xyz", atoms)
    return {"training_set__systems__read_from": "nan.xyz"}


def other_architecture():
    torch.save({"architecture_name": "soap_bpnn"}, "soap.ckpt")
    return "soap.ckpt"


def truncated():
    Path("half.ckpt").write_bytes(Path("model.ckpt").read_bytes()[:5000])
    return "half.ckpt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nowhere.ckpt"}, "nowhere.ckpt"),
        ({"model": "pure.pt"}, "not an exported model"),
        ({"model": other_architecture}, "'soap_bpnn' model: only"),
        ({"model": truncated}, "cannot be read as a checkpoint"),
        ({"options": "nowhere.yaml"}, "nowhere.yaml"),
        ({"purify": {"alfa": [1]}}, "no option 'alfa'"),
        ({"purify": {"alpha": [-1]}}, "alpha"),
        ({"purify": {"alpha": []}}, "alpha"),
        ({"purify": {"targets": ["energi"]}}, "did you mean energy"),
        ({"purify": {"degree": 1}}, "degree 2"),
        ({"purify": {"max_structures": 0}}, "max_structures"),
        ({"purify": {"memory_mib": 0.1}}, "memory_mib"),
        ({"training_set__targets": {"mtt::x": DIRECT}}, "cannot be read|no target"),
        ({"validation_set": 0.0}, "validation set is empty"),
        ({"validation_set": None}, "validation_set"),
        ({"trainingset": "x.xyz"}, "no section 'trainingset'"),
        (nan_labels, "not all finite"),
        ({"output": "pure.ckpt"}, "is there already"),
        ({"output": "model.ckpt"}, "is the input"),
        ({"output": "new.pt"}, "must end in .ckpt"),
        ({"output": None}, "-o"),
        ({"report": "model.ckpt"}, "name two places"),
    ],
    ids=lambda value: value if isinstance(value, str) else "case",
)
def test_bad_input_writes_nothing(folder, changes, message):
    changes = dict(changes() if callable(changes) else changes)
    arguments = {key: changes.pop(key) for key in ("output", "report") if key in changes}
    model = changes.pop("model", "model.ckpt")
    model = model() if callable(model) else model
    options = changes.pop("options", None)
    if options is None:
        if "training_set__targets" in changes:
            options = options_with()
            options["training_set"]["targets"] = changes["training_set__targets"]
        else:
            purify = PURIFY | changes.pop("purify", {})
            options = options_with(purify, **changes)
    before = everything(folder)
    call = {"output": "new.ckpt", "progress": False} | arguments
    with pytest.raises((ValueError, MemoryError), match=message) as error:
        purify_checkpoint(model, options, **call)
    assert len(str(error.value).splitlines()) == 1
    assert everything(folder) == before


def test_labels_that_are_missing_are_left_out(folder):
    atoms = ase.io.read("molecules.xyz", ":")
    for one in atoms[::2]:
        one.arrays["non_conservative_force"][:] = np.nan
    ase.io.write("some.xyz", atoms)
    options = options_with(training_set__systems__read_from="some.xyz")
    found = purify_checkpoint("model.ckpt", options, dry_run=True, progress=False)
    table = found.accuracy[found.accuracy.state == found.accuracy.state.iloc[0]]
    counts = table.set_index("target").structures
    assert counts["non_conservative_force"] < counts["energy"]


def test_too_few_structures_are_counted(folder, caplog):
    options = options_with(PURIFY | {"max_structures": 3})
    found = purify_checkpoint("model.ckpt", options, dry_run=True, progress=False)
    assert np.isfinite(found.accuracy.A_after).all()
    words = "energy (0,+): 3 structures for 34 unknowns per component, at least 34 are"
    assert words in caplog.text


def test_nothing_to_be_gained_leaves_the_weights(folder, caplog):
    caplog.set_level("INFO")
    options = options_with(PURIFY | {"ridge": [1e12]})
    found = purify_checkpoint("model.ckpt", options, "same.ckpt", progress=False)
    assert not found.changed
    assert "nothing to be gained: no readout had a lower" in caplog.text
    old, new = load("model.ckpt"), load("same.ckpt")
    for key in states():
        for name, value in old[key].items():
            assert not torch.is_tensor(value) or torch.equal(new[key][name], value)


def test_overwrite(folder):
    Path("copy.ckpt").write_bytes(Path("model.ckpt").read_bytes())
    options = options_with(PURIFY | {"max_structures": 4, "report_structures": 0})
    for _ in range(2):
        found = purify_checkpoint(
            "copy.ckpt", options, "copy.ckpt", overwrite=True, progress=False
        )
    assert len(load("copy.ckpt")[KEY]) == 2
    assert not found.characters.size
    (folder / "copy-report" / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"mine\.txt"):
        purify_checkpoint("copy.ckpt", options, "copy.ckpt", overwrite=True, progress=False)


def test_a_failure_while_writing_leaves_nothing(folder, monkeypatch):
    before = everything(folder)

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(files.torch, "save", fail)
    options = options_with(PURIFY | {"max_structures": 2, "report_structures": 0})
    with pytest.raises(OSError, match="no space left"):
        purify_checkpoint("model.ckpt", options, "new.ckpt", progress=False)
    assert everything(folder) == before
    assert not [p for p in folder.iterdir() if p.name.startswith(".new")]


@pytest.mark.parametrize("signal", ["SIGINT", "SIGKILL"])
def test_an_interrupted_sweep_writes_nothing(folder, signal):
    import signal as signals

    slow = write("slow.yaml", options_with(PURIFY | {"degree": 60}))
    before = everything(folder)
    command = [sys.executable, "-u", "-m", "metatrain_symmetry", "purify", "model.ckpt"]
    process = subprocess.Popen(
        [*command, slow, "-o", "new.ckpt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # a shell that runs the tests in the background has SIGINT ignored, and so would we
        preexec_fn=lambda: signals.signal(signals.SIGINT, signals.SIG_DFL) and None,
    )
    seen = b""
    while b"%|" not in seen:  # the bar of the sweep
        part = process.stdout.read1(4096)
        assert part, seen.decode()
        seen += part
    process.send_signal(getattr(signals, signal))
    rest = process.communicate(timeout=60)[0].decode()
    assert process.returncode == (130 if signal == "SIGINT" else -9)
    if signal == "SIGINT":
        assert "mtt purify was interrupted: it leaves nothing half-written" in rest
    assert everything(folder) == before


def test_every_argument_has_a_help():
    import argparse

    from metatrain_symmetry.cli import purify

    parser = argparse.ArgumentParser()
    purify.add_arguments(parser)
    assert all(action.help for action in parser._actions)
