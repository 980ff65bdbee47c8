"""``l_max: auto`` becomes a number before training."""

import pytest
import torch
from common import SMALL
from metatrain.utils.pydantic import MetatrainValidationError
from omegaconf import OmegaConf

from metatrain_symmetry.pet_ssh import preflight
from metatrain_symmetry.pet_ssh.documentation import complete_options
from metatrain_symmetry.pet_ssh.options import automatic_l_max


def spherical(*irreps, **more):
    named = [{"o3_lambda": degree, "o3_sigma": sign} for degree, sign in irreps]
    return {
        "key": "x",
        "sample_kind": "atom",
        "type": {"spherical": {"irreps": named, **more}},
    }


ENERGY = {"key": "energy", "unit": "eV", "forces": True}
FORCE = {"key": "f", "sample_kind": "atom", "type": {"cartesian": {"rank": 1}}}
STRESS = {"key": "s", "type": {"cartesian": {"rank": 2}}}


def options(l_max="auto", **targets):
    return {
        "architecture": {
            "name": "pet_ssh",
            "model": {"geometry_embedding": {"l_max": l_max}},
        },
        "training_set": {
            "systems": {"read_from": "x.xyz", "length_unit": "angstrom"},
            "targets": {f"mtt::{n}" if n != "energy" else n: t for n, t in targets.items()},
        },
    }


@pytest.mark.parametrize(
    ("irreps", "expected"),
    [
        ([], 4),
        ([(0, 1)], 4),
        ([(1, 1), (2, 1)], 4),
        ([(8, 1)], 4),  # what was measured
        ([(9, 1)], 5),
        ([(0, 1), (12, 1)], 6),
        ([(0, -1)], 1),
        ([(2, 1), (1, -1)], 1),
        ([(0, -1), (8, 1)], 4),
        ([(5, -1)], 3),
        ([(60, 1)], 24),  # what the harmonics offer
    ],
)
def test_rule(irreps, expected):
    assert automatic_l_max(irreps) == expected


@pytest.mark.parametrize(
    ("targets", "irreps"),
    [
        ({"energy": ENERGY}, [(0, 1)]),
        ({"energy": ENERGY, "force": FORCE, "stress": STRESS}, [(0, 1), (1, 1), (2, 1)]),
        ({"density": spherical((8, 1), (3, -1))}, [(8, 1), (3, -1)]),
        ({"pair": spherical((3, 1), product="cartesian")}, [(6, 1)]),
    ],
)
def test_irreps_of_targets(targets, irreps):
    section = OmegaConf.create(options(**targets)["training_set"])
    assert preflight.target_irreps(section) == irreps


def test_number_in_the_options(tmp_path, caplog):
    caplog.set_level("INFO")
    given = options(density=spherical((11, 1))) | {"validation_set": 0.1}
    checked = preflight.check(given, None, tmp_path)
    assert checked.architecture.model.geometry_embedding.l_max == 6
    assert "l_max: auto is 6 for targets (11,+)" in caplog.text
    # neither the user's options nor other values change
    assert given["architecture"]["model"]["geometry_embedding"]["l_max"] == "auto"
    for l_max in (None, 3):
        same = preflight.check(options(l_max, energy=ENERGY), None, tmp_path)
        assert same.architecture.model.geometry_embedding.l_max == l_max


def test_metatrain_says_itself_what_is_wrong(tmp_path):
    given = options(density=spherical((11, 1))) | {"validation_set": 0.1}
    given["training_set"]["targets"]["mtt::density"]["unitt"] = "eV"
    with pytest.raises(MetatrainValidationError, match="Unrecognized option 'unitt'"):
        preflight.check(given, None, tmp_path)
    given["training_set"] = 3
    with pytest.raises(MetatrainValidationError, match="Unable to process 'training_set'"):
        preflight.check(given, None, tmp_path)


def test_nothing_to_restart_from_before_the_first_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [tmp_path / "outputs" / day / "12-00-00" for day in ("2026-01-01", "2026-01-02")]
    for run in runs:
        run.mkdir(parents=True)
        for name in ("scaler", "composition"):
            torch.save({"architecture_name": name}, run / f"{name}.ckpt")
    given = options(3, energy=ENERGY)
    path = "outputs/2026-01-02/12-00-00/scaler.ckpt"
    with pytest.raises(ValueError, match=r"start without --restart\.$"):
        preflight.check(given, path, tmp_path)
    torch.save({"architecture_name": "pet_ssh"}, runs[0] / "model_10.ckpt")
    with pytest.raises(ValueError, match=r"name an earlier one.*01-01.*model_10\.ckpt"):
        preflight.check(given, path, tmp_path)


def test_python_is_asked_for_a_number():
    with pytest.raises(ValueError, match="give a number or null here"):
        complete_options({"l_max": "auto"})


def test_a_training_keeps_the_number(tmp_path, monkeypatch):
    import ase.build
    import ase.io
    from metatrain.cli.train import train_model

    frames = [ase.build.molecule("H2O") for _ in range(6)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=seed)
        atoms.info["handedness"] = float(seed)
    monkeypatch.chdir(tmp_path)
    ase.io.write("x.xyz", frames)
    content = options(handedness={**spherical((0, -1)), "sample_kind": "system"})
    content["training_set"]["targets"]["mtt::handedness"]["key"] = "handedness"
    content["architecture"]["model"] |= SMALL
    content["architecture"]["training"] = {
        "num_epochs": 1,
        "batch_size": 2,
        "num_workers": 0,
    }
    content |= {"validation_set": 0.2, "test_set": 0.0, "seed": 0}
    folder = tmp_path / "run"
    folder.mkdir()
    train_model(content, output="model.pt", checkpoint_dir=folder)
    kept = OmegaConf.load(folder / "options_restart.yaml")
    assert kept.architecture.model.geometry_embedding.l_max == 1
    checkpoint = torch.load(folder / "model_0.ckpt", weights_only=False)
    assert checkpoint["model_data"]["model_hypers"]["geometry_embedding"]["l_max"] == 1
    # the same options go on from there
    again = preflight.check(content, folder / "model_0.ckpt", folder)
    assert again.architecture.model.geometry_embedding.l_max == 1
