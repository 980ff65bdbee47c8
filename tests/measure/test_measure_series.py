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
        "target": "",
        "detail": "",
        "o3_lambda": None,
        "o3_sigma": None,
    }
    equivariance = dict.fromkeys(COLUMNS["equivariance"], 0.5) | {
        "epoch": epoch,
        "target": "energy",
        "detail": "",
        "o3_lambda": 0,
        "o3_sigma": 1,
        "sample_kind": "system",
        "per_atom": True,
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


def test_a_sudden_rise_is_reported_once():
    found = transitions(history((10, 4e-3), (20, 3e-2), (40, 0.2)), NOTHING)
    assert len(found) == 1
    event = found.iloc[0]
    assert (event.epoch, event.first_epoch, event.channel) == (40, 10, "(1,+)")
    assert event.factor == pytest.approx(50)
    assert event.text == (
        "a, layer: vector (1,+) rose from 0.4 % to 20 % between epochs 10 and 40"
    )
    later = history((10, 4e-3), (20, 3e-2), (40, 0.2), (60, 0.3))
    assert len(transitions(later, found)) == 0
    again = history((10, 4e-3), (20, 3e-2), (40, 0.2), (60, 0.01))
    assert transitions(again, found).first_epoch.tolist() == [40]


def test_what_changes_places_is_named_together():
    """Direct forces: the scalar falls tenfold when the vector has risen long before."""
    scalar = history((12, 0.9), (14, 0.6), (17, 0.05), channel="(0,+)", chi=0)
    vector = history((12, 0.05), (14, 0.35), (17, 0.9))
    small = history((12, 1e-4), (14, 3e-3), (17, 2e-2), channel="(2,-)", chi=2)
    small.chi_sigma = -1  # pseudo irreps are of note from one percent on
    table = pd.concat([scalar, vector, small])
    early = transitions(table[table.epoch < 17], NOTHING)
    assert len(early) == 0
    found = transitions(table, early)
    assert found.channel.tolist() == ["(0,+)", "(1,+)", "(2,-)"]
    assert found.text.nunique() == 1
    assert found.text[0] == (
        "a, layer: scalar (0,+) fell from 90 % to 5 %, vector (1,+) rose from 5 % to 90 %, "
        "(2,-) rose from 0.01 % to 2 % between epochs 12 and 17"
    )
    slower = history((12, 0.3), (14, 0.5), (17, 0.9))
    found = transitions(pd.concat([scalar, slower]), NOTHING)
    assert found.channel.tolist() == ["(0,+)", "(1,+)"]
    assert "vector (1,+) rose from 30 % to 90 %" in found.text[0]
    # both were reported
    more = pd.concat([scalar, slower, history((20, 0.95))])
    assert len(transitions(more, found)) == 0


@pytest.mark.parametrize(
    ("shares", "options"),
    [
        (((10, 0.1), (40, 0.9)), {}),  # less than tenfold
        (((10, 0.01), (41, 0.5)), {}),  # slow
        (((0, 0.01), (2, 0.5)), {}),  # the untrained model
        (((10, 1e-4), (40, 0.05)), {}),  # of no note
        (((10, 0.01), (40, 0.5)), {"stderr": 0.4}),  # within the errors
        (((10, 0.01), (40, 0.5)), {"stderr": float("nan")}),  # no error bar
        (((10, -0.01), (40, 0.5)), {}),  # unknown before
        (((10, 0.01), (40, 0.5)), {"channel": "residual", "chi": None}),
    ],
)
def test_what_is_no_transition(shares, options):
    assert len(transitions(history(*shares, **options), NOTHING)) == 0


def test_a_sudden_fall():
    found = transitions(history((20, 0.5), (50, 0.01)), NOTHING)
    assert "fell from 50 % to 1 %" in found.text[0]
