"""SO(2), O(2) and SO(3): closed forms, and what analyze makes of them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from metatrain_symmetry import (
    O2,
    O3,
    SO2,
    SO3,
    Block,
    FunctionEngine,
    Group,
    Irrep,
    Settings,
    analyze,
    group_by_name,
)
from metatrain_symmetry.groups import random_frame, representation
from metatrain_symmetry.groups.axes import perpendicular


AXES = ["z", "x", [1.0, -2.0, 0.5]]
POINTS = torch.tensor([[0.3, -1.2, 0.7], [1.0, 0.2, -0.4]], dtype=torch.float64)
FIELD = Block("field", Irrep(0))
VECTOR = Block("vector", Irrep(1))
CPU = torch.device("cpu")


def energy(function):
    """Engine of one scalar of the points."""
    return FunctionEngine({FIELD: lambda x: function(x)[:, None, None, None]})


def measured(engine, group, **settings):
    data = [engine.prepare(POINTS)]
    chosen = Settings(**settings) if settings else None
    return analyze(engine, data, group, chosen, progress=False)


def shares(report):
    table = report.characters
    return {
        name: share
        for name, share in zip(table.channel, table.share, strict=True)
        if abs(share) > 1e-9
    }


def some_elements(group, n=12):
    """Elements of a group about an axis, at random angles."""
    axis, _, mirror = perpendicular(group.axis)
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, n)
    turns = Rotation.from_rotvec(np.outer(angles, axis)).as_matrix()
    flipped = turns @ (np.eye(3) - 2 * np.outer(mirror, mirror))
    both = turns if isinstance(group, SO2) else np.concatenate([turns, flipped])
    return torch.from_numpy(both)


GROUPS = [kind(axis) for kind in (SO2, O2) for axis in AXES]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_irreps_are_representations(group):
    assert isinstance(group, Group)
    elements = some_elements(group)
    products = torch.einsum("gij,hjk->ghik", elements, elements).reshape(-1, 3, 3)
    for irrep in group.irreps(3):
        matrices = group.representation(irrep, elements)
        both = torch.einsum("gij,hjk->ghik", matrices, matrices)
        found = group.representation(irrep, products).reshape(both.shape)
        torch.testing.assert_close(found, both, atol=1e-10, rtol=0)
        (row,) = group.characters([irrep], elements)
        torch.testing.assert_close(row, matrices.diagonal(dim1=1, dim2=2).sum(1))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_angles_are_exact_and_characters_orthonormal(group):
    points = group.exact(8)
    orbit = points.orbit(4, group.frame(3))
    assert points.size == len(orbit.matrices)
    assert points == group.exact(8)
    irreps = group.irreps(4)
    assert orbit.irreps == irreps
    rows = group.characters(irreps, orbit.matrices)
    rows = rows.to(torch.complex128)
    unit = torch.eye(len(irreps), dtype=rows.dtype)
    found = rows @ rows.mH / len(orbit.matrices)
    torch.testing.assert_close(found, unit, atol=1e-10, rtol=0)
    # the kernels are those of the characters
    pairs = torch.einsum("gji,hjk->ghik", orbit.matrices, orbit.matrices)
    known = group.characters(irreps, pairs.reshape(-1, 3, 3)).real
    sizes = torch.tensor([irrep.dimension for irrep in irreps])
    kernels = sizes[:, None] * known
    torch.testing.assert_close(
        orbit.kernels().flatten(1), kernels.to(torch.float64), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("sigma", [1, -1])
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_how_harmonics_split(group, sigma):
    """SO(2): every |m| <= λ once. O(2): A1 or A2, and Em up to λ. By traces."""
    for degree in range(5):
        irrep = Irrep(degree, sigma)
        orbit = group.exact(2 * degree).orbit(0)
        traces = representation(irrep, orbit.matrices).diagonal(dim1=1, dim2=2).sum(1)
        own = group.irreps(degree)
        rows = group.characters(own, orbit.matrices)
        counts = (rows.conj() @ traces.to(rows.dtype)).real / len(traces)
        several = zip(own, counts.round().tolist(), strict=True)
        assert group.contained(irrep) == tuple(one for one, count in several if count)
        assert set(counts.round().tolist()) <= {0.0, 1.0}
        assert sum(one.dimension for one in group.contained(irrep)) == irrep.dimension


def test_names_of_m_and_of_mirrors():
    assert [str(i) for i in SO2().irreps(2)] == ["m=0", "m=+1", "m=-1", "m=+2", "m=-2"]
    assert [str(i) for i in O2().irreps(2)] == ["A1", "A2", "E1", "E2"]
    assert [str(i) for i in O2().contained(Irrep(2))] == ["A1", "E1", "E2"]
    assert [str(i) for i in O2().contained(Irrep(2, -1))] == ["A2", "E1", "E2"]
    assert [str(i) for i in SO3().contained(Irrep(3, -1))] == ["λ=3"]


def test_escnn_has_the_same_characters():
    """escnn's irreps of O(2): (j, m) with j the mirror and m the frequency."""
    escnn = pytest.importorskip("escnn.group")
    theirs = escnn.o2_group(3)
    group = O2()
    elements = some_elements(group, 5)
    angles = group.angles(elements).tolist()
    signs = torch.linalg.det(elements).tolist()
    for m in (1, 2, 3):
        irrep = group.irreps(3)[m + 1]
        found = group.characters([irrep], elements)[0]
        for value, angle, sign in zip(found.tolist(), angles, signs, strict=True):
            element = theirs.element((int(sign < 0), angle), "radians")
            trace = np.trace(theirs.irrep(1, m)(element))
            assert value == pytest.approx(trace, abs=1e-9)


