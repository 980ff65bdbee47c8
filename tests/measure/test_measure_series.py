"""The tables of a training: appended, cut short, continued; sudden transitions."""

import pandas as pd
import pytest

from metatrain_symmetry.measure.series import COLUMNS, Series, append, rewrite
from metatrain_symmetry.measure.transitions import transitions


def rows(epoch, share=0.5, channel="(1,+)", stderr=0.0, chi=1):
    """All tables of one measurement."""
    character = dict.fromkeys(COLUMNS["characters"], 0.0) | {
        "epoch": epoch,
        "probe": "a, layer",  # a comma has to survive
        "chi_lambda": chi,
        "chi_sigma": 1,
        "share": share,
        "stderr": stderr,
        "channel": channel,
        "kind": "layer",
        "group": "EE",
        "estimator": "grid",
        "converged": True,
    }
    equivariance = dict.fromkeys(COLUMNS["equivariance"], 0.5) | {
        "epoch": epoch,
        "target": "energy",
        "unit": "eV",
        "estimator": "grid",
    }
    cost = dict.fromkeys(COLUMNS["measurements"], 1) | {"epoch": epoch, "note": "x; y"}
    tables = {"characters": [character], "equivariance": [equivariance]}
    tables |= {"measurements": [cost], "events": []}
    return {n: pd.DataFrame(t, columns=COLUMNS[n]) for n, t in tables.items()}


def test_appended_and_read_back(tmp_path):
    for epoch in (0, 3):
        append(tmp_path / "s", rows(epoch))
    series = Series.load(tmp_path / "s")
    assert series.epochs == [0, 3]
    assert series.characters.probe.tolist() == ["a, layer"] * 2
    assert len(series.equivariance) == 2
    assert len(series.events) == 0


@pytest.mark.parametrize("table", ["characters", "equivariance", "measurements"])
@pytest.mark.parametrize("kept", [0, 1, 7, -1])
def test_a_run_killed_while_it_writes_loses_only_that_epoch(tmp_path, table, kept):
    append(tmp_path, rows(0))
    names = sorted(rows(0), key=lambda name: name == "measurements")
    before = {name: tmp_path / f"{name}.csv" for name in names}
    old = {n: p.read_text() if p.is_file() else "" for n, p in before.items()}
    append(tmp_path, rows(1))
    # what was written after the cut is not there
    reached = names.index(table)
    for name in names[reached:]:
        new = before[name].read_text()[len(old[name]) :] if before[name].is_file() else ""
        cut = new[:kept] if name == table else ""
        before[name].write_text(old[name] + cut)
    assert Series.load(tmp_path).epochs == [0]
    assert set(Series.load(tmp_path).characters.epoch) == {0}
    # and it can go on
    rewrite(tmp_path, Series.load(tmp_path))
    append(tmp_path, rows(2))
    assert Series.load(tmp_path).epochs == [0, 2]


def test_no_series(tmp_path):
    with pytest.raises(FileNotFoundError, match="no measurements"):
        Series.load(tmp_path)


def history(*shares, stderr=0.0, channel="(1,+)", chi=1):
    tables = [rows(e, s, channel, stderr, chi)["characters"] for e, s in shares]
    return pd.concat(tables, ignore_index=True)


NOTHING = pd.DataFrame(columns=COLUMNS["events"])


def test_a_sudden_rise_is_told_once():
    found = transitions(history((10, 1e-4), (20, 3e-4), (40, 5e-3)), NOTHING)
    assert len(found) == 1
    event = found.iloc[0]
    assert (event.epoch, event.first_epoch, event.channel) == (40, 10, "(1,+)")
    assert event.factor == pytest.approx(50)
    assert "rose from 1.0e-04 to 5.0e-03 between epochs 10 and 40" in event.text
    later = history((10, 1e-4), (20, 3e-4), (40, 5e-3), (60, 6e-3))
    assert len(transitions(later, found)) == 0
    again = history((10, 1e-4), (20, 3e-4), (40, 5e-3), (60, 6e-2))
    assert transitions(again, found).first_epoch.tolist() == [40]


@pytest.mark.parametrize(
    ("shares", "options"),
    [
        (((10, 1e-3), (90, 9e-3)), {}),  # less than tenfold
        (((1, 1e-4), (40, 5e-3)), {}),  # slow
        (((0, 1e-4), (2, 5e-3)), {}),  # the untrained model
        (((10, 1e-6), (40, 5e-4)), {}),  # of no note
        (((10, 1e-4), (40, 5e-3)), {"stderr": 4e-3}),  # within the errors
        (((10, -1e-4), (40, 5e-3)), {}),  # unknown before
        (((10, 1e-4), (40, 5e-3)), {"channel": "residual", "chi": None}),
    ],
)
def test_what_is_no_transition(shares, options):
    assert len(transitions(history(*shares, **options), NOTHING)) == 0


def test_a_sudden_fall():
    found = transitions(history((10, 0.5), (50, 0.01)), NOTHING)
    assert "fell from 5.0e-01 to 1.0e-02" in found.text[0]
