"""One measurement of a series: against closed forms and the exact grid."""

import pytest
import torch

from metatrain_symmetry.data.labelled import LabelledStructure, labelled
from metatrain_symmetry.groups import Circles, Irrep, O3Grid, random_frame
from metatrain_symmetry.measure.plan import Orbits, Plan
from metatrain_symmetry.measure.snapshot import measure_snapshot
from metatrain_symmetry.measure.snapshot_rows import is_energy
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Block, FunctionEngine


VECTOR = Block("v", Irrep(1), "atom", "eV/A")
SCALAR = Block("s", Irrep(0), "system", "e")
ENERGY = Block("energy", Irrep(0), "system", "eV")


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
    subjects = [LabelledStructure(engine.prepare(p)) for p in points]
    expected = torch.stack([p[0].square().sum() / 3 for p in points]).mean().sqrt()
    return engine, subjects, {"v": (0.25 / 3) ** 0.5, "s": float(expected)}


@pytest.mark.parametrize(
    ("plan", "size", "estimator"),
    [
        (Plan(4, 0, "exact"), 364, "grid"),
        (Plan(4, 2, "degree 8"), 684, "degree-8 grid"),
        (Plan(4, 2, "icosahedral"), 120, "icosahedral"),
        (Plan(4, 400), 0, "circles"),
    ],
)
def test_A_of_any_plan(watched, plan, size, estimator):
    engine, subjects, expected = watched
    tables, count = measure_snapshot(engine, subjects, plan, Orbits(3))
    assert count == 4 * (size + plan.circles * (2 * 3 + 7) * 2) + 4
    for row in tables["equivariance"].itertuples():
        assert row.estimator == estimator
        if size:
            # of degree two: exact on each of these sets, but circles to λ = 3 do not know
            assert pytest.approx(expected[row.target], rel=1e-10) == row.A
            assert row.A_stderr < 0.3 * row.A or not plan.circles
            assert row.A_stderr == row.A_stderr or not plan.circles  # no circles, no error
        elif row.target == "v":  # a constant cancels on every circle
            assert pytest.approx(expected[row.target], rel=1e-10) == row.A
            assert row.A_stderr < 1e-15 or row.A_stderr != row.A_stderr
        else:
            assert 0 < row.A_stderr < 0.05 * row.A
            assert abs(row.A - expected[row.target]) < 4 * row.A_stderr


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
    exact = float(structure.points[0].square().sum() / 3)
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
    # another seed rotates them differently
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
        subjects.append(labelled(engine, structure, {SCALAR: wrong + 1000.0}))
    table = measure_snapshot(engine, subjects, Plan(3), Orbits(1))[0]["equivariance"]
    row = table[table.target == "s"].iloc[0]
    assert row.rmse == pytest.approx(0.5, rel=1e-9)
    values = torch.cat([scalar(p[None]).flatten() for p in clouds(3)])
    expected = values.square().mean().sqrt() / (values + 0.5).square().mean().sqrt()
    assert row.norm_ratio == pytest.approx(float(expected), rel=1e-9)
    assert row.A_over_rmse == pytest.approx(row.A / 0.5)
    unknown = table[table.target == "v"].iloc[0]
    assert unknown[["rmse", "A_over_rmse", "norm_ratio"]].isna().all()


def test_ratios_are_of_the_same_structures():
    """A on two of four structures: their errors, not those of all."""
    engine = FunctionEngine({SCALAR: scalar})
    subjects = []
    for offset, points in zip((0.1, 0.2, 5.0, 7.0), clouds(), strict=True):
        structure = engine.prepare(points)
        subjects.append(
            labelled(engine, structure, {SCALAR: scalar(points[None])[0] + offset})
        )
    (row,) = measure_snapshot(engine, subjects, Plan(2), Orbits(1))[0][
        "equivariance"
    ].itertuples()
    same, whole = ((0.1**2 + 0.2**2) / 2) ** 0.5, ((0.05 + 25 + 49) / 4) ** 0.5
    assert (row.n_structures, row.n_all) == (2, 4)
    assert row.rmse == pytest.approx(same, rel=1e-9)
    assert row.rmse_all == pytest.approx(whole, rel=1e-9)
    assert row.A_over_rmse == row.A / row.rmse
    # without the others, and with a structure whose target is unknown
    subjects[1].bare_targets.clear()
    tables, count = measure_snapshot(
        engine, subjects, Plan(2), Orbits(1), errors_of_all=False
    )
    (row,) = tables["equivariance"].itertuples()
    assert count == 2 * 2 * 18 + 2
    assert row.n_all == 0
    for value in (row.rmse, row.A_over_rmse, row.norm_ratio, row.rmse_all):
        assert value != value