def along(axis):
    n = torch.tensor(SO2(axis).axis, dtype=torch.float64)
    return energy(lambda x: 0.7 * (x[:, 0] @ n) + x.square().sum(dim=(1, 2)).exp())


@pytest.mark.parametrize("name", ["SO(2)", "O(2)"])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_a_field_along_the_axis_breaks_nothing(name, axis):
    """A is zero about the axis of the field, and not about another one."""
    group = group_by_name(name, axis)
    assert measured(along(axis), group).equivariance["A"][0] < 1e-12
    other = measured(along("y"), group).equivariance["A"][0]
    n, v = torch.tensor(group.axis, dtype=torch.float64), POINTS[0]
    # the field along y turns about n: 0.7 (y - n (y.n)).v_across / sqrt 2
    y = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    across = [(u - n * (n @ u)).norm() for u in (y, v)]
    assert other == pytest.approx(float(0.7 * across[0] * across[1]) / 2**0.5, rel=1e-9)


def test_a_field_under_so3_and_o3():
    """<(z.v)²> over all orientations is |v|²/3, whether inverted or not."""
    expected = 0.7 * float(POINTS[0].norm()) / 3**0.5
    for group in (SO3(), O3()):
        report = measured(along("z"), group, lambda_max=2)
        row = report.equivariance.iloc[0]
        assert pytest.approx(expected, rel=1e-8) == row["A"]
        assert abs(row["A"] - expected) <= 2 * row["A_stderr"] + 1e-9 * expected
        assert set(shares(report)) == (
            {"λ=0", "λ=1"} if isinstance(group, SO3) else {"(0,+)", "(1,+)"}
        )


def test_a_triple_product_is_a_scalar_of_so3_and_not_of_o3():
    """Inversion is no element of SO(3): a pseudoscalar is as good as a scalar there."""
    third = torch.tensor([0.2, 0.4, 1.5], dtype=torch.float64)
    points = torch.cat([POINTS, third[None]])
    engine = energy(torch.linalg.det)
    data = [engine.prepare(points)]
    for group, channel in ((SO3(), "λ=0"), (O3(), "(0,-)")):
        report = analyze(engine, data, group, Settings(lambda_max=2), progress=False)
        found = shares(report)
        assert set(found) == {channel}
        expected = 0.0 if isinstance(group, SO3) else abs(float(torch.linalg.det(points)))
        assert report.equivariance["A"][0] == pytest.approx(expected, abs=1e-12)
    assert report.characters.columns[1:3].tolist() == ["chi_lambda", "chi_sigma"]


