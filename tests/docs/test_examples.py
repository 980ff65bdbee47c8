"""Examples in the docstrings of everything public run, and show what they return."""

import doctest
import importlib
import pkgutil
import shutil
from pathlib import Path

import pytest
import torch
from branches import NEW, branch_model
from common import energy_info, pet

import metatrain_symmetry


DATA = Path(__file__).parents[2] / "data" / "xtb_molecules.xyz"

OPTIONS = """\
training_set:
  systems: {read_from: molecules.xyz, length_unit: angstrom}
  targets: {energy: {key: energy, unit: eV, forces: off, stress: off}}
validation_set: 0.5
test_set: 0.1
purify: {degree: 4, max_structures: 6, max_validation_structures: 6, report_structures: 0}
"""


PUBLIC = set(metatrain_symmetry.__all__)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the examples find in their folder."""
    folder = tmp_path_factory.mktemp("examples")
    info = energy_info()
    torch.save(pet(info).get_checkpoint(), folder / "model.ckpt")
    torch.save(branch_model(NEW)[1], folder / "branch.ckpt")
    lines = DATA.read_text().splitlines(keepends=True)
    count, kept = 0, []
    while count < 20:
        size = int(lines[0]) + 2
        kept += lines[:size]
        lines, count = lines[size:], count + 1
    (folder / "molecules.xyz").write_text("".join(kept))
    (folder / "options.yaml").write_text(OPTIONS)
    return folder


@pytest.mark.parametrize("name", metatrain_symmetry.__all__)
def test_examples_run(name, files, tmp_path, monkeypatch):
    found = getattr(metatrain_symmetry, name)
    parser = doctest.DocTestParser()
    test = parser.get_doctest(found.__doc__, {}, name, None, 0)
    assert test.examples, f"{name} has no example"
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    said = []
    runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_examples_of_everything_else_run(files, tmp_path, monkeypatch):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    prefix = f"{metatrain_symmetry.__name__}."
    for found in pkgutil.walk_packages(metatrain_symmetry.__path__, prefix):
        if ".shims" in found.name or found.name.endswith("__main__"):
            continue
        for test in doctest.DocTestFinder().find(importlib.import_module(found.name)):
            if test.examples and test.name.rpartition(".")[2] not in PUBLIC:
                runner.run(test)
    result = runner.summarize(verbose=False)
    assert result.attempted > 0
    assert result.failed == 0
