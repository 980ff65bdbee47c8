"""Structures of other molecules in the benchmark of symmetry fine-tuning."""

import json

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from omegaconf import OmegaConf
from training_common import MOLECULES, changed, mtt

from benchmarks import polish
from benchmarks._polish_cases import load_model, read_all
from benchmarks._polish_errors import measured
from benchmarks._polish_unlabelled import ATOMS, other_molecules, without_labels
from metatrain_symmetry.finetune.held_out import engine_of
from metatrain_symmetry.purify.options import read_shared


def formula(atoms):
    return tuple(sorted(atoms.numbers.tolist()))


def test_other_molecules_are_new_and_split_by_molecule():
    ammonia, methane = formula(molecule("NH3")), formula(molecule("CH4"))
    found = other_molecules({1, 6, 7}, {methane}, seed=3, count=101)
    assert (len(found.given), len(found.held_out)) == (51, 50)
    given, held_out = ({formula(one) for one in part} for part in vars(found).values())
    assert not given & held_out
    assert ammonia in given | held_out
    assert methane not in given | held_out
    everything = found.given + found.held_out
    for one in everything:
        assert len(one) in ATOMS
        assert set(one.numbers) <= {1, 6, 7}
    names = [set(part["molecules"]) for part in found.settings().values()]
    assert abs(len(names[0]) - len(names[1])) <= 3  # isomers stay together
    moved = [one.positions - molecule(one.info["name"]).positions for one in everything]
    assert np.std(np.concatenate(moved)) == pytest.approx(0.1, rel=0.1)
    again = other_molecules({1, 6, 7}, {methane}, seed=3, count=101)
    assert again.given == found.given
    assert other_molecules({1, 6, 7}, {methane}, seed=4, count=101).given != found.given
    with pytest.raises(ValueError, match="formulas of the G2 set"):
        other_molecules({2}, set(), 0, 10)


def test_a_model_is_studied_on_other_molecules(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    smallest = sorted(ase.io.read(MOLECULES, ":"), key=len)[:20]
    ase.io.write("molecules.xyz", smallest)
    options = changed(architecture__training__num_epochs=1, final_eval=False)
    OmegaConf.save(OmegaConf.create(options), "options.yaml")
    mtt("train", "options.yaml", "-o", "model.pt")
    call = ["unlabelled", "--quick", "--name", "tiny", "--output", "polish.json"]
    call += ["--options", str(tmp_path / "options.yaml")]
    call += ["--checkpoint", str(tmp_path / "model.ckpt")]
    call += ["--structures", "4", "--set", "weight=1e4", "max_rmse_increase=1"]
    polish.main([*call, "batch_size=2", "max_structures=4", "max_validation_structures=2"])
    text = (tmp_path / "polish.json").read_text()
    assert str(tmp_path) not in text
    assert "/tmp" not in text
    ((name, case),) = json.loads(text)["cases"].items()
    assert name == "tiny unlabelled, seed 1"
    others = case["settings"]["other molecules"]
    assert not {*others["given"]["molecules"]} & {*others["held_out"]["molecules"]}
    assert case["settings"]["evaluated"]["other molecules"] == 2
    plain, more = case["methods"]["full"], case["methods"]["full, unlabelled"]
    assert plain["settings"]["unlabelled"] is None
    assert more["settings"]["unlabelled"]["read_from"] == "others.xyz"
    for part in ("test", "other molecules"):
        for one, two in zip(plain[part], more[part], strict=True):
            assert one["A_before"] == two["A_before"] > 0
            assert 1 != one["A_ratio"] != two["A_ratio"] != 1
            low, high = two["A_ratio_interval"]
            assert low <= two["A_ratio"] <= high
    row = more["other molecules"][0]
    empty = [v for key, v in row.items() if key.startswith(("rmse", "asymmetric"))]
    assert empty.count(None) == 5
    assert empty.count([None, None]) == 1
    table = capsys.readouterr().out
    assert table.count("| full, unlabelled: other molecules | energy (0,+) |") == 1
    # A does not depend on labels: the test set without them
    sections = read_shared(options).sections
    chosen = read_all(sections)["test"].limited(4, sections.seed).chosen
    model, whole = load_model(tmp_path / "model.ckpt")
    data = without_labels(model, [smallest[index] for _, index in chosen])
    sums = measured(engine_of(model), data, whole).values()
    for row, values in zip(plain["test"], sums, strict=True):
        squares, _, count = values.sum(axis=0)
        assert (squares / count) ** 0.5 == pytest.approx(row["A_before"], rel=1e-5)