def test_so3_has_the_spectrum_of_o3_without_sigma():
    """Summed over σ, O(3) has the mean of SO(3) on a structure and on its mirror image."""
    weights = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 3)))
    engine = energy(lambda x: 0.3 + (x * weights).sum(dim=(1, 2)).sin() + x[:, 0, 0] ** 2)
    settings = Settings(lambda_max=4, estimator="grid", degree=24)

    def powers(group, points):
        report = analyze(engine, [engine.prepare(points)], group, settings, progress=False)
        known = report.characters.dropna(subset=["chi_lambda"])
        return known.groupby("chi_lambda").B.sum().to_numpy()

    ours = (powers(SO3(), POINTS) + powers(SO3(), -POINTS)) / 2
    np.testing.assert_allclose(ours, powers(O3(), POINTS), rtol=1e-6)
    assert (ours > 1e-5).all()


def test_random_frames_and_circles_of_so3_are_unbiased():
    """Powers of a function of λ = 0, 1, 2 from circles, and folded back from small sets."""
    group = SO3()
    expected = torch.tensor([2.0, 0.5, 0.1], dtype=torch.float64)
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)

    def values(matrices):
        c = (matrices @ axis)[:, 2]
        harmonics = [torch.ones_like(c), 3**0.5 * c, 5**0.5 * (1.5 * c**2 - 0.5)]
        scale = expected.sqrt()
        return torch.stack([s * y for s, y in zip(scale, harmonics, strict=True)], dim=1)

    circles = group.circles(400, 3, 1)
    transform = circles.transform([1] * 3, CPU)
    transform.add([value[:, None] for value in values(circles.matrices).T])
    for degree, powers in enumerate(transform.finish()):
        means = powers.powers.mean(dim=0)
        errors = powers.powers.std(dim=0) / 400**0.5
        truth = torch.zeros(4).double()
        truth[degree] = expected[degree]
        assert bool(((means - truth).abs() <= 4 * errors + 1e-9).all())
    for points in (*group.cheap(), group.exact(4)):
        several = []
        for seed in range(60):
            orbit = points.orbit(1, random_frame(seed))
            transform = orbit.transform([1], CPU)
            transform.add([values(orbit.matrices)[:, 2:]])
            (powers,) = transform.finish()
            several.append(powers.powers[0])
        found = torch.stack(several)
        errors = found.std(dim=0) / 60**0.5
        for mean, error, irrep in zip(found.mean(dim=0), errors, orbit.irreps, strict=True):
            folded = float(orbit.folded(irrep, 2)[2]) * 0.1
            assert abs(float(mean) - folded) <= 4 * float(error) + 1e-12


def wave(m, decay=0.0):
    """cos(m φ) of the first point about z, and some of every m."""

    def function(x):
        phi = torch.atan2(x[:, 0, 1], x[:, 0, 0])
        if not decay:
            return 1 + torch.cos(m * phi)
        return 1 / (1 + decay**2 - 2 * decay * torch.cos(phi))

    return energy(function)


def test_powers_of_a_wave():
    """1 + cos(m φ): 2/3 in m = 0, 1/6 in each of ±m; of the mirrors, 1/3 in Em."""
    found = shares(measured(wave(3), "SO(2)"))
    assert found == pytest.approx({"m=0": 2 / 3, "m=+3": 1 / 6, "m=-3": 1 / 6})
    found = shares(measured(wave(3), "O(2)"))
    # the mirror of the orbit is not that of the structure
    assert found == pytest.approx({"A1": 2 / 3, "E3": 1 / 3})


