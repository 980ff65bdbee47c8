"""`mtt symmetry` as a new user would call it, and as one who mistypes."""

import argparse
import json
import os
import subprocess
import sys

import ase.io
import common
import numpy as np
import pandas as pd
import pytest
import torch
from commands import run

from metatrain_symmetry import group_by_name, symmetry_report
from metatrain_symmetry.cli import symmetrize, symmetry
from metatrain_symmetry.data.targets_of_atoms import of_atoms
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.report.folder import write


QUICK = {"lambda_max": 2, "max_degree": 8, "probes": ["GE", "GNN"], "progress": False}


def labelled(count=2):
    """Molecules with energy and forces that say nothing in particular."""
    from ase.calculators.singlepoint import SinglePointCalculator

    found = []
    for i in range(count):
        atoms = common.molecule()
        atoms.rattle(0.1, seed=i)
        forces = np.random.default_rng(i).normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-3.0 * i, forces=forces)
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An exported model, a module and structures."""
    folder = tmp_path_factory.mktemp("command")
    model = common.pet_ssh(common.energy_info(gradients=True))
    model.export().save(str(folder / "model.pt"))
    ase.io.write(folder / "structures.xyz", labelled())
    return folder, model


def test_three_lines_of_python(files, tmp_path):
    folder, model = files
    report = symmetry_report(model, folder / "structures.xyz", tmp_path / "out", **QUICK)
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()}
    written = json.loads((out / "summary.json").read_text())["files"]
    assert {path.split("/")[0] for path in written} == names
    assert names >= {"equivariance.csv", "characters.csv", "summary.json", "index.html"}
    assert {p.name for p in (out / "figures").glob("*.png")} >= {
        "spectrum.png", "heatmap.png", "distribution.png",
    }  # fmt: skip
    table = pd.read_csv(out / "equivariance.csv")
    assert list(table.columns[:11]) == [
        "structure", "target", "detail", "o3_lambda", "o3_sigma", "sample_kind", "A",
        "A_stderr", "error", "error_averaged", "unit",
    ]  # fmt: skip
    assert set(table.target) == {"energy", "conservative_force"}
    assert (table.A > 10 * table.noise).all()
    assert np.isfinite(table.error).all()
    characters = pd.read_csv(out / "characters.csv")
    embedding = characters[characters.group == "GE"].set_index("channel").share
    assert embedding["(0,-)"].max() < 1e-10  # a single edge makes no pseudotensor
    assert embedding["(1,-)"].max() < 1e-10
    assert report.summary["architecture"] == "pet_ssh"
    assert not [p for p in tmp_path.iterdir() if p.name != "out"]


def test_errors_are_those_of_the_model(files):
    _, model = files
    report = symmetry_report(model, labelled(), targets=["energy"], **QUICK)
    predicted = [float(common.predict(model, [a], dtype=torch.float32)) for a in labelled()]
    expected = [abs(p + 3.0 * i) for i, p in enumerate(predicted)]
    found = report.equivariance[report.equivariance.target == "energy"].error
    assert np.allclose(found, expected, rtol=1e-4)


def test_truth_of_a_file_is_in_spherical_order(files):
    _, model = files
    engine = open_engine(model, None, ())
    (atoms,) = labelled(1)
    truth = {b.target: v for b, v in of_atoms(atoms, engine.blocks).items()}
    forces = torch.from_numpy(atoms.get_forces())
    assert torch.equal(truth["conservative_force"][:, :, 0], forces.roll(-1, dims=1))
    assert truth["energy"].shape == (1, 1, 1)


def mtt(*arguments, cwd):
    return run("metatrain", *arguments, cwd=cwd)


def test_command_on_an_exported_model(files, tmp_path):
    folder, _ = files
    options = ["--lambda-max", 2, "--degree", 4, "--dtype", "float32"]
    call = ["symmetry", folder / "model.pt", folder / "structures.xyz", "-o", "out"]
    done = mtt(*call, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "index.html").is_file()
    assert "energy, per atom" in done.stdout
    assert "open first: out/index.html" in done.stdout
    before = (tmp_path / "out" / "summary.json").read_bytes()
    again = mtt(*call, *options, cwd=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stdout + again.stderr
    assert (tmp_path / "out" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "column", "first"),
    [("C4v", "chi_irrep", "A1"), ("SO(2):1,1,0", "chi_m", 0), ("SO(3)", "chi_lambda", 0)],
)
def test_command_with_a_group(files, tmp_path, caplog, name, column, first):
    folder, _ = files
    parser = argparse.ArgumentParser()
    symmetry.add_arguments(parser)
    out = tmp_path / "out"
    call = [folder / "model.pt", folder / "structures.xyz", "-o", out, "--group", name]
    limits = [] if name == "C4v" else ["--lambda-max", 3]
    if name == "SO(3)":  # of which a slow machine would get too few rotations
        limits += ["--degree", 8]
    with caplog.at_level("INFO"):
        symmetry.run(parser.parse_args([*map(str, [*call, *limits]), "--budget", "10s"]))
    summary = json.loads((out / "summary.json").read_text())
    group = group_by_name(name)
    assert summary["group"] == group.name
    table = pd.read_csv(out / "characters.csv")
    rows = table[table.channel != "residual"]
    assert rows[column].iloc[0] == first
    assert set(rows.channel) == {str(irrep) for irrep in group.irreps(3)}
    for _, own in table.groupby("probe"):
        # of SO(3), some may come from the grid and others from circles
        error = float((own.stderr**2).sum() ** 0.5)
        assert abs(own.share.sum() - 1) <= 4 * error + 1e-6
    assert "averaging over" in caplog.text
    assert group.name in caplog.text
    page = (out / "index.html").read_text("utf-8")
    assert f"irreps of {group.name}" in page
    assert f"under the group {group.name}" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["energie"]}, "energy"),
        ({"probes": ["gnn_layers.0.edge_embeder"]}, "gnn_layers.0.edge_embedder"),
        ({"lambda_max": -1}, "lambda_max"),
        ({"estimator": "magic"}, "estimator"),
        ({"structures": "nowhere.xyz"}, "nowhere.xyz"),
        ({"model": "nowhere.ckpt"}, "nowhere.ckpt"),
        ({"structures": [ase.Atoms("Au")]}, "Au"),
        ({"structures": []}, "structures"),
        ({"max_structures": 0}, "max_structures"),
    ],
)
def test_bad_input_writes_nothing(files, tmp_path, changes, message):
    folder, model = files
    arguments = {"model": model, "structures": folder / "structures.xyz"} | QUICK | changes
    with pytest.raises(ValueError, match=message) as error:
        symmetry_report(output=tmp_path / "out", **arguments)
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def report(files):
    return symmetry_report(files[1], labelled(1), **QUICK)


def test_a_failure_while_writing_leaves_the_old_results(
    files, report, tmp_path, monkeypatch
):
    _, model = files
    out = tmp_path / "out"
    write(report, out)
    before = (out / "summary.json").read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("metatrain_symmetry.report.folder.write_page", fail)
    with pytest.raises(OSError, match="no space left"):
        symmetry_report(model, labelled(1), out, overwrite=True, **QUICK)
    assert (out / "summary.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_while_replacing_leaves_the_old_results(report, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(report, out)
    before = (out / "summary.json").read_bytes()
    replace = os.replace

    def fail(source, target):
        if target == out and (source / "index.html").is_file() and out not in gone:
            gone.append(out)
            raise OSError("no space left")
        replace(source, target)

    gone = []
    monkeypatch.setattr("metatrain_symmetry.io.os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write(report, out)
    assert (out / "summary.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_only_results_are_replaced(files, report, tmp_path):
    _, model = files
    out = tmp_path / "out"
    write(report, out)
    link = tmp_path / "link"
    link.symlink_to(out)
    symmetry_report(model, labelled(1), link, overwrite=True, **QUICK)
    assert link.is_symlink()
    (out / "model.ckpt").touch()
    with pytest.raises(ValueError, match=r"model\.ckpt"):
        symmetry_report(model, labelled(1), out, overwrite=True, **QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {"link", "out"}


def test_nan_names_structure_and_layer():
    broken = common.pet_ssh(common.energy_info())
    with torch.no_grad():
        broken.backend.gnn_layers[1].compress[0].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"structure 0.*gnn_layers\.1"):
        symmetry_report(broken, labelled(1), **QUICK)


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")],
)
def test_an_interruption_is_one_line(files, tmp_path, name, code, word):
    import signal as signals

    folder, _ = files
    command = [sys.executable, "-u", "-m", "metatrain_symmetry", "symmetry"]
    command += [folder / "model.pt", folder / "structures.xyz", "-o", "out"]
    process = subprocess.Popen(
        [*map(str, command), "--degree", "20", "--budget", "none"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # a shell that runs the tests in the background has SIGINT ignored, and so would we
        preexec_fn=lambda: signals.signal(signals.SIGINT, signals.SIG_DFL) and None,
    )
    seen = b""
    while b"%" not in seen:  # of the progress
        part = process.stdout.read1(4096)
        assert part, seen.decode()
        seen += part
    process.send_signal(getattr(signals, name))
    rest = process.communicate(timeout=60)[0].decode()
    assert process.returncode == code, rest
    assert f"mtt symmetry was {word}: it leaves nothing half-written" in rest
    assert "Traceback" not in rest
    # and keeps what it has for --continue
    kept = tmp_path / ".out-kept"
    assert list(tmp_path.iterdir()) == [kept]
    assert f"kept in '{kept}': the same command with --continue" in rest


def test_what_several_processes_do_not_share_is_done_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    parser = argparse.ArgumentParser()
    symmetry.add_arguments(parser)
    with pytest.raises(ValueError, match="the folder of a run, is work for one process"):
        symmetry.run(parser.parse_args([str(tmp_path)]))
    with pytest.raises(ValueError, match="averaged model is work for one process"):
        symmetrize.run(argparse.Namespace())


def test_every_argument_has_a_help():
    parser = argparse.ArgumentParser()
    symmetry.add_arguments(parser)
    assert all(action.help for action in parser._actions)
