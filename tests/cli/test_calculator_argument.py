"""`mtt symmetry --calculator`: what is read and refused, and that nothing is executed."""

import argparse
import json
import sys

import ase.io
import pandas as pd
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from metatrain_symmetry.cli import symmetry
from metatrain_symmetry.models.calculator_factory import calculator_from


sys.modules.pop("written_here", None)
WRITTEN = """
from ase.calculators.emt import EMT
NUMBER = 3
def make(kind, *, scale=1.0, **others):
    calculator = EMT()
    calculator.given = (kind, scale, others)
    return calculator
class Place:
    Inner = EMT
def text():
    return "no calculator"
"""


def command(*arguments):
    parser = argparse.ArgumentParser()
    symmetry.add_arguments(parser)
    symmetry.run(parser.parse_args(arguments))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "written_here", raising=False)
    (tmp_path / "written_here.py").write_text(WRITTEN)
    return tmp_path


def test_forms(here):
    assert isinstance(calculator_from("ase.calculators.emt:EMT"), EMT)
    assert isinstance(calculator_from("ase.calculators.emt:EMT()"), EMT)
    lj = calculator_from("ase.calculators.lj:LennardJones(sigma=3.4, epsilon=-1e-2)")
    assert isinstance(lj, LennardJones)
    assert (lj.parameters["sigma"], lj.parameters["epsilon"]) == (3.4, -0.01)
    path = list(sys.path)
    made = calculator_from("written_here:make([1, 'a'], scale=None, x={'y': (1, True)})")
    assert made.given == ([1, "a"], None, {"x": {"y": (1, True)}})
    assert sys.path == path
    assert isinstance(calculator_from("written_here:Place.Inner()"), EMT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EMT()", "write package.module:factory"),
        ("", "write package.module:factory"),
        ("ase.calculators.emt:", "with literals"),
        ("ase.calculators.emt:EMT(", "with literals"),
        ("written_here:make(__import__('os').system('touch executed'))", "with literals"),
        ("written_here:make(open('executed', 'w'))", "with literals"),
        ("written_here:make(*[1, 2])", "with literals"),
        ("written_here:make(**{'kind': 1})", "with literals"),
        ("written_here:make(1)(2)", "with literals"),
        ("written_here:make(1).calculate", "with literals"),
        ("../written_here:make(1)", "write package.module:factory"),
        ("no_such_package.calculators:EMT()", "no module 'no_such_package'"),
        ("ase.no_such:EMT()", "no module 'ase.no_such'"),
        ("ase.calculators.emt:ETM()", "did you mean EMT"),
        ("written_here:NUMBER()", "cannot be called"),
        ("written_here:make()", "correct its arguments"),
        ("written_here:text()", "makes a str"),
        ("broken_here:EMT()", r"'broken_here' cannot be imported \(ZeroDivisionError"),
    ],
)
def test_what_is_refused(here, text, message):
    (here / "broken_here.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match=message) as caught:
        calculator_from(text)
    assert str(caught.value).startswith("--calculator")
    assert not (here / "executed").exists()


def test_the_command(here):
    frames = [bulk("Cu", cubic=True), bulk("Al")]
    for atoms in frames:
        atoms.rattle(0.1, seed=1)
    ase.io.write("x.xyz", frames)
    emt, quick = "ase.calculators.emt:EMT()", ["--lambda-max", "2", "--budget", "3s"]
    command("--calculator", emt, "x.xyz", "-o", "out", *quick)
    table = pd.read_csv("out/equivariance.csv")
    assert set(table.target) == {"energy", "forces", "stress"}
    assert table.A.max() < 1e-12
    summary = json.loads((here / "out/summary.json").read_text())
    assert (summary["model"], summary["architecture"]) == ("EMT", "EMT")
    assert (here / "out/index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calculator", "ase.calculators.emt:EMT()"], "STRUCTURES"),
        (["--calculator", "ase.calculators.emt:EMT()", "x.xyz"], "-o DIR"),
        (["--calculator", "ase.calculators.emt:EMT()", "m.ckpt", "x.xyz", "-o", "out"],
         "leave out 'm.ckpt'"),
        (["--calculator", "ase.calculators.emt:ETM()", "x.xyz", "-o", "out"], "EMT"),
        (["--calculator", "ase.calculators.emt:EMT()", "x.xyz", "-o", "out",
          "--state", "best"], "state"),
        (["--calculator", "ase.calculators.emt:EMT()", "x.xyz", "-o", "out",
          "--targets", "dipole"], "dipole"),
        ([], "MODEL"),
    ],
)  # fmt: skip
def test_what_the_command_says(here, arguments, message):
    ase.io.write("x.xyz", molecule("H2O"))
    with pytest.raises(ValueError, match=message):
        command(*arguments)
    assert not (here / "out").exists()
