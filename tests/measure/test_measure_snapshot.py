"""One measurement of a series: against closed forms and the exact grid."""

import pytest
import torch

from metatrain_symmetry.group import Circles, Irrep
from metatrain_symmetry.measure.plan import Orbits, Plan
from metatrain_symmetry.measure.snapshot import measure_snapshot
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.measure.subject import Subject, subject
from metatrain_symmetry.orbit import Block, FunctionEngine


VECTOR = Block("v", Irrep(1), "atom", "eV/A")
SCALAR = Block("s", Irrep(0), "system", "eV")


def clouds(n=4):
    random = torch.Generator().manual_seed(0)
    return [torch.randn(5, 3, generator=random, dtype=torch.float64) for _ in range(n)]


def vector(points):
    """Equivariant, but for a constant of squared length 0.25: A² per component 0.25 / 3."""
    constant = torch.tensor([0.3, 0.0, 0.4], dtype=points.dtype)
    return (points.roll(-1, dims=-1) + constant).unsqueeze(-1)


def scalar(points):
    """``1 + x_0 . z``: A² is ``|x_0|² / 3``."""
    return (1 + points[:, 0, 2]).reshape(-1, 1, 1, 1)


@pytest.fixture(scope="module")
def watched():
    engine = FunctionEngine({VECTOR: vector, SCALAR: scalar}, {"x": lambda p: p})
    points = clouds()
    subjects = [Subject(engine.prepare(p)) for p in points]
    expected = torch.stack([p[0].square().sum() / 3 for p in points]).mean().sqrt()
    return engine, subjects, {"v": (0.25 / 3) ** 0.5, "s": float(expected)}


@pytest.mark.parametrize("n_grid", [4, 2, 0])
def test_A_of_any_plan(watched, n_grid):
    engine, subjects, expected = watched
    tables, count = measure_snapshot(engine, subjects, Plan(4, 400, n_grid), Orbits(3))
    orbits = Orbits(3)
    cost = n_grid * len(orbits.grid.matrices) + (4 - n_grid) * 400 * (2 * 3 + 7) * 2
    assert count == cost + 4
    for row in tables["equivariance"].itertuples():
        if n_grid == 4 or row.target == "v":  # a constant cancels on every circle
            assert pytest.approx(expected[row.target], rel=1e-10) == row.A
            assert row.A_stderr < 1e-15
        else:
            assert 0 < row.A_stderr < 0.05 * row.A
            assert abs(row.A - expected[row.target]) < 4 * row.A_stderr
        assert row.estimator == {4: "grid", 2: "mixed", 0: "circles"}[n_grid]


def test_two_circles_are_unbiased_and_their_error_is_true():
    engine = FunctionEngine({SCALAR: scalar})
    structure = engine.prepare(clouds(1)[0])
    squares, errors = [], []
    for seed in range(400):
        found = measure_structure(
            engine, structure, Circles(2, 1, seed), [SCALAR], [], spectra=False
        ).equivariance[SCALAR]
        assert found.squared.mean() == pytest.approx(float(found.replicates.mean()))
        squares.append(float(found.squared))
        errors.append(float(found.replicates.var()) / 2)
    squares = torch.tensor(squares)
    exact = float(structure.data["points"][0].square().sum() / 3)
    spread = squares.std() / 400**0.5
    assert abs(squares.mean() - exact) < 3 * spread
    # without the second term it would be far off
    assert 3 * spread < 0.1 * exact
    with pytest.raises(ValueError, match="two or more"):
        measure_structure(engine, structure, Circles(1, 1), [SCALAR], [])


def test_more_circles_bring_a_smaller_error(watched):
    engine, subjects, _ = watched
    errors = [
        measure_snapshot(engine, subjects, Plan(4, n), Orbits(2))[0]["equivariance"]
        for n in (20, 320)
    ]
    ratios = errors[0].A_stderr / errors[1].A_stderr
    assert ratios.between(2, 8).all()  # sixteen times as many: about four


def test_the_same_orbits_every_time(watched):
    engine, subjects, _ = watched
    one, two = (
        measure_snapshot(engine, subjects, Plan(3, 2), Orbits(2, 7))[0] for _ in range(2)
    )
    for name, table in one.items():
        assert table.equals(two[name])
    # a larger plan turns the first structures as a smaller one does
    other = measure_snapshot(engine, subjects, Plan(3, 2), Orbits(2, 8))[0]
    assert not other["equivariance"].equals(one["equivariance"])


class Offset(FunctionEngine):
    """Predictions have a baseline that evaluations leave out."""

    def predict(self, structure):
        found = super().predict(structure)
        return {block: value + 1000.0 for block, value in found.items()}


def test_errors_and_norms_without_composition():
    engine = Offset({SCALAR: scalar, VECTOR: vector})
    subjects = []
    for points in clouds(3):
        structure = engine.prepare(points)
        wrong = scalar(points[None])[0] + 0.5  # of the size of half an eV
        subjects.append(subject(engine, structure, {SCALAR: wrong + 1000.0}))
    table = measure_snapshot(engine, subjects, Plan(1), Orbits(1))[0]["equivariance"]
    row = table[table.target == "s"].iloc[0]
    assert row.rmse == pytest.approx(0.5, rel=1e-9)
    values = torch.cat([scalar(p[None]).flatten() for p in clouds(3)])
    expected = values.square().mean().sqrt() / (values + 0.5).square().mean().sqrt()
    assert row.norm_ratio == pytest.approx(float(expected), rel=1e-9)
    assert row.A_over_rmse == pytest.approx(row.A / 0.5)
    unknown = table[table.target == "v"].iloc[0]
    assert unknown[["rmse", "A_over_rmse", "norm_ratio"]].isna().all()
