"""The benchmark of symmetry fine-tuning: its split, averages, intervals, and one run."""

import json

import ase.io
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from training_common import MOLECULES, changed, mtt

from benchmarks import polish
from benchmarks._polish_cases import GROUPS, Study
from benchmarks._polish_errors import ratios, squares_of


def test_averages_resolve_what_is_even_and_odd():
    # two frames: 1 and 3 are even, with variance 2; 0.5 is odd; the label is 1
    values = torch.tensor([[[1.5], [0.5]], [[3.5], [2.5]]], dtype=torch.float64)
    values = torch.cat([values, values], dim=-1)
    target = torch.tensor([1.0, float("nan")], dtype=torch.float64)
    rotations, both = squares_of(values, target)
    assert rotations == pytest.approx([2 + 0.25, (0.25 + 0.25 + 6.25 + 2.25) / 4, 1])
    assert both == pytest.approx([2, (0 + 4) / 2, 1])


def test_intervals_are_paired():
    rng = np.random.default_rng(1)
    before = np.stack([rng.exponential(1, 50), rng.exponential(1, 50), np.ones(50)], 1)
    # structures differ widely, and change by the same factor: nothing is uncertain
    found = ratios(before, before * [0.25, 1.21, 1])
    assert found["A_ratio"] == pytest.approx(2)
    assert found["A_ratio_interval"] == pytest.approx([2, 2])
    assert found["rmse_change"] == pytest.approx(0.1)
    assert found["rmse_change_interval"] == pytest.approx([0.1, 0.1])
    # the delta method is an independent estimate where the factors scatter
    after = before * np.stack([rng.uniform(0.1, 0.4, 50), np.ones(50), np.ones(50)], 1)
    found = ratios(before, after)
    (a, b), best = (before[:, 0], after[:, 0]), found["A_ratio"]
    spread = 1.96 * best * np.std(a / a.mean() - b / b.mean()) / 2 / 50**0.5
    wanted = [best - spread, best + spread]
    assert found["A_ratio_interval"] == pytest.approx(wanted, abs=0.2 * spread)
    with pytest.raises(ValueError, match="other labels"):
        ratios(before, before[::-1] * [1, 1, 2])


def test_values_of_set_and_what_stays_out_of_results():
    found = polish.changes_of(["weight=8", "learning_rate=2e-3", "alpha=[1, 2e1]"])
    assert found == {"weight": 8, "learning_rate": 2e-3, "alpha": [1, 20.0]}
    plain = polish.portable({"a": ["--x", "/some/where/m.ckpt", "eV/A/atom"], "b": np.nan})
    assert plain == {"a": ["--x", "m.ckpt", "eV/A/atom"], "b": None}


def test_a_model_is_studied(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    smallest = sorted(ase.io.read(MOLECULES, ":"), key=len)[:20]
    ase.io.write("molecules.xyz", smallest)
    options = changed(architecture__training__num_epochs=1)
    OmegaConf.save(OmegaConf.create(options), "options.yaml")
    mtt("train", "options.yaml", "-o", "model.pt")
    call = [
        "model",
        "--quick",
        "--name",
        "tiny",
        "--options",
        str(tmp_path / "options.yaml"),
    ]
    call += ["--checkpoint", str(tmp_path / "model.ckpt"), "--output", "new/polish.json"]
    small = [
        "--set",
        "max_structures=6",
        "max_validation_structures=2",
        "degree=2",
        "weight=10",
        "alpha=[1]",
        "ridge=[1e-3]",
        "max_rmse_increase=1",
    ]
    polish.main([*call, "--structures", "2", *small, "--methods", "readout", "further"])
    # another call adds to the case
    polish.main([*call, "--structures", "2", *small, "--methods", "full", *GROUPS])
    text = (tmp_path / "new/polish.json").read_text()
    assert str(tmp_path) not in text
    (case,) = json.loads(text)["cases"].values()
    assert case["settings"]["split_checked"] is True
    assert case["settings"]["evaluated"] == {"test": 2, "validation": 2}
    methods = case["methods"]
    assert list(methods) == [
        "readout", "further", "full", "averaging", "averaging with inversions",
        "averaging over O", "averaging over O with inversions",
    ]  # fmt: skip
    assert methods["further"]["settings"]["num_epochs"] == methods["full"]["epochs"] == 1
    for entry in methods.values():
        assert "failed" not in entry
        for row, first in zip(entry["test"], case["before"]["test"], strict=True):
            assert row["A_before"] == first["A"] > 0
            assert row["A_ratio"] == pytest.approx(row["A_before"] / row["A_after"])
    assert all(row["A_ratio"] != 1 for row in methods["further"]["test"])
    # so few steps may gain nothing, and then the guard says so
    full = methods["full"]
    assert (full["share"] > 0) == (not full["reason"])
    assert all((row["A_ratio"] != 1) == (full["share"] > 0) for row in full["test"])
    for name, least in zip(GROUPS, (3, 2), strict=True):
        for row in methods[f"{name} with inversions"]["test"]:
            assert row["A_ratio"] > least
            # averaging takes A² off the squared error
            left = row["rmse_before"] ** 2 - row["A_before"] ** 2
            assert row["rmse_after"] == pytest.approx(left**0.5, rel=1e-2)
    polish.main(["draw", "--output", "new/polish.json"])
    assert (tmp_path / "new/polish.png").stat().st_size > 1000
    assert capsys.readouterr().out.count("| tiny, seed 1 | full | energy (0,+) |") == 1
    with pytest.raises(ValueError, match="set is not that of the training"):
        Study(tmp_path / "model.ckpt", {**options, "test_set": 0.1}, {}, 2)


def test_intervals_hold_the_true_ratio():
    """Structures whose squares are exponential: A falls by 2, the RMSE by a tenth."""
    hits = {"A_ratio": 0, "rmse_change": 0}
    seeds = 200
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        before, after = np.ones((2, 40, 3))
        common = random.exponential(size=(40, 2))
        before[:, :2] = common * random.gamma(4, 0.25, size=(40, 2))
        after[:, :2] = common * random.gamma(4, 0.25, size=(40, 2)) * [0.25, 0.81]
        found = ratios(before, after)
        for name, truth in (("A_ratio", 2.0), ("rmse_change", -0.1)):
            low, high = found[f"{name}_interval"]
            hits[name] += low <= truth <= high
    # 95 % asked for; percentiles of 40 structures are known to be a little too narrow
    for count in hits.values():
        assert 0.88 <= count / seeds <= 0.99
