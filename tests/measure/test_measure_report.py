"""From structures to tables: shares and their errors, degrees, words, files."""

import numpy as np
import pytest
import torch

from metatrain_symmetry.group import Irrep, Powers, irreps_up_to
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.averages import averages
from metatrain_symmetry.measure.combine import combine
from metatrain_symmetry.measure.diagnosis import diagnose
from metatrain_symmetry.measure.report import Report
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import Spectrum
from metatrain_symmetry.orbit import Block, FunctionEngine


VECTOR = Block("force", Irrep(1), "atom", "eV/A")


def function(points):
    """A vector with an octupole part and a pseudovector part."""
    x, y, z = points.unbind(-1)
    axial = torch.linalg.cross(points, points.roll(1, dims=1), dim=-1)
    found = points + 0.1 * axial
    found = found + 0.1 * torch.stack([x * y * z, x**3, y**3], dim=-1)
    return found.roll(-1, dims=-1).unsqueeze(-1)


def engine_and_structures(count, points=4):
    engine = FunctionEngine(
        targets={VECTOR: function},
        layers={"layer": lambda p: p.square() + p.sum(dim=1, keepdim=True)},
    )
    random = np.random.default_rng(0)
    clouds = [torch.from_numpy(random.normal(size=(points, 3))) for _ in range(count)]
    return engine, [engine.prepare(cloud, f"cloud {i}") for i, cloud in enumerate(clouds)]


def measure(count=3, **settings):
    engine, structures = engine_and_structures(count)
    options = {"lambda_max": 4} | settings
    return analyze(engine, structures, Settings(**options), progress=False)


def test_tables_are_complete_and_consistent():
    report = measure(3, estimator="grid")
    assert len(report.equivariance) == 3
    assert len(report.atoms) == 12
    assert set(report.characters.probe) == {"layer", "force (1,+)"}
    for _, rows in report.characters.groupby("probe"):
        assert rows.share.sum() == pytest.approx(1, abs=1e-12)
        assert abs(float(rows.share.iloc[-1])) < 1e-12  # band-limited: nothing is left
        assert rows.converged.all()
        assert (rows.stderr == 0).all()
    assert report.summary["converged"]
    per_atom = report.atoms.groupby("structure").A.apply(lambda a: (a**2).mean() ** 0.5)
    assert np.allclose(per_atom, report.equivariance.A)


def test_hybrid_is_exact_where_it_can_be():
    exact, hybrid = measure(3, estimator="grid"), measure(3)
    assert (hybrid.characters.estimator == "grid").all()
    assert np.allclose(exact.characters.share, hybrid.characters.share, atol=1e-14)
    assert hybrid.summary["evaluations"] == exact.summary["evaluations"]


def test_hybrid_and_circles_agree_with_the_grid_within_their_error():
    exact = measure(24, estimator="grid").characters
    for options in ({"max_evaluations": 0}, {"estimator": "circles", "circles": 20}):
        found = measure(24, **options).characters
        assert (found.estimator != "grid").any()
        off = (found.share - exact.share).abs()
        assert (off <= 5 * found.stderr + 1e-10).all()
        strong = exact.share > 0.1
        assert (off[strong] < 0.3 * exact.share[strong]).all()


def test_a_is_the_same_with_every_estimator():
    exact = measure(5, estimator="grid").equivariance
    for estimator in ("circles", "hybrid"):
        found = measure(5, estimator=estimator, max_evaluations=0).equivariance
        assert np.allclose(found.A, exact.A, rtol=0.02)


def test_what_lies_beyond_is_not_called_converged():
    report = measure(2, lambda_max=1, max_degree=2, estimator="grid")
    assert not report.summary["converged"]
    assert "NOT converged" in report.summary["convergence_text"]
    assert not report.characters.converged.any()


def test_degree_is_raised_until_nothing_is_left():
    steps = measure(1, lambda_max=1, max_degree=20).summary["convergence"]
    assert [step["degree"] for step in steps] == [2, 6]
    assert steps[-1]["residual"] < 1e-3 < steps[0]["residual"]


