"""``mtt symmetry RUN_DIR``."""

import pytest
from synthetic_series import EPOCHS, make_series
from training_common import mtt

from metatrain_symmetry.measure.series import rewrite


@pytest.fixture
def run(tmp_path):
    """A folder in which a training was started; its run is still going on."""
    folder = tmp_path / "outputs/2026-01-02/10-00-00/symmetry"
    rewrite(folder, make_series(EPOCHS[:3], layers={}))
    with (folder / "characters.csv").open("a") as file:
        file.write("9,half a li")
    return tmp_path


@pytest.mark.parametrize("below", ["", "outputs/2026-01-02/10-00-00"])
def test_a_run_is_drawn_where_it_is(run, below, monkeypatch):
    monkeypatch.chdir(run)
    mtt("symmetry", run / below)
    folder = run / "outputs/2026-01-02/10-00-00/symmetry"
    assert "plotly" in (folder / "index.html").read_text()
    assert list((folder / "figures").glob("epochs-*.png"))
    # a training that goes on writes to these tables: they are left alone
    assert (folder / "characters.csv").read_text().endswith("half a li")


def test_elsewhere(run, monkeypatch):
    monkeypatch.chdir(run)
    mtt("symmetry", run, "-o", "here")
    assert (run / "here/index.html").is_file()
    assert (run / "here/measurements.csv").is_file()
    mtt("symmetry", run, "-o", "here", expect=1)
    assert "is there already" in (run / "error.log").read_text()
    mtt("symmetry", run, "-o", "here", "--overwrite")


def test_a_folder_without_a_series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mtt("symmetry", tmp_path, expect=1)
    assert "holds no run that was watched" in (tmp_path / "error.log").read_text()


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mtt("symmetry", "model.ckpt", expect=1)
    assert "give STRUCTURES too" in (tmp_path / "error.log").read_text()
    mtt("symmetry", "model.ckpt", "molecules.xyz", expect=1)
    assert "give -o DIR too" in (tmp_path / "error.log").read_text()
