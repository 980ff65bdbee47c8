"""The tutorials, done as written, on a few molecules."""

import shutil

import ase.io
import pandas as pd
import pytest
from pages import TUTORIALS, follow
from training_common import MOLECULES


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Folder in which the first tutorial was done."""
    folder = tmp_path_factory.mktemp("tutorials")
    frames = sorted(ase.io.read(MOLECULES, ":60"), key=len)
    ase.io.write(folder / "molecules.xyz", frames[:12])
    follow(TUTORIALS / "train_and_watch.md", folder)
    return folder


@pytest.fixture
def folder(first, tmp_path):
    return shutil.copytree(first, tmp_path / "tutorial")


def test_every_tutorial_is_done():
    done = {"index", "train_and_watch", "read_a_report", "purify", "finetune",
            "upgrade_a_pet", "averaged_model", "exported_model", "another_group",
            "symmetrise", "point_clouds"}  # fmt: skip
    assert {path.stem for path in TUTORIALS.glob("*.md")} == done


def test_train_and_watch(first):
    (measured,) = first.glob("outputs/*/*/symmetry/measurements.csv")
    epochs = pd.read_csv(measured).epoch
    assert len(epochs) >= 12
    assert epochs.min() == 0
    assert epochs.max() == 24


def test_read_a_report(folder):
    names = follow(TUTORIALS / "read_a_report.md", folder)
    assert set(names["table"].target) == {
        "energy", "conservative_force", "non_conservative_force",
    }  # fmt: skip
    assert len(names["present"]) > 0


def test_purify(folder):
    before = (folder / "model.ckpt").read_bytes()
    follow(TUTORIALS / "purify.md", folder)
    assert (folder / "model.ckpt").read_bytes() == before


def test_finetune(folder):
    before = (folder / "model.ckpt").read_bytes()
    names = follow(TUTORIALS / "finetune.md", folder)
    assert (folder / "model.ckpt").read_bytes() == before
    assert (folder / "symmetric.ckpt").is_file()
    assert len(names["accuracy"]) == 3


def test_upgrade_a_pet(folder):
    names = follow(TUTORIALS / "upgrade_a_pet.md", folder)
    assert names["energies"][0] == pytest.approx(names["energies"][1], abs=1e-4)


def test_averaged_model(folder):
    names = follow(TUTORIALS / "averaged_model.md", folder)
    for before, after in zip(names["before"], names["after"], strict=True):
        assert after < 0.5 * before


def test_exported_model(folder):
    names = follow(TUTORIALS / "exported_model.md", folder)
    shares = names["report"].characters
    assert set(shares[shares.share > 1e-6].channel) == {"(0,+)", "(1,+)", "(2,+)"}


def test_symmetrise(folder):
    names = follow(TUTORIALS / "symmetrise.md", folder)
    assert names["found"].name == "Fm-3m"
    assert names["spread"] > 1e-8
    assert names["small"].group in names["small"].left


def test_point_clouds(tmp_path):
    names = follow(TUTORIALS / "point_clouds.md", tmp_path)
    assert names["A"][1] < 0.8 * names["A"][0]
    assert set(names["first"].channel) == {"(0,+)", "(1,+)"}
    assert names["loose"].equivariance.A.mean() > 1e-3
    assert names["frozen"].equivariance.A.max() < 1e-5


def test_another_group(folder):
    names = follow(TUTORIALS / "another_group.md", folder)
    shares = names["report"].characters
    assert set(shares.chi_irrep.dropna()) == {"A1", "A2", "E"}
    assert names["report"].summary["group"] == "C3v"
    assert set(names["present"].channel) == {"(0,+)", "(1,+)"}