def test_what_lies_beyond_the_band_is_said():
    """The Poisson kernel: powers fall like q^(2|m|), B_m / B_0 = q^(2 |m|)."""
    q = 0.8
    report = measured(wave(0, q), "SO(2)", lambda_max=4)
    norm = (1 + q**2) / (1 - q**2)  # Σ q^(2|m|)
    table = report.characters.set_index("channel")
    for m in range(5):
        expected = q ** (2 * m) / norm
        row = table.loc["m=0" if m == 0 else f"m={m:+d}"]
        assert abs(row.share - expected) <= 2 * row.stderr + 1e-12
        assert row.stderr < 0.01 * expected
    rest = table.loc["residual"]
    beyond = 2 * q**10 / (1 - q**2) / norm
    assert rest.share == pytest.approx(beyond, rel=1e-3)
    assert not rest.converged
    assert not report.summary["converged"]
    text = report.summary["convergence_text"]
    assert text.startswith("NOT converged")
    assert "|m|" in text
    assert f"lies {100 * beyond:.2g} % ± " in text
    assert "--lambda-max" in text
    A = report.equivariance.iloc[0]
    scale = 1 / (1 - q**2)
    exact = scale * (norm - 1) ** 0.5
    assert abs(A["A"] - exact) <= 2 * A["A_stderr"] + 1e-9


def test_a_few_angles_state_what_they_fold_back():
    """Nine angles, chosen by hand, are off by more than rounding and say so."""
    q = 0.5
    report = measured(wave(0, q), "SO(2)", lambda_max=2, degree=8)
    assert report.summary["grid_degree"] == 8
    norm = (1 + q**2) / (1 - q**2)
    row = report.characters.set_index("channel").loc["m=+2"]
    expected = q**4 / norm
    assert 1e-6 < abs(row.share - expected) <= 2 * row.stderr


def test_the_pilot_asks_for_more_angles():
    low = measured(wave(2), "SO(2)").summary["grid_degree"]
    high = measured(wave(0, 0.9), "SO(2)").summary["grid_degree"]
    assert low == 48
    assert high > 90
    given = measured(wave(0, 0.9), "SO(2)", max_degree=60).summary["grid_degree"]
    assert given == 60


def test_little_time_gives_few_angles():
    """A budget that is used up at once still gives A, from nine angles."""
    report = measured(wave(2), "SO(2)", budget=1e-4)
    assert report.summary["grid_degree"] == 8
    assert report.equivariance["A"][0] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("name", ["SO(2)", "O(2)"])
def test_a_vector_is_made_of_its_m(name):
    """Forces that are right have A1 and E1, or |m| <= 1, and A = 0."""
    engine = FunctionEngine({VECTOR: lambda x: x.sum(dim=1)[:, None, [1, 2, 0], None]})
    report = measured(engine, name)
    own = {str(irrep) for irrep in group_by_name(name).contained(Irrep(1))}
    assert set(shares(report)) == own
    assert report.equivariance["A"][0] < 1e-12
    assert report.summary["group"] == name
    assert len(report.rotations) == 0


@pytest.mark.parametrize(
    ("group", "settings", "words"),
    [
        ("SO(2)", {"circles": 4}, "uniform angles about its axis: leave out 'circles'"),
        ("O(2):x", {"estimator": "circles"}, "leave out 'estimator'"),
        ("C3v", {"lambda_max": 4}, "C3v is a finite group, .* leave out 'lambda_max'"),
        ("SO(2)", {"degree": 131}, ""),
        ("C3w", {}, "no group 'C3w': did you mean"),
    ],
)
def test_settings_that_mean_nothing(group, settings, words):
    if not words:
        assert measured(wave(1), group, **settings).summary["grid_degree"] == 131
        return
    with pytest.raises(ValueError, match=words):
        measured(wave(1), group, **settings)


def test_elements_of_another_group_are_refused():
    for group in (SO2(), O2()):
        with pytest.raises(ValueError, match="no group elements of"):
            group.characters(group.irreps(1), random_frame(0)(torch.eye(3)[None].double()))
    with pytest.raises(ValueError, match="no group elements of SO\\(2\\)"):
        SO2().angles(torch.diag(torch.tensor([1.0, -1.0, 1.0])).double()[None])
    with pytest.raises(ValueError, match="SO\\(3\\) has no inversion"):
        SO3().characters(SO3().irreps(1), -torch.eye(3)[None].double())
    with pytest.raises(ValueError, match="choose 0 to 131"):
        SO2().exact(132)
