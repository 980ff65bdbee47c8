"""``make quickstart``, on a configuration small enough for a test."""

import math
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from omegaconf import DictConfig, OmegaConf

from metatrain_symmetry.cli.quickstart import (
    Stopped,
    error_message,
    prepare,
    with_absolute_paths,
)


ROOT = Path(__file__).parents[1]
# one line of the table: a name with its unit, then the errors of the three parts
ROW = re.compile(r"^(.+, meV(?:/Å)?) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)


@pytest.fixture
def config(tmp_path) -> DictConfig:
    frames = ase.io.read(ROOT / "data" / "xtb_molecules.xyz", ":24")
    ase.io.write(tmp_path / "few.xyz", frames)
    config = OmegaConf.load(ROOT / "configs" / "quickstart.yaml")
    config.training_set.systems.read_from = "few.xyz"
    config.architecture.training.num_epochs = 2
    config.architecture.training.batch_size = 4
    return config


def quickstart(config: DictConfig, folder: Path) -> subprocess.CompletedProcess:
    OmegaConf.save(config, folder / "small.yaml")
    command = ["-m", "metatrain_symmetry.cli.quickstart"]
    command += ["--config", "small.yaml", "--output-dir", "run"]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_table_and_files(config, tmp_path):
    result = quickstart(config, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = ROW.findall(result.stdout)
    assert [row[0].split(",")[0] for row in rows] == [
        "energy per atom",
        "forces (gradient)",
        "forces (direct)",
    ]
    for _, *errors in rows:
        assert all(math.isfinite(float(e)) and float(e) > 0 for e in errors)
    assert "2/2" in result.stderr  # the progress bar reached the last epoch
    assert "What to try next" in result.stdout
    for name in ("model.pt", "model.ckpt", "train.log", "options.yaml"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    (page,) = (tmp_path / "run").glob("outputs/*/*/symmetry/index.html")
    assert str(page) in result.stdout
    row = re.search(r"^non_conservative_force \(1,\+\), \S+ (.*)$", result.stdout, re.M)
    numbers = [float(number) for number in row[1].split()]
    assert len(numbers) == 4
    assert all(number > 0 for number in numbers)
    for name in ("symmetry-before/index.html", "symmetry-after/index.html",
                 "purified.ckpt", "purified-report/curve.csv"):  # fmt: skip
        assert (tmp_path / "run" / name).stat().st_size > 0
    (record,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    assert record.stat().st_size > 0
    # nothing of metatrain's own lands beside the run folder
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "few.xyz",
        "run",
        "small.yaml",
    ]


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
