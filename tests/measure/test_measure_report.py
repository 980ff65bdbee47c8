"""From structures to tables: shares and their errors, degrees, words, files."""

import numpy as np
import pytest
import torch

from metatrain_symmetry.data import LabelledStructure
from metatrain_symmetry.groups import Circles, Irrep, Powers, irreps_up_to
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.averages import averages
from metatrain_symmetry.measure.combine import combine
from metatrain_symmetry.measure.diagnosis import diagnose
from metatrain_symmetry.measure.errors import widening
from metatrain_symmetry.measure.resolver import Spectrum
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import Block, FunctionEngine


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
    return analyze(engine, structures, settings=Settings(**options), progress=False)


def test_tables_are_complete_and_consistent():
    report = measure(3, estimator="grid")
    assert len(report.equivariance) == 3
    assert len(report.atoms) == 12
    assert set(report.characters.probe) == {"layer", "force (1,+)"}
    for _, rows in report.characters.groupby("probe"):
        assert rows.share.sum() == pytest.approx(1, abs=1e-12)
        assert abs(float(rows.share.iloc[-1])) < 1e-12  # band-limited: nothing is left
        assert rows.converged.all()
        assert (rows.stderr < 1e-8).all()  # the square root of what rounding leaves
    assert report.summary["converged"]
    per_atom = report.atoms.groupby("structure").A.apply(lambda a: (a**2).mean() ** 0.5)
    assert np.allclose(per_atom, report.equivariance.A)


def test_hybrid_is_exact_where_it_can_be():
    exact, hybrid = measure(3, estimator="grid"), measure(3)
    assert (hybrid.characters.estimator == "grid").all()
    assert np.allclose(exact.characters.share, hybrid.characters.share, atol=1e-14)
    assert hybrid.summary["grid_degree"] == exact.summary["grid_degree"] == 8


def test_hybrid_and_circles_agree_with_the_grid_within_their_error():
    exact = measure(24, estimator="grid").characters
    for options in ({"max_evaluations": 0}, {"estimator": "circles", "circles": 20}):
        found = measure(24, **options).characters
        off = (found.share - exact.share).abs()
        assert (off <= 4 * found.stderr + 1e-10).all()
        strong = exact.share > 0.1
        assert (off[strong] < 0.3 * exact.share[strong]).all()
    assert (found.estimator == "circles").all()


def test_a_agrees_with_every_estimator_within_its_error():
    exact = measure(5, estimator="grid").equivariance
    assert (exact.A_stderr < 1e-8).all()  # band-limited: nothing is missed or scattered
    for options in ({"estimator": "circles", "circles": 20}, {"max_evaluations": 0}):
        found = measure(5, **options).equivariance
        assert (found.A_stderr < 0.3 * found.A).all()
        assert ((found.A - exact.A).abs() <= 4 * found.A_stderr + 1e-8).all()


def test_what_lies_beyond_is_not_called_converged():
    report = measure(8, lambda_max=1, estimator="grid")
    assert not report.summary["converged"]
    assert "NOT converged: beyond λ = 1 lies" in report.summary["convergence_text"]
    assert "--lambda-max 3 would do" in report.summary["convergence_text"]
    assert not report.characters.converged.any()
    assert measure(8, lambda_max=3, estimator="grid").summary["converged"]


def test_one_word_for_convergence():
    """Table, summary and sentence say the same."""
    for lambda_max in (1, 2, 3):
        report = measure(4, lambda_max=lambda_max)
        assert report.summary["converged"] == report.characters.converged.all()
        text = report.summary["convergence_text"]
        assert text.startswith("converged: ") == report.summary["converged"]
        assert text.startswith("NOT converged") != report.summary["converged"]


def test_a_degree_below_twice_lambda_max_is_no_end():
    """Channels beyond the band come from circles."""
    exact = measure(3, estimator="grid").characters
    found = measure(3, degree=4).characters
    assert {"grid", "circles"} <= set(found.estimator)
    known = found.stderr.notna()
    off = (found.share - exact.share).abs()
    assert (off[known] <= 4 * found.stderr[known] + 1e-10).all()


def test_the_degree_is_raised_where_a_grid_folds_back():
    def sharp(points):
        return torch.tanh(4 * points[:, :1, 2:3])

    engine = FunctionEngine(layers={"sharp": sharp})
    random = np.random.default_rng(0)
    clouds = [engine.prepare(torch.from_numpy(random.normal(size=(2, 3))))]
    smooth = measure(1, lambda_max=2).summary["grid_degree"]
    settings = Settings(lambda_max=2, tolerance=1e-6)
    found = analyze(engine, clouds, settings=settings, progress=False)
    assert smooth == 8 < found.summary["grid_degree"] <= 20


def test_errors_beside_a():
    engine, structures = engine_and_structures(2)
    truths = [
        {block: v + 0.5 for block, v in engine.predict(s).items()} for s in structures
    ]
    data = [LabelledStructure(s, t) for s, t in zip(structures, truths, strict=True)]
    report = analyze(engine, data, settings=Settings(lambda_max=3), progress=False)
    assert np.allclose(report.equivariance.error, 0.5)
    (middle,) = report.summary["medians"]
    assert middle["ratio"] == pytest.approx(report.equivariance.A.median() / 0.5)
    assert measure(1).summary["medians"][0]["error"] is None


