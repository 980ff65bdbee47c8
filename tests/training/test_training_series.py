"""Trainings that are watched: nothing is changed, nothing is lost."""

import csv
import json
import struct
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from monitor_common import SYMMETRY, inside, options, train
from synthetic_series import make_series

from metatrain_symmetry.measure.series import Series
from metatrain_symmetry.training import wandb_sink
from metatrain_symmetry.training.wandb_sink import in_words


BLOCK = 32768
WANDB = {"mode": "offline", "project": "tests", "name": "watched"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training twice, with data-loader workers; one of them is watched."""
    folder = tmp_path_factory.mktemp("runs")
    plain, _ = train(folder / "plain", options(num_workers=2))
    watched = options(SYMMETRY, num_workers=2) | {"wandb": WANDB}
    run, log = train(folder / "watched", watched)
    return plain, run, log


def tensors(content, types, path=""):
    """All tensors of a checkpoint by their path."""
    if isinstance(content, torch.Tensor):
        if path.endswith("type_to_index"):
            content = content[types]  # metatrain leaves the other entries uninitialised
        yield path, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from tensors(value, types, f"{path}/{key}")
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from tensors(value, types, f"{path}/{index}")


@pytest.mark.parametrize("name", ["model.ckpt", *(f"model_{i}.ckpt" for i in range(4))])
def test_checkpoints_are_identical_to_the_last_bit(runs, name):
    pair = []
    for run in runs[:2]:
        checkpoint = torch.load(run / name, weights_only=False)
        assert "symmetry" not in checkpoint["train_hypers"]
        types = checkpoint["model_data"]["dataset_info"].atomic_types
        pair.append(dict(tensors(checkpoint, types)))
    assert list(pair[0]) == list(pair[1])
    assert len(pair[0]) > 100
    assert any("optimizer" in path for path in pair[0])
    for path, tensor in pair[0].items():
        assert tensor.numpy().tobytes() == pair[1][path].numpy().tobytes(), path
    # everything that is no tensor, as it was pickled
    with ZipFile(runs[0] / name) as one, ZipFile(runs[1] / name) as two:
        (pickled,) = (member for member in one.namelist() if member.endswith("/data.pkl"))
        assert one.read(pickled) == two.read(pickled)


def test_every_epoch_is_there(runs):
    _, run, log = runs
    series = Series.load(run / "symmetry")
    assert series.epochs == [0, 1, 2, 3, 4]
    for table in (series.equivariance, series.characters):
        assert table.groupby("epoch").size().nunique() == 1
    targets = ["energy", "conservative_force", "non_conservative_force"]
    assert series.equivariance.target.unique().tolist() == targets
    assert log.count("] - Symmetry after") == 4
    assert log.count("] - Symmetry before training") == 1
    assert (series.equivariance.A > 0).all()
    # the weights change, and with them what is measured
    assert series.equivariance.groupby("target").A.nunique().eq(5).all()
    assert (
        json.loads((run / "symmetry/summary.json").read_text())["settings"]
        == (series.summary["settings"])
    )


def test_errors_are_those_of_metatrain(runs):
    _, run, _ = runs
    series = Series.load(run / "symmetry")
    # all three structures of the validation set
    assert (series.equivariance.n_all == 3).all()
    with (run / "train.csv").open() as file:
        names, _, *lines = csv.reader(file)
    columns = {
        "energy": "validation energy RMSE (per atom)",
        "non_conservative_force": "validation non_conservative_force RMSE (per atom)",
        "conservative_force": "validation forces RMSE",
    }
    for target, column in columns.items():
        ours = series.equivariance[series.equivariance.target == target]
        for line in lines:
            theirs = float(line[names.index(column)]) / 1000
            here = float(ours[ours.epoch == int(line[0]) + 1].rmse_all.iloc[0])
            assert here == pytest.approx(theirs, rel=2e-3)


def test_ratios_are_those_of_the_columns(runs):
    table = Series.load(runs[1] / "symmetry").equivariance
    assert (table.A_over_rmse == table.A / table.rmse).all()
    whole = table[table.n_structures == table.n_all]
    assert (whole.rmse == whole.rmse_all).all()


def test_page_without_figures(runs):
    """The page is drawn once; figures are drawn by `mtt symmetry RUN_DIR`."""
    _, run, log = runs
    assert (run / "symmetry/index.html").stat().st_size > 10_000
    assert not (run / "symmetry/figures").exists()
    (line,) = [line for line in log.splitlines() if "Figures: `mtt symmetry" in line]
    assert "5 measurements" in line
    assert "Page (drawn in" in line


def test_weights_and_biases(runs):
    """One section: scalars over completed epochs, heatmaps, a table, the page."""
    found, metrics = read_back(runs[1].parents[2] / "wandb")
    series = Series.load(runs[1] / "symmetry")
    names = []
    for row in series.equivariance[series.equivariance.epoch == 0].itertuples():
        unit = row.unit.replace("/", " per ")
        for column, word in (("A", "A"), ("rmse", "RMSE"), ("A_over_rmse", "A over RMSE")):
            tail = "" if column == "A_over_rmse" else f" [{unit}]"
            names.append((f"symmetry/{row.target} (", column, f"{word}{tail}", row.target))
    ours = {key for _, content in found for key in content if "symmetry" in key}
    scalars = {key for key in ours if key.endswith(("]", "over RMSE"))}
    rest = {"symmetry/epoch", "symmetry/heatmaps", "symmetry/shares", "symmetry/page"}
    assert ours == scalars | rest
    assert all(key.startswith("symmetry/") and key.count("/") == 1 for key in ours)
    # three outputs: at most twelve panels, since the axis has none of its own
    assert len(scalars) == len(names) == 9
    assert len(ours - {"symmetry/epoch"}) <= 12
    assert metrics["symmetry/epoch"].options.hidden
    for key in scalars:
        assert metrics[key].step_metric == "symmetry/epoch"
    # every measurement once, in order, the untrained model as the first point
    rows = [content for _, content in found if "symmetry/epoch" in content]
    assert [content["symmetry/epoch"] for content in rows] == [0, 1, 2, 3, 4]
    for content in rows:
        epoch = content["symmetry/epoch"]
        table = series.equivariance[series.equivariance.epoch == epoch]
        for begin, column, end, target in names:
            (key,) = [k for k in scalars if k.startswith(begin) and k.endswith(f") {end}")]
            (value,) = table[table.target == target][column]
            assert content[key] == pytest.approx(value)


def test_weights_and_biases_has_everything_of_metatrain_too(runs):
    found, _ = read_back(runs[1].parents[2] / "wandb")
    steps = [step for step, _ in found]
    # metatrain has one step per epoch; ours needs one more for the untrained model
    assert steps == [0, 1, 2, 3, 4]
    for step, content in found:
        assert ("training/loss" in content) == (step < 4)
        assert ("validation/energy RMSE (per atom) [meV]" in content) == (step < 4)


def test_media_of_weights_and_biases(runs):
    found, _ = read_back(runs[1].parents[2] / "wandb")
    series = Series.load(runs[1] / "symmetry")
    pictures = [content["symmetry/heatmaps"] for _, content in found]
    probes = dict.fromkeys(series.characters.probe)
    for picture in pictures:
        assert picture["_type"] == "images/separated"
        assert set(picture["captions"]) == set(probes)
        assert picture["captions"][:3] == [
            "energy (0,+)", "conservative_force (1,+)", "non_conservative_force (1,+)",
        ]  # fmt: skip
    widths = [picture["width"] for picture in pictures]
    assert widths == sorted(set(widths))  # grows
    first, last = found[0][1], found[-1][1]
    assert "symmetry/shares" not in first
    assert last["symmetry/shares"]["nrows"] == len(series.characters)
    assert last["symmetry/page"]["_type"] == "html-file"
    (path,) = (runs[1].parents[2] / "wandb").glob(
        f"offline-run-*/files/{last['symmetry/shares']['path']}"
    )
    table = json.loads(path.read_text())
    columns = ["epoch", "probe", "group", "irrep", "share", "standard error", "shown"]
    assert table["columns"] == columns
    row = dict(zip(columns, table["data"][0], strict=True))
    expected = series.characters.iloc[0]
    assert row["share"] == pytest.approx(expected.share)
    assert row["shown"] == in_words(expected.share, expected.stderr)


def test_shares_in_words():
    assert in_words(0.123, 0.01) == "0.12 ± 0.01"
    assert in_words(1e-3, 6e-4) == "below 0.002"
    assert in_words(-1e-3, 6e-4) == "below 0.001"
    assert in_words(0.5, float("nan")) == "0.5, no error bar"
    assert in_words(float("nan"), 0.1) == "not measured"


def test_a_long_series_fits_a_table(monkeypatch):
    series = make_series(list(range(40)))
    monkeypatch.setattr(wandb_sink, "MAX_ROWS", 1000)
    table = wandb_sink.shares(series)
    assert 500 < len(table) <= 1000
    assert table.epoch.max() == 39
    assert set(np.diff(sorted(set(table.epoch)))) == {len(series.characters) // 1000 + 1}


def records(data):
    """Records of W&B's log: blocks of 32 KiB after a header, as LevelDB writes its log."""
    found, at = b"", 7
    while at + 7 <= len(data):
        if (room := BLOCK - at % BLOCK) < 7:
            at += room
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        found += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield found
            found = b""


def read_back(folder):
    """Steps and values of the only run in a folder, and its metrics by name."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("offline-run-*/*.wandb")
    found, metrics = [], {}
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "metric":
            metrics[record.metric.name] = record.metric
        if kind == "history":
            content = {}
            for item in record.history.item:
                *outer, last = item.nested_key or [item.key]
                place = content
                for key in outer:
                    place = place.setdefault(key, {})
                place[last] = json.loads(item.value_json)
            found.append((record.history.step.num, content))
    return found, metrics


def test_restart_goes_on_without_gaps_or_doubles(runs, tmp_path):
    _, before, _ = runs
    with inside(tmp_path):
        pass
    checkpoint = before / "model_2.ckpt"  # after three epochs; one more was measured
    run, log = train(
        tmp_path, options(SYMMETRY, num_epochs=6), "--restart", str(checkpoint)
    )
    series = Series.load(run / "symmetry")
    assert series.epochs == [0, 1, 2, 3, 4, 5, 6]
    assert series.equivariance.groupby(["epoch", "target"]).size().eq(1).all()
    old = Series.load(before / "symmetry").equivariance
    new = series.equivariance
    assert old[old.epoch <= 3].equals(new[new.epoch <= 3])
    assert log.count("] - Symmetry after") == 3
    # from the final checkpoint, which lies where `mtt` was started
    copied = run.parents[2] / "model.ckpt"
    again, _ = train(tmp_path, options(SYMMETRY, num_epochs=8), "--restart", str(copied))
    assert Series.load(again / "symmetry").epochs == list(range(9))


def test_restart_with_other_options_begins_a_new_series(runs, tmp_path):
    """Other structures or rotations are another curve; how often is not."""
    _, before, _ = runs
    with inside(tmp_path):
        pass
    checkpoint = str(before / "model_2.ckpt")
    other = SYMMETRY | {"seed": 1}
    run, log = train(tmp_path, options(other, num_epochs=5), "--restart", checkpoint)
    (line,) = [line for line in log.splitlines() if "a new series begins" in line]
    assert "seed 0 -> 1" in line
    assert "symmetry/earlier-1" in line
    assert Series.load(run / "symmetry").epochs == [3, 4, 5]
    kept = Series.load(run / "symmetry/earlier-1")
    old = Series.load(before / "symmetry").equivariance
    assert kept.epochs == [0, 1, 2, 3]
    assert kept.equivariance.equals(old[old.epoch <= 3])
    assert kept.summary["settings"]["seed"] == 0
    # the next one continues the new series and keeps the old one
    checkpoint = str(run / "model_4.ckpt")
    often = other | {"interval": None, "points": 3}
    again, log = train(tmp_path, options(often, num_epochs=6), "--restart", checkpoint)
    assert "a new series begins" not in log
    assert Series.load(again / "symmetry").epochs == [3, 4, 5, 6]
    assert Series.load(again / "symmetry/earlier-1").epochs == [0, 1, 2, 3]
