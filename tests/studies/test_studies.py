"""Studies at the size of a test: they run, go on, and say what is missing."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.calculators.morse import MorsePotential
from commands import run
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.pydantic import validate_base_options
from omegaconf import OmegaConf

from benchmarks import _training
from benchmarks._training import Training
from benchmarks.makers import chgnet_solids
from benchmarks.studies import _pes_figures, _series, density, pes, pseudoscalar
from benchmarks.studies._options import changed, evaluation, load
from metatrain_symmetry.pet_ssh import preflight


ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", CONFIGS)
def test_options_are_valid(name, tmp_path):
    options = preflight.check(OmegaConf.load(ROOT / "configs" / name), None, tmp_path)
    options = OmegaConf.to_container(options)
    validate_base_options(options)
    defaults = {k: v for k, v in get_default_hypers("pet_ssh").items() if k != "name"}
    complete = OmegaConf.merge({"name": "pet_ssh", **defaults}, options["architecture"])
    check_architecture_options("pet_ssh", OmegaConf.to_container(complete))


def test_options_of_a_variant(tmp_path):
    options = load("density_l8.yaml", tmp_path)
    target = options["training_set"]["targets"]["mtt::density_l8"]
    assert target["read_from"] == str(tmp_path / "density_l8.mts")
    other = changed(options, {"seed": 5, "architecture.model.d_pet": 8})
    assert (other["seed"], other["architecture"]["model"]["d_pet"]) == (5, 8)
    assert options["seed"] == 1
    unseen = evaluation(options, "density_l8_unseen")
    assert unseen["systems"]["read_from"] == str(tmp_path / "density_l8_unseen.xyz")
    target = unseen["targets"]["mtt::density_l8"]
    assert target["read_from"] == str(tmp_path / "density_l8_unseen.mts")


def test_a_training_is_told_apart_by_its_options(tmp_path):
    one = Training("PET", 0, {"a": 1}, tmp_path)
    other = Training("PET", 0, {"a": 2}, tmp_path)
    assert one.folder != other.folder
    assert one.train(deadline=time.monotonic()) == "stopped"
    assert one.checkpoint is None


def test_a_failed_training_says_why(tmp_path):
    training = Training("PET", 0, {"architecture": {"name": "no such"}}, tmp_path)
    assert training.train(float("inf")).startswith("failed: ")
    assert not training.state["finished"]


def test_a_training_is_stopped_and_goes_on(tmp_path, monkeypatch):
    training = Training("PET", 0, {}, tmp_path)
    monkeypatch.setattr(_training, "COMMAND", ["-c", "import time; time.sleep(600)"])
    assert training.train(time.monotonic() + 0.5) == "stopped"
    assert not training.state["finished"]
    spent = training.state["wall_s"]
    assert 0.5 <= spent < 60
    monkeypatch.setattr(_training, "COMMAND", ["-c", "open('done', 'w')"])
    assert training.train(float("inf")) == "finished"
    assert training.state["wall_s"] >= spent
    (training.folder / "done").unlink()
    assert training.train(float("inf")) == "finished"
    assert not (training.folder / "done").exists()


def test_ratios():
    rows = [(0, "f", 1, 0.1, 0.2), (1, "f", 1, 0.3, 0.2),
            (0, "s", 0, 0.0, 1.0), (0, "s", 2, np.sqrt(1.2), 1.0)]  # fmt: skip
    columns = ["structure", "target", "o3_lambda", "A", "error"]
    table = pes.ratios(pd.DataFrame(rows, columns=columns).assign(unit="u"))
    table = table.set_index("target")
    assert table.median_A_over_error["f"] == pytest.approx(1.0)
    # 5 of 6 components hold everything
    assert table.median_A["s"] == pytest.approx(1.0)
    assert table.below_error["f"] == 0.5
    seeds = pd.DataFrame(rows, columns=columns).assign(unit="u", seed=[0, 1, 0, 0])
    assert pes.ratios(seeds)[["seed", "target"]].values.tolist() == [
        [0, "f"], [1, "f"], [0, "s"],
    ]  # fmt: skip
    parts = pes.per_irrep(seeds.assign(o3_sigma=1)).median_A_over_error
    assert parts.tolist() == pytest.approx([0.5, 1.5, 0.0, np.sqrt(1.2)])


def test_spread():
    assert _series.spread(pd.Series([1.0, 3.0])) == "2 ± 1"
    assert _series.spread(pd.Series([200, 200])) == "200"
    assert _series.spread(pd.Series([np.nan])) == "-"


def test_first_epoch():
    table = pd.DataFrame({"epoch": [0, 5, 9], "x": [0.1, 0.95, 0.99]})
    assert _series.first_epoch(table, "x", 0.9, above=True) == 5
    assert np.isnan(_series.first_epoch(table, "x", 0.01, above=False))


def test_what_layers_hold_before_training():
    rows = [
        (8, "GE", "(1,+)", 0.9),
        (0, "GE", "(0,+)", 0.3),
        (0, "GE", "(1,+)", 0.7),
        (0, "EE", "(1,+)", 0.2),
        (0, "EE", "(1,+)", 0.1),  # a later layer
        (0, "BBF", "(0,-)", 0.01),  # of nodes
        (0, "BBF", "(0,-)", 0.02),  # of edges
    ]
    table = pd.DataFrame(rows, columns=["epoch", "group", "channel", "share"])
    assert pseudoscalar.at_start(table) == {
        "vector_GE": 0.7, "vector_EE": 0.2, "pseudo_BBF": 0.02,
    }  # fmt: skip


def test_last_rows_keep_the_order_of_the_trainings():
    rows = [("b", 0, 0), ("b", 0, 9), ("a", 0, 0), ("a", 0, 7)]
    table = pd.DataFrame(rows, columns=["variant", "seed", "epoch"])
    assert _series.last(table).epoch.tolist() == [9, 7]


RESULTS = ROOT / "benchmarks" / "results" / "studies"
DRAWN = {
    "density": (density.draw, ["epochs.png"]),
    "pseudoscalar": (pseudoscalar.draw, ["epochs.png", "cause.png"]),
    "pes": (
        _pes_figures.draw,
        [f"figures/{n}.png" for n in ("distribution", "spectrum", "heatmap", "tradeoff")],
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_come_from_the_tables_in_the_repository(name, tmp_path):
    draw, figures = DRAWN[name]
    no_figures = shutil.ignore_patterns("*.png")
    shutil.copytree(RESULTS / name, tmp_path / name, ignore=no_figures)
    draw(tmp_path / name)
    assert files(tmp_path / name) >= set(figures)


def test_results_are_small():
    sizes = [p.stat().st_size for p in RESULTS.parent.rglob("*") if p.is_file()]
    assert sum(sizes) < 2e6  # seven studies, some fifteen benchmarks


def shared_data(factory):
    """A folder for data that several tests, in any process, need and none changes."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "study-data"


