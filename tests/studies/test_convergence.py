"""The studies of convergence and of the readout: plans, tables, figures."""

import itertools

import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from benchmarks.makers.chgnet_splits import HELD_OUT, TRAINED_ON, split
from benchmarks.studies import _convergence_figure, _readout_figure, convergence, readout
from benchmarks.studies._study import Setting, command_of
from benchmarks.studies.pes import PAPER


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path / "data", tmp_path / "runs", tmp_path, [0, 1], quick=False)


def test_a_smaller_training_set_is_part_of_a_larger_one():
    frames = [Atoms("H", cell=[i + 1] * 3) for i in range(2 * HELD_OUT + max(TRAINED_ON))]
    parts = split(frames, HELD_OUT, TRAINED_ON)
    ids = {name: [id(atoms) for atoms in part] for name, part in parts.items()}
    assert len(ids["test"]) == len(ids["validation"]) == HELD_OUT
    held_out = {*ids["test"], *ids["validation"]}
    assert len(held_out) == 2 * HELD_OUT
    for small, large in itertools.pairwise(TRAINED_ON):
        own, all_of_them = ids[f"training_{small}"], ids[f"training_{large}"]
        assert all_of_them[:small] == own
        assert held_out.isdisjoint(all_of_them)
    with pytest.raises(ValueError, match="too few"):
        split(frames[:-1], HELD_OUT, TRAINED_ON)


def test_trainings_differ_in_what_their_names_say(setting):
    planned = convergence.plan(setting)
    first, *others = setting.seeds
    assert [t.name for t in planned if t.seed != first] == [
        f"{convergence.LONGEST}, seed {seed}" for seed in others
    ]
    trainings = {t.variant: t for t in planned if t.seed == first}
    assert len({t.folder for t in trainings.values()}) == len(convergence.VARIANTS)

    def steps(name):
        options = trainings[name].options
        epochs = options["architecture"]["training"]["num_epochs"]
        return (
            epochs * convergence.structures_trained_on(trainings[name]) // convergence.BATCH
        )

    base = steps("as in pes")
    assert steps("a quarter of the structures, as many steps") == base
    assert steps("4 x structures, as many steps") == base
    assert steps(convergence.LONGEST) == 2 * base
    for training in trainings.values():
        options = training.options
        assert options["architecture"]["training"]["batch_size"] == convergence.BATCH
        assert options["validation_set"]["targets"] == options["training_set"]["targets"]
        assert "test_set" not in options


def test_the_readout_is_that_of_the_same_trainings(setting):
    others = {t.name: t for t in convergence.plan(setting)}
    found = readout.plan(setting)
    # the longest one is the only one of further seeds
    assert len(found) == len(readout.POINTS) + len(setting.seeds) - 1
    for own in found:
        assert own.folder.name == others[own.name].folder.name
        assert own.root == setting.runs.with_name("convergence")


def test_learning_rates_are_those_of_the_newest_log(setting):
    training = readout.plan(setting)[0]
    rows = {"1": [(0, 4e-3), (1, 3e-3)], "2": [(1, 2e-3), (2, 1e-3)]}
    for time, some in rows.items():
        folder = training.folder / "outputs" / "day" / time
        folder.mkdir(parents=True)
        lines = ["Epoch,learning rate,loss", ",,", *(f"{n},{rate},1" for n, rate in some)]
        (folder / "train.csv").write_text("\n".join(lines))
    assert readout.learning_rates(training) == {1: 4e-3, 2: 2e-3, 3: 1e-3}


def test_checkpoints_are_spread_and_end_with_the_last(setting):
    training = convergence.plan(setting)[0]
    folder = training.folder / "outputs" / "day" / "time"
    folder.mkdir(parents=True)
    for epoch in range(0, 100, 5):
        (folder / f"model_{epoch + 4}.ckpt").touch()
    (folder / "model.ckpt").touch()
    found = convergence.checkpoints(training)
    assert [epoch for epoch, _ in found] == list(range(10, 101, 10))


def test_tables_and_figure_of_convergence(tmp_path):
    rows = [
        {"target": target, "unit": "eV", "median_A": 1 / epoch, "median_error": 2 / epoch,
         "median_A_over_error": 0.5, "paper": paper, "epoch": epoch, "steps": 10 * epoch,
         "variant": variant, "seed": 0, "minutes": 3.0, "finished": variant == "a"}
        for variant in ("a", "b") for target, paper in PAPER.items() for epoch in (1, 10)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "epochs.csv", index=False)
    _convergence_figure.draw(tmp_path)
    assert (tmp_path / "convergence.png").stat().st_size > 5000
    end = table[table.epoch == 10]
    seen = end.assign(median_A_over_error=0.7)
    both = [end.assign(where="test"), seen.assign(where="training")]
    text = convergence.markdown(pd.concat(both))
    assert "| a | 0 | 3 | 50 % |" in text
    assert "| b (not finished) | 0 | 3 | 50 % |" in text
    assert text.count("| 70 % | 70 % | 70 % |\n") == 2


def test_table_and_figure_of_the_readout(tmp_path):
    epochs = np.arange(10, 60, 10)
    names = {"variant": "as in pes", "seed": 0, "epoch": epochs, "steps": 160 * epochs}
    changes = pd.DataFrame({**names, "learning_rate": 1e-2 / epochs, "target": "energy",
                            "o3_lambda": 0, "o3_sigma": 1, "rms_A_before": 2.0,
                            "rms_A_after": 1.0, "rms_error_before": 4.0,
                            "rms_error_after": 5.0})  # fmt: skip
    rates = {**names, "learning_rate": 1e-2 / epochs, "channel": "(1,+)"}
    probes = [pd.DataFrame({**rates, "probe": p, "share": p}) for p in (0.1, 0.2, 0.6)]
    shares = readout.over_probes(pd.concat(probes))
    assert shares.epoch.tolist() == epochs.tolist()
    np.testing.assert_allclose(shares.share, 0.3)
    assert (shares.smallest == 0.1).all()
    assert (shares.largest == 0.6).all()
    changes.to_csv(tmp_path / "purified.csv", index=False)
    shares.to_csv(tmp_path / "features.csv", index=False)
    _readout_figure.draw(tmp_path)
    assert (tmp_path / "readout.png").stat().st_size > 5000
    row = "| as in pes | 0 | 1600 | 1.0e-03 | energy (0,+) | -50.0 % | +25.0 % |"
    assert row in readout.markdown(changes)


def test_the_command_names_no_folders_of_one_computer():
    given = ["--runs", "/a b", "--seeds", "0", "1", "--data=/c", "--only", "as in"]
    found = command_of(convergence.STUDY, [*given, "--output", "/d"])
    assert found == "python -m benchmarks.studies.convergence --seeds 0 1 --only as in"
