"""Outputs that are nothing but rounding: said to be zero, and no matter of convergence."""

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.averages import averages, vanishes
from metatrain_symmetry.measure.diagnosis import diagnose
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import Block, CalculatorEngine, FunctionEngine


ARGON = LennardJones(sigma=3.4, epsilon=0.0103, rc=6.0)
CASES = {
    "Cu": (EMT(), bulk("Cu"), ["forces (1,+)", "stress (2,+)"]),
    "Ar": (ARGON, bulk("Ar", "fcc", a=5.3), ["forces (1,+)", "stress (2,+)"]),
    "an atom": (ARGON, Atoms("Ar"), ["energy (0,+)", "forces (1,+)"]),
    "H2": (EMT(), molecule("H2"), []),
    "strained": (EMT(), bulk("Cu", "bct", a=2.5, c=3.7), ["forces (1,+)"]),
}


def measure(calculator, atoms):
    engine = CalculatorEngine(calculator)
    settings = Settings(lambda_max=2, estimator="circles", circles=4)
    return analyze(engine, [engine.prepare(atoms)], settings=settings, progress=False)


@pytest.mark.parametrize("name", CASES)
def test_rounding_does_not_decide_about_convergence(name):
    """Potentials of ASE are equivariant: whatever symmetry makes zero is rounding."""
    calculator, atoms, zero = CASES[name]
    report = measure(calculator, atoms)
    text = report.summary["convergence_text"]
    assert report.summary["converged"], text
    outputs = [f"{e['target']} ({e['o3_lambda']},+)" for e in averages(report.equivariance)]
    assert set(report.characters.probe) == set(outputs) - set(zero)
    assert "-" not in text.replace("e-", "")  # no share below zero
    words = f"{' and '.join(zero)} {'is' if len(zero) == 1 else 'are'} zero up to rounding"
    assert (words in text) == bool(zero)
    said = [d["text"] for d in diagnose(report.equivariance, report.characters)]
    found = ["the prediction is zero up to rounding" in one for one in said]
    assert found == [output in zero for output in outputs]


def test_small_is_not_rounding():
    """A spectrum that is there counts in whatever unit it is given."""
    block = Block("octupole", Irrep(3), "system")
    unlike = torch.tensor([1.0, 2.0, -1.5, 0.7, 0.3, -2.2, 1.1], dtype=torch.float64)

    def function(points):
        x, y, z = points.sum(dim=1).unbind(-1)
        return 1e-12 * (x * y * z)[:, None, None, None] * unlike[:, None]

    engine = FunctionEngine({block: function})
    data = [engine.prepare(torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, -0.2]]))]
    settings = Settings(lambda_max=1)
    report = analyze(engine, data, settings=settings, progress=False)
    assert not vanishes(averages(report.equivariance)[0])
    assert "lies 100 %" in report.summary["convergence_text"]
    assert "--lambda-max 3 would do" in report.summary["convergence_text"]


def test_what_rounding_gives_may_not_be_known():
    assert vanishes({"norm": 0.0, "noise": float("nan")})
    assert not vanishes({"norm": 1e-16, "noise": float("nan")})
    assert vanishes({"norm": 9e-16, "noise": 1e-16})
    assert not vanishes({"norm": 11e-16, "noise": 1e-16})
