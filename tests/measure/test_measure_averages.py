"""Averages over structures, the three errors, and where symmetry forces zero."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from metatrain_symmetry.data import LabelledStructure
from metatrain_symmetry.groups import Irrep, O3Grid, representation
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.averages import averages, error_of_median, medians
from metatrain_symmetry.measure.labels import BLOCK, BlockKey
from metatrain_symmetry.measure.quantities import (
    QUANTITIES,
    quantities_table,
)
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.tables import CHARACTERS, EQUIVARIANCE
from metatrain_symmetry.models import Block, FunctionEngine


FORCE = Block("force", Irrep(1), "atom", "eV/A")
STRESS = Block("non_conservative_stress", Irrep(2), "system", "eV/A^3")
ENERGY = Block("energy", Irrep(0), "system", "eV")


def spherical(points):
    """From x, y, z to the order y, z, x, with a property axis."""
    return points.roll(-1, dims=-1).unsqueeze(-1)


def measured(function, clouds, truths, block=FORCE):
    """Report of one block; ``truths`` are functions of the points."""
    engine = FunctionEngine(targets={block: function})
    data = [
        LabelledStructure(engine.prepare(c, f"cloud {i}"), {block: truth(c[None])[0]})
        for i, (c, truth) in enumerate(zip(clouds, truths, strict=True))
    ]
    settings = Settings(lambda_max=2, estimator="grid")
    return analyze(engine, data, settings=settings, progress=False)


def cloud(seed, n=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator, dtype=torch.float64)


def biased(points):
    """A vector that is right up to a factor, with a constant and a quadrupole added."""
    x, y, z = points.unbind(-1)
    constant = torch.tensor([0.0, 0.0, 0.3], dtype=points.dtype)
    return spherical(1.1 * points + constant + 0.1 * torch.stack([y * z, x * z, x * y], -1))


def test_the_three_errors_against_brute_force():
    """Oriented error² = A² + averaged error², each computed here from its definition."""
    points = cloud(0)
    report = measured(biased, [points], [spherical])
    row = report.equivariance.iloc[0]
    grid = O3Grid(12, 0)
    matrices = representation(FORCE.irrep, grid.matrices)
    values = biased(points @ grid.matrices.transpose(1, 2))
    back = torch.einsum("gmn,gsmp->gsnp", matrices, values)
    truth = spherical(points)
    weights = grid.weights[:, None, None, None]
    mean = (weights * back).sum(dim=0)
    oriented = (weights * (back - truth) ** 2).sum(dim=0).mean().sqrt()
    assert row.error == pytest.approx(
        float((biased(points) - truth).square().mean().sqrt())
    )
    assert row.error_averaged == pytest.approx(float((mean - truth).square().mean().sqrt()))
    assert row.error_averaged != pytest.approx(row.error, rel=0.05)
    (entry,) = averages(report.equivariance)
    assert entry["oriented"] == pytest.approx(float(oriented))
    assert entry["asymmetric_share"] == pytest.approx(float(row.A**2 / oriented**2))
    assert row.target_norm == pytest.approx(float(truth.square().mean().sqrt()))
    size = float(mean.square().mean().sqrt())
    assert entry["norm_ratio"] == pytest.approx(size / row.target_norm)


def test_samples_weigh_the_same_whatever_their_structure():
    clouds = [cloud(0, 2), cloud(1, 8)]
    report = measured(biased, clouds, [spherical] * 2)
    (entry,) = averages(report.equivariance)
    table = report.equivariance
    assert table["samples"].tolist() == [2, 8]
    assert entry["A"] == pytest.approx(
        math.sqrt((2 * table.A[0] ** 2 + 8 * table.A[1] ** 2) / 10)
    )
    assert entry["A"] == pytest.approx(math.sqrt((report.atoms.A**2).mean()))
    assert entry["error"] == pytest.approx(math.sqrt((report.atoms.error**2).mean()))


def table(**columns):
    base = {
        "structure": [0, 1, 2], "target": "energy", "o3_lambda": 0, "o3_sigma": 1,
        "A": [1.0, 2.0, 30.0], "A_stderr": [0.1, 0.1, 0.1], "error": [2.0, 2.0, math.nan],
        "error_averaged": [2.0, 1.0, math.nan], "unit": "eV", "unit_per_atom": "eV/atom",
        "norm": 5.0, "target_norm": [5.0, 5.0, math.nan], "noise": 0.0, "atoms": 2,
        "samples": 1, "forced_zero": 0, "detail": "", "sample_kind": "system",
        "per_atom": True, **columns,
    }  # fmt: skip
    found = pd.DataFrame(base)
    for name in ("A", "error", "error_averaged"):
        found[f"{name}_per_atom"] = found[name] / found.atoms
    return found


def test_ratios_are_of_the_same_structures():
    (entry,) = averages(table())
    assert entry["unit"] == "eV/atom"
    assert entry["A"] == pytest.approx(math.sqrt((1 + 4 + 900) / 3) / 2)
    # the third structure has no target
    assert (entry["structures"], entry["labelled"]) == (3, 2)
    assert entry["error"] == pytest.approx(1)
    assert entry["ratio"] == pytest.approx(math.sqrt(5 / 8))
    assert entry["asymmetric_share"] == pytest.approx(5 / (5 + 5))
    assert entry["norm"] == pytest.approx(2.5)
    (middle,) = medians(table())
    assert middle["ratio"] == pytest.approx((1 / 2 + 2 / 2) / 2)
    assert middle["A_per_atom"] == 1.0
    assert middle["unit_per_atom"] == "eV/atom"


def test_error_bars_by_hand():
    (entry,) = averages(table())
    # d(A²) = 2 A dA of each; over 3 structures, 2 atoms
    variance = sum((2 * a * 0.1 / 3) ** 2 for a in (1, 2, 30))
    expected = math.sqrt(variance) / (2 * math.sqrt(905 / 3)) / 2
    assert entry["A_stderr"] == pytest.approx(expected)
    # of the share A² / (A² + R²) with A² = 5/2, R² = 5/2
    of_square = math.sqrt((2 * 1 * 0.1 / 2) ** 2 + (2 * 2 * 0.1 / 2) ** 2)
    assert entry["asymmetric_share_stderr"] == pytest.approx(0.5 * 0.5 * of_square / 2.5)
    (entry,) = averages(table(A_stderr=[0.1, math.nan, 0.1]))
    assert math.isnan(entry["A_stderr"])
    assert math.isnan(entry["asymmetric_share_stderr"])


def test_the_scatter_over_structures_stands_in_for_missing_error_bars():
    """For four or more; it is that of a mean of independent values."""
    A = [1.0, 2.0, 3.0, 5.0]
    columns = {
        "structure": range(4), "A": A, "A_stderr": math.nan, "error": 1.0,
        "error_averaged": 1.0, "target_norm": 1.0, "samples": 3,
    }  # fmt: skip
    (entry,) = averages(table(**columns))
    squares = pd.Series(A) ** 2 / 4  # two atoms
    expected = squares.sem() / (2 * math.sqrt(squares.mean()))
    assert entry["A_stderr"] == pytest.approx(expected)
    known = table(**columns | {"A_stderr": 0.01})
    assert averages(known)[0]["A_stderr"] < expected


def test_without_targets_nothing_is_zero():
    missing = [math.nan] * 3
    (entry,) = averages(table(error=missing, error_averaged=missing, target_norm=missing))
    for name in ("error", "error_averaged", "oriented", "ratio", "asymmetric_share",
                 "norm_ratio", "relative_error"):  # fmt: skip
        assert math.isnan(entry[name]), name
    assert entry["labelled"] == 0


def test_forces_at_a_centre_of_inversion_and_of_a_lone_atom_are_forced_to_zero():
    half = cloud(0, 2)
    symmetric = torch.cat([half, -half, torch.zeros(1, 3, dtype=torch.float64)])
    lone = torch.zeros(1, 3, dtype=torch.float64)
    clouds = [symmetric, lone, cloud(1)]
    found = measured(biased, clouds, [spherical] * 3).equivariance
    assert found.forced_zero.tolist() == [1, 1, 0]


def test_a_target_that_is_zero_by_chance_is_not_forced():
    """The model, averaged over orientations, does not vanish there."""

    def vanishing(points):
        return 0 * spherical(points)

    found = measured(biased, [cloud(0)], [vanishing]).equivariance
    assert found.forced_zero.tolist() == [0]


def test_the_deviatoric_stress_of_a_cubic_structure_is_forced_to_zero():
    axes = torch.eye(3, dtype=torch.float64)
    octahedron = torch.cat([axes, -axes])

    def quadrupole(points):
        x, y, z = points.unbind(-1)
        r2 = x**2 + y**2 + z**2
        parts = [x * y, y * z, (3 * z**2 - r2) / math.sqrt(12), x * z, (x**2 - y**2) / 2]
        return torch.stack(parts, -1).sum(dim=1)[:, None, :, None]

    def lopsided(points):
        return quadrupole(points) + 0.2

    found = measured(lopsided, [octahedron, cloud(0)], [quadrupole] * 2, STRESS)
    assert found.equivariance.forced_zero.tolist() == [1, 0]


def test_scalars_are_never_forced():
    def energy(points):
        return points.square().sum(dim=(1, 2)).reshape(-1, 1, 1, 1)

    lone = torch.zeros(1, 3, dtype=torch.float64)
    assert measured(energy, [lone], [energy], ENERGY).equivariance.forced_zero.tolist() == [
        0
    ]


def test_a_residual_without_an_error_bar_is_not_called_converged():
    from metatrain_symmetry.measure.combine import Share
    from metatrain_symmetry.measure.tables import characters_table

    def rows(residual, stderr):
        shares = [Share(Irrep(0), 1.0, 1.0, 0.0, "grid")]
        return {"layer": [*shares, Share(None, residual, residual, stderr, "grid")]}

    def converged(residual, stderr):
        found = characters_table(rows(residual, stderr), [Irrep(0)], lambda probe: "", 1e-3)
        return bool(found.converged.all())

    assert converged(0.0, 0.0)
    assert converged(5e-4, 2e-4)
    assert not converged(5e-4, 3e-4)
    assert not converged(0.0, math.nan)


def test_every_column_is_explained():
    explained = {quantity.column for quantity in QUANTITIES}
    labels = {"structure", *BLOCK, "sample_kind", "unit", "per_atom", "unit_per_atom",
              "error_per_atom", "error_averaged_per_atom", "atoms", "samples",
              "forced_zero"}  # fmt: skip
    assert set(EQUIVARIANCE) - labels <= explained
    labels = {"probe", "chi_lambda", "chi_sigma", "channel", "kind", "group", "estimator",
              *BLOCK}  # fmt: skip
    assert set(CHARACTERS) - labels <= explained
    assert [row["name"] for row in quantities_table()] == [q.name for q in QUANTITIES]


def test_error_of_a_median_in_two_limits():
    """Of one value its own; of many whose errors s are small beside their density f."""
    assert error_of_median(np.array([3.0]), np.array([0.2])) == pytest.approx(0.2, rel=0.1)
    n, s = 4001, 0.02
    values = np.linspace(-1, 1, n)
    # the number below m scatters by n f s / sqrt(pi), the sum of p (1 - p)
    f = 1 / 2
    expected = (n * f * s / math.sqrt(math.pi)) ** 0.5 / (n * f)
    assert error_of_median(values, np.full(n, s)) == pytest.approx(expected, rel=0.1)
    assert math.isnan(error_of_median(values, np.full(n, math.nan)))


def test_errors_that_structures_share_do_not_average_out():
    n = 1001
    columns = {
        "structure": range(n), "A": np.linspace(1.0, 3.0, n), "A_stderr": 0.01,
        "error": 1.0, "error_averaged": 1.0, "target_norm": 1.0,
    }  # fmt: skip
    key = BlockKey("energy", "", Irrep(0))
    (alone,), (middle,) = medians(table(**columns)), medians(table(**columns), {key: 0.1})
    assert alone["A_stderr"] < 0.005
    assert middle["A_stderr"] == pytest.approx(math.hypot(alone["A_stderr"], 0.05 * 2.0))
    assert middle["A_per_atom_stderr"] == pytest.approx(middle["A_stderr"] / 2)