def test_errors_beside_a():
    engine, structures = engine_and_structures(2)
    truths = [
        {block: v + 0.5 for block, v in engine.predict(s).items()} for s in structures
    ]
    report = analyze(engine, structures, Settings(lambda_max=3), truths, progress=False)
    assert np.allclose(report.equivariance.error, 0.5)
    (middle,) = report.summary["medians"]
    assert middle["ratio"] == pytest.approx(report.equivariance.A.median() / 0.5)
    assert measure(1).summary["medians"][0]["error"] is None


def test_ratio_of_means_and_its_error_by_hand():
    irreps = irreps_up_to(0)

    def spectrum(even, odd):
        powers = torch.tensor([even, odd]).double().T
        return Spectrum(Powers(irreps, powers, powers.sum(dim=1)), 1)

    circles = [spectrum([1.0, 3.0], [1.0, 1.0]), spectrum([2.0, 2.0], [0.0, 0.0])]
    even, odd, rest = combine([None, None], circles, irreps)
    assert (even.share, odd.share) == pytest.approx((4 / 5, 1 / 5))
    assert rest.share == pytest.approx(0)
    # residuals of the first: 1 - 0.8 * 2, 3 - 0.8 * 4, variance of their mean 0.04
    assert even.stderr == pytest.approx(0.2 / 5)
    one_grid = [spectrum([2.0], [0.0]), None]
    mixed = combine(one_grid, [None, circles[0]], irreps)
    assert [share.estimator for share in mixed] == ["mixed", "grid", "mixed"]
    assert np.isnan(mixed[1].stderr)  # one structure says nothing about the others


def test_saved_and_loaded(tmp_path):
    report = measure(2)
    report.diagnosis = diagnose(report.equivariance, report.characters)
    names = {path.name for path in report.save(tmp_path)}
    assert names == {
        "equivariance.csv", "characters.csv", "equivariance_per_atom.csv", "summary.json",
    }  # fmt: skip
    loaded = Report.load(tmp_path)
    assert np.allclose(loaded.equivariance.A, report.equivariance.A)
    assert loaded.diagnosis == report.diagnosis
    assert loaded.characters.chi_lambda.isna().sum() == 2
    assert loaded.summary["medians"][0]["target"] == "force"
    # what is missing comes back as missing, not as zero
    assert loaded.equivariance.error_averaged.isna().all()
    assert averages(loaded.equivariance)[0]["A"] == pytest.approx(
        (report.equivariance.A**2).mean() ** 0.5
    )


def test_what_grows_with_the_structure_is_given_per_atom():
    """A stress is one number of the structure too, but is not divided."""
    energy = Block("energy", Irrep(0), "system", "eV")
    stress = Block("non_conservative_stress", Irrep(0), "system", "eV/A^3")

    def first(points):
        return (1 + points[:, 0, 2]).reshape(-1, 1, 1, 1)

    engine = FunctionEngine(targets={energy: first, stress: first})
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3)))
    settings = Settings(lambda_max=1, estimator="grid")
    report = analyze(engine, [engine.prepare(points)], settings, progress=False)
    table = report.equivariance.set_index("target")
    assert table.A["energy"] == pytest.approx(table.A["non_conservative_stress"])
    assert table.A_per_atom["energy"] == pytest.approx(table.A["energy"] / 5)
    assert table.A_per_atom["non_conservative_stress"] == pytest.approx(table.A["energy"])
    units = {"energy": "eV/atom", "non_conservative_stress": "eV/A^3"}
    assert table.unit_per_atom.to_dict() == units
    assert {e["target"]: e["unit"] for e in averages(report.equivariance)} == units


def test_targets_of_another_shape_are_refused():
    engine, structures = engine_and_structures(1)
    wrong = [{VECTOR: torch.zeros(4, 3, 2, dtype=torch.float64)}]
    settings = Settings(lambda_max=1, estimator="grid")
    with pytest.raises(ValueError, match=r"cloud 0: target 'force' has the shape"):
        analyze(engine, structures, settings, wrong, progress=False)
