"""``make quickstart``, on a configuration small enough for a test."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from common import SMALL
from omegaconf import DictConfig, OmegaConf
from synthetic import make_report

from examples.quickstart.before_after import compare
from examples.quickstart.run import (
    Stopped,
    error_message,
    prepare,
    with_absolute_paths,
)
from metatrain_symmetry.cli.quiet import quiet
from metatrain_symmetry.measure.results import Report


ROOT = Path(__file__).parents[1]
# one line of the table: a name with its unit, then the errors of the three parts
ROW = re.compile(r"^(.+, meV/(?:Å|atom)) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)
# a line of the second table: A, error and share, before and after
PAIRS = re.compile(r"^(\S+ \(\d,[+-]\), \S+)((?: +[\d.]+(?: %)?){6})$", re.MULTILINE)
# what libraries say of themselves
NOISE = ("Warning", "deprecated", "empty unit")


@pytest.fixture
def config(tmp_path) -> DictConfig:
    frames = ase.io.read(ROOT / "data" / "xtb_molecules.xyz", ":60")
    ase.io.write(tmp_path / "few.xyz", sorted(frames, key=len)[:24])
    config = OmegaConf.load(ROOT / "configs" / "quickstart.yaml")
    config.training_set.systems.read_from = "few.xyz"
    config.architecture.model |= SMALL
    config.architecture.training.num_epochs = 2
    config.architecture.training.batch_size = 4
    return config


def quickstart(config: DictConfig, folder: Path) -> subprocess.CompletedProcess:
    OmegaConf.save(config, folder / "small.yaml")
    command = ["-m", "examples.quickstart.run"]
    command += ["--config", "small.yaml", "--output-dir", "run"]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_table_and_files(config, tmp_path):
    result = quickstart(config, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = ROW.findall(result.stdout)
    assert [row[0] for row in rows] == [
        "energy, meV/atom",
        "forces (gradient), meV/Å",
        "forces (direct), meV/Å",
    ]
    for _, *errors in rows:
        assert all(math.isfinite(float(e)) and float(e) > 0 for e in errors)
    run = tmp_path / "run"
    for name in ("model.pt", "model.ckpt", "train.log", "options.yaml", "purified.ckpt",
                 "symmetry-report/index.html", "symmetry-purified/index.html",
                 "purified-report/curve.csv"):  # fmt: skip
        assert (run / name).stat().st_size > 0
    pairs = dict(row[:2] for row in PAIRS.findall(result.stdout))
    assert list(pairs) == [
        "energy (0,+), meV/atom",
        "conservative_force (1,+), meV/Å",
        "non_conservative_force (1,+), meV/Å",
    ]
    for text in pairs.values():
        A, _, error, _, share, _ = map(float, text.replace("%", "").split())
        assert error > 0
        assert 0 <= A
        assert 0 <= share <= 100
    check_report(run / "symmetry-report", result.stdout)
    # of the terminal: bars of a file, what to open, no noise of other libraries
    assert "2/2 epoch" in result.stderr
    assert "\r" not in result.stderr
    assert not [word for word in NOISE if word in result.stdout + result.stderr]
    assert "mtt symmetry run/model.ckpt" in result.stdout
    (page,) = run.glob("outputs/*/*/symmetry/index.html")
    last = result.stdout.strip().splitlines()[-4:]
    assert last[0] == "Open first   run/symmetry-report/index.html"
    assert last[2] == f"then         {page.relative_to(tmp_path)}"
    (record,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    assert record.stat().st_size > 0
    # nothing of metatrain's own lands beside the run folder
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "few.xyz",
        "run",
        "small.yaml",
    ]


def check_report(folder: Path, output: str) -> None:
    """It has layers, and the terminal repeats what it says of its convergence."""
    report = Report.load(folder)
    groups = set(report.characters["group"])
    assert {"GE", "EE", "transformer", "GNN", "BBF", "LLF", "predictions"} <= groups
    assert f"spectra: {report.summary['convergence_text']}\n" in output
    assert report.summary["model"] == "run/model.ckpt"


def test_failure_is_one_sentence(config, tmp_path):
    config.training_set.systems.read_from = "missing.xyz"
    result = quickstart(config, tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr + result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("quickstart: training stopped with exit code 1: ")
    assert "missing.xyz" in last


def test_configurations_it_cannot_use(config, tmp_path):
    config.test_set = 0.0
    result = quickstart(config, tmp_path)
    assert result.returncode == 2
    assert "must give validation_set and test_set as shares" in result.stderr
    with pytest.raises(Stopped, match="there is no options file"):
        prepare(tmp_path / "nowhere.yaml", tmp_path / "run")


def test_error_message_without_metatrain_s_own():
    assert error_message("Traceback:\n  File\nKeyError: 'x'\n") == "KeyError: 'x'"
    assert error_message("") == "no output"


def test_only_data_paths_become_absolute():
    options = {
        "training_set": [{"systems": "a.xyz", "targets": {"energy": {"key": "e"}}}],
        "validation_set": {"systems": {"read_from": "/b.xyz"}},
        "test_set": 0.1,
    }
    assert with_absolute_paths(options) == {
        "training_set": [
            {
                "systems": str(Path("a.xyz").absolute()),
                "targets": {"energy": {"key": "e"}},
            }
        ],
        "validation_set": {"systems": {"read_from": "/b.xyz"}},
        "test_set": 0.1,
    }


def test_before_and_after_are_of_the_same_structures():
    before, after = make_report(structures=6), make_report(structures=6)
    for report, dropped in ((before, 0), (after, 5)):
        table = report.equivariance
        report.equivariance = table[table["structure"] != dropped].copy()
    after.equivariance["A_per_atom"] /= 2
    head, names, *lines = compare(before, after).splitlines()
    assert head.startswith("4 test structures")
    assert names.split() == ["before", "after"] * 3
    assert lines[1].startswith("non_conservative_force (1,+), meV/Å ")
    A, half, error, same, share, less = map(float, lines[1].replace("%", "").split()[3:])
    rows = before.equivariance.query(
        "target == 'non_conservative_force' and 0 < structure < 5"
    )
    assert len(rows) == 4
    rms = {name: (rows[name] ** 2).mean() for name in ("A", "error", "error_averaged")}
    assert pytest.approx(1000 * rms["A"] ** 0.5, abs=0.06) == A
    assert half == pytest.approx(A / 2, abs=0.06)
    assert error == same == pytest.approx(1000 * rms["error"] ** 0.5, abs=0.06)
    expected = 100 * rms["A"] / (rms["A"] + rms["error_averaged"])
    assert share == pytest.approx(expected, abs=0.06)
    assert less < share
    assert lines[0].startswith("energy (0,+), meV/atom ")


NOISY = """
import os, sys, warnings
from metatrain_symmetry.cli.quiet import quiet
with quiet():
    os.write(2, b"[W1 model.cpp:3] Warning: output 'energy' has an empty unit. Consider\\n")
    os.write(2, b"[W1 model.cpp:3] Warning: something else\\n")
    warnings.warn("`torch.jit.script` is deprecated. Please", DeprecationWarning)
    warnings.warn("register_new_resolver() is deprecated and", UserWarning)
    warnings.warn("of ours", UserWarning)
    print("python", file=sys.stderr)
os.write(2, b"[W1 model.cpp:3] Warning: output 'x' has an empty unit. After\\n")
print("after", file=sys.stderr)
"""


def test_only_what_is_listed_is_hidden():
    process = subprocess.run(
        [sys.executable, "-W", "always", "-c", NOISY], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    for line in ("something else", "UserWarning: of ours", "python", "After", "after"):
        assert line in process.stderr
    for line in ("'energy'", "torch.jit", "register_new_resolver"):
        assert line not in process.stderr
    assert process.stderr.rstrip().endswith("after")


def test_errors_pass_through_the_filter():
    before = sys.stderr
    with pytest.raises(KeyError), quiet():
        raise KeyError("x")
    assert sys.stderr is before