def test_energies_are_per_atom():
    engine = FunctionEngine({ENERGY: scalar})
    points = clouds(2)
    points[1] = points[1][:4]
    subjects = [
        labelled(engine, engine.prepare(p), {ENERGY: scalar(p[None])[0] + 2.0})
        for p in points
    ]
    sizes = [one.structure.n_atoms for one in subjects]
    plan = Plan(2, 0, "exact")
    (row,) = measure_snapshot(engine, subjects, plan, Orbits(1))[0][
        "equivariance"
    ].itertuples()
    assert row.unit == "eV/atom"
    expected = [2.0 / n for n in sizes]
    assert row.rmse == pytest.approx((sum(e**2 for e in expected) / 2) ** 0.5, rel=1e-9)
    squares = [
        float(p[0].square().sum()) / 3 / n**2 for p, n in zip(points, sizes, strict=True)
    ]
    assert row.A == pytest.approx((sum(squares) / 2) ** 0.5, rel=1e-9)
    for other in (VECTOR, SCALAR, Block("d", Irrep(0, -1), "system", "eV")):
        assert not is_energy(other)


def pseudo(points):
    """A pseudoscalar of 1e-3 beside a scalar of one, per sample."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    triple = (x * torch.cross(y, z, dim=-1)).sum(dim=-1)
    return torch.stack([torch.ones_like(triple), triple], dim=-1).unsqueeze(1)


def test_pseudo_channels_are_seen(watched):
    """Circles do not tell (0,-) from noise; the icosahedral set does."""
    engine = FunctionEngine({SCALAR: scalar}, {"x": pseudo})
    subjects = [LabelledStructure(engine.prepare(0.1 * p)) for p in clouds()]
    table = measure_snapshot(engine, subjects, Plan(4, 2, "icosahedral"), Orbits(3))[0][
        "characters"
    ]
    found = table[table.probe == "x"].set_index("channel")
    values = [pseudo(0.1 * p[None])[0, 0, 1] for p in clouds()]
    expected = float(torch.stack(values).square().mean())
    expected /= 1 + expected
    assert found.share["(0,-)"] == pytest.approx(expected, rel=1e-6)
    assert found.share["(1,-)"] < 1e-12


def wavy(points):
    """Not band-limited, and not equivariant."""
    return (points + 0.3 * torch.sin(3 * points)).roll(-1, dims=-1).unsqueeze(-1)


@pytest.mark.parametrize(
    "plan", [Plan(4, 1, "icosahedral"), Plan(4, 2, "degree 8"), Plan(4, 6)], ids=str
)
def test_z_scores_of_A(plan):
    engine = FunctionEngine({VECTOR: wavy})
    subjects = [LabelledStructure(engine.prepare(p)) for p in clouds()]
    grid = O3Grid(40, 0, frame=random_frame(5))
    squares = [
        measure_structure(engine, one.structure, grid, [VECTOR], [], spectra=False)
        .equivariance[VECTOR]
        .squared.mean()
        for one in subjects
    ]  # fmt: skip
    exact = float(torch.stack(squares).mean().sqrt())
    z = []
    for seed in range(40):
        tables, _ = measure_snapshot(engine, subjects, plan, Orbits(8, 100 * seed))
        (row,) = tables["equivariance"].itertuples()
        z.append((row.A - exact) / row.A_stderr)
        assert row.A_stderr < 0.3 * row.A
    assert sum(abs(value) > 3 for value in z) <= 1
