"""Trainings that are watched: nothing is changed, nothing is lost."""

import csv
import json
import struct
from zipfile import ZipFile

import pytest
import torch
from monitor_common import SYMMETRY, inside, options, train

from metatrain_symmetry.measure.series import Series


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
    assert log.count("Symmetry after") == 5
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
    assert (series.equivariance.n_structures == 3).all()
    with (run / "train.csv").open() as file:
        names, _, *lines = csv.reader(file)
    columns = {
        "non_conservative_force": "validation non_conservative_force RMSE (per atom)",
        "conservative_force": "validation forces RMSE",
    }
    for target, column in columns.items():
        ours = series.equivariance[series.equivariance.target == target]
        for line in lines:
            theirs = float(line[names.index(column)]) / 1000
            here = float(ours[ours.epoch == int(line[0]) + 1].rmse.iloc[0])
            assert here == pytest.approx(theirs, rel=2e-3)


def test_figures_and_page(runs):
    _, run, _ = runs
    assert (run / "symmetry/index.html").stat().st_size > 10_000
    assert list((run / "symmetry/figures").glob("*.png"))


def test_weights_and_biases(runs):
    wandb_folder = runs[1].parents[2] / "wandb"
    records = read_back(wandb_folder)
    steps = {step for step, _ in records}
    assert steps == {0, 1, 2, 3}
    series = Series.load(runs[1] / "symmetry")
    for step, content in records:
        table = series.equivariance[series.equivariance.epoch == step + 1]
        for row in table.itertuples():
            label = f"{row.target} ({row.o3_lambda},+)"
            unit = row.unit.replace("/", " per ")
            assert content[f"symmetry A/{label} [{unit}]"] == pytest.approx(row.A)
            ratio = content[f"symmetry A over RMSE/{label}"]
            assert ratio == pytest.approx(row.A_over_rmse)
        picture = content["symmetry heatmaps/energy (0,+)"]
        assert picture["_type"] == "image-file"
        # metatrain's own are still there
        assert "training/loss" in content
        assert "validation/energy RMSE (per atom) [meV]" in content
    widths = [content["symmetry heatmaps/energy (0,+)"]["width"] for _, content in records]
    assert widths == sorted(set(widths))  # grows
    first, last = records[0][1], records[-1][1]
    untrained = series.equivariance[series.equivariance.epoch == 0].iloc[0]
    assert first["initial symmetry A/energy (0,+) [eV]"] == pytest.approx(untrained.A)
    assert last["symmetry/equivariance"]["nrows"] == len(series.equivariance)
    assert last["symmetry/page"]["_type"] == "html-file"
    assert "symmetry/page" not in first


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
    """Steps and values of the only run in a folder."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("offline-run-*/*.wandb")
    found = []
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            content = {}
            for item in record.history.item:
                *outer, last = item.nested_key or [item.key]
                place = content
                for key in outer:
                    place = place.setdefault(key, {})
                place[last] = json.loads(item.value_json)
            found.append((record.history.step.num, content))
    return found


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
    assert log.count("Symmetry after") == 3
    # from the final checkpoint, which lies where `mtt` was started
    copied = run.parents[2] / "model.ckpt"
    again, _ = train(tmp_path, options(SYMMETRY, num_epochs=8), "--restart", str(copied))
    assert Series.load(again / "symmetry").epochs == list(range(9))