def test_ratio_of_means_and_its_error_by_hand():
    irreps = irreps_up_to(0)

    orbit = Circles(2, 0)

    def spectrum(even, odd, orbit=orbit):
        powers = torch.tensor([even, odd]).double().T
        return Spectrum(Powers(irreps, powers, powers.sum(dim=1)), 1, orbit=orbit)

    circles = [spectrum([1.0, 3.0], [1.0, 1.0]), spectrum([2.0, 2.0], [0.0, 0.0])]
    even, odd, rest = combine([None, None], circles, irreps)
    assert (even.share, odd.share) == pytest.approx((4 / 5, 1 / 5))
    assert rest.share == pytest.approx(0)
    # residuals of the first: 1 - 0.8 * 2, 3 - 0.8 * 4, variance of their mean 0.04;
    # those of the second are equal: two degrees of freedom
    assert even.stderr == pytest.approx(0.2 / 5 * widening(2))
    one_grid = [spectrum([2.0], [0.0], None), None]
    mixed = combine(one_grid, [None, circles[0]], irreps)
    assert [share.estimator for share in mixed] == ["mixed", "mixed", "mixed"]
    alone = combine(one_grid, [None, None], irreps, population=2)
    assert np.isnan(alone[1].stderr)  # one structure says nothing about the others


@pytest.mark.parametrize("count", [2, 3, 8])
def test_circles_do_not_replace_a_set_by_chance(count):
    """Few circles that happen to agree have a small error bar, and may all be wrong."""
    irreps = irreps_up_to(0)
    random = np.random.default_rng(count)

    def z_score():
        on_set = Powers(irreps, torch.tensor([[1.0, 0.0]]).double(), torch.ones(1).double())
        on_set.tail = 0.01
        odd = torch.from_numpy(random.normal(scale=0.3, size=count))
        powers = torch.stack([torch.ones_like(odd), odd], dim=1)
        circles = Spectrum(
            Powers(irreps, powers, torch.ones_like(odd)), 1, orbit=Circles(count, 0)
        )
        share = combine([Spectrum(on_set, 1)], [circles], irreps)[1]
        return share.share / share.stderr

    assert max(abs(z_score()) for _ in range(2000)) < 5


@pytest.mark.parametrize(
    ("count", "off", "taken"), [(24, 0, "circles"), (8, 0, "grid"), (24, 2, "grid")]
)
def test_many_circles_that_agree_with_a_set_replace_it(count, off, taken):
    irreps = irreps_up_to(0)
    on_set = Powers(irreps, torch.tensor([[1.0, 0.2]]).double(), torch.ones(1).double())
    on_set.tail = 0.1
    odd = off + 0.1 + 1e-4 * torch.linspace(-1, 1, count).double()
    powers = torch.stack([1 - odd, odd], dim=1)
    circles = Spectrum(
        Powers(irreps, powers, torch.ones(count).double()), 1, orbit=Circles(count, 0)
    )
    share = combine([Spectrum(on_set, 1)], [circles], irreps)[1]
    assert share.estimator == taken
    assert share.share == pytest.approx(0.1 if taken == "circles" else 0.2)


def test_saved_and_loaded(tmp_path):
    report = measure(2)
    report.diagnosis = diagnose(report.equivariance, report.characters)
    report.summary["ratio"] = float("inf")  # JSON has none: it becomes null
    names = {path.name for path in report.save(tmp_path)}
    assert names == {
        "equivariance.csv", "characters.csv", "equivariance_per_atom.csv", "summary.json",
        "rotations.csv",
    }  # fmt: skip
    loaded = Report.load(tmp_path)
    assert np.allclose(loaded.equivariance.A, report.equivariance.A)
    assert loaded.diagnosis == report.diagnosis
    assert loaded.summary["ratio"] is None
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
    report = analyze(engine, [engine.prepare(points)], settings=settings, progress=False)
    table = report.equivariance.set_index("target")
    assert table.A["energy"] == pytest.approx(table.A["non_conservative_stress"])
    assert table.A_per_atom["energy"] == pytest.approx(table.A["energy"] / 5)
    assert table.A_per_atom["non_conservative_stress"] == pytest.approx(table.A["energy"])
    units = {"energy": "eV/atom", "non_conservative_stress": "eV/A^3"}
    assert table.unit_per_atom.to_dict() == units
    assert {e["target"]: e["unit"] for e in averages(report.equivariance)} == units


def test_targets_of_another_shape_are_refused():
    engine, structures = engine_and_structures(1)
    wrong = {VECTOR: torch.zeros(4, 3, 2, dtype=torch.float64)}
    data = [LabelledStructure(structures[0], wrong)]
    settings = Settings(lambda_max=1, estimator="grid")
    with pytest.raises(ValueError, match=r"cloud 0: target 'force' has the shape"):
        analyze(engine, data, settings=settings, progress=False)