def study(name, folder, *arguments, data=None):
    """Run a study as a user types it; return its summary and what it printed."""
    places = ["--data", data or folder / "data", "--runs", folder / "runs"]
    places += ["--output", folder / "results"]
    done = run("study_forks", name, "--quick", *places, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "results" / "summary.json").read_text()), done.stdout


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


def test_pseudoscalar(tmp_path):
    early, said = study("pseudoscalar", tmp_path, "--minutes", "0")
    assert set(early["not_finished"].values()) == {"stopped"}
    assert "not finished: PET, seed 0 (stopped)" in said
    summary, _ = study("pseudoscalar", tmp_path)
    assert summary["not_finished"] == {}
    assert files(tmp_path / "results") == {
        "summary.json", "curves.csv", "layers.csv", "trainings.csv", "table.md",
        "epochs.png", "cause.png", "layers.png",
    }  # fmt: skip
    curves = pd.read_csv(tmp_path / "results" / "curves.csv")
    assert set(curves.epoch) >= {0, 3}
    assert np.isfinite(curves[["relative_A", "relative_rmse"]]).all(axis=None)
    states = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/*/state.json")}
    assert len(states) == 2
    again, _ = study("pseudoscalar", tmp_path)
    assert again["results"] == summary["results"]
    assert all(path.stat().st_mtime_ns == when for path, when in states.items())


def test_density(tmp_path, tmp_path_factory):
    pytest.importorskip("pyscf")
    pytest.importorskip("rdkit")
    study("density", tmp_path, data=shared_data(tmp_path_factory))
    rows = pd.read_csv(tmp_path / "results" / "trainings.csv")
    assert set(rows.variant) == {"PET", "l_max auto (4)"}
    assert rows.test_relative_rmse.between(0, 10, inclusive="neither").all()
    assert rows.unseen_relative_rmse.between(0, 10, inclusive="neither").all()
    curves = pd.read_csv(tmp_path / "results" / "curves.csv")
    assert np.isfinite(curves.norm_ratio).all()
    assert (tmp_path / "results" / "epochs.png").stat().st_size > 1000


def test_pes(tmp_path, monkeypatch):
    # the model learns whatever is there: a pair potential in place of CHGNet
    teacher = MorsePotential(epsilon=0.2, r0=2.2, rho0=3.0, rcut1=4.0, rcut2=5.0)
    monkeypatch.setattr(chgnet_solids, "teacher", lambda: teacher)
    monkeypatch.setattr(chgnet_solids, "PACKAGES", ("ase",))
    options = ["--quick", "--output-dir", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", ["chgnet_solids", *options])
    chgnet_solids.main()
    summary, said = study("pes", tmp_path)
    assert "is there already" in said
    table = pd.read_csv(tmp_path / "results" / "medians.csv").set_index("target")
    assert set(table.index) == {
        "energy", "non_conservative_force", "non_conservative_stress",
    }  # fmt: skip
    assert (table.median_A_over_error > 0).all()
    assert summary["results"]["completed_epochs"] == {"PET, seed 0": 3}
    assert files(tmp_path / "results" / "figures") == {
        "distribution.png", "spectrum.png", "heatmap.png", "tradeoff.png",
        "forces-over-epochs.png",
    }  # fmt: skip
