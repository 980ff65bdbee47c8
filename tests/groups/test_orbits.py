"""Functions of known spectrum, resolved by every orbit; dense products as the oracle."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from metatrain_symmetry.groups import (
    Circles,
    FiniteGroup,
    Irrep,
    O3Grid,
    Sketch,
    irreps_up_to,
    octahedral_group,
    representation,
    small_d,
)
from metatrain_symmetry.groups.product_rule import rings


CPU = torch.device("cpu")


def harmonics(degree, vectors):
    """Real spherical harmonics, m = -l ... l, from scipy's complex ones."""
    r = np.linalg.norm(vectors, axis=-1)
    theta = np.arccos(vectors[..., 2] / r)
    phi = np.arctan2(vectors[..., 1], vectors[..., 0])
    columns = []
    for m in range(-degree, degree + 1):
        y = sph_harm_y(degree, abs(m), theta, phi) * (-1) ** m
        part = y.real if m == 0 else np.sqrt(2) * (y.imag if m < 0 else y.real)
        columns.append(part)
    return torch.from_numpy(np.stack(columns, axis=-1))


def spectrum(orbit, values, chunk=7):
    """Powers of each column, added in uneven pieces."""
    transform = orbit.transform([1] * values.shape[1], CPU)
    for part in values.split(chunk):
        transform.add(list(part.split(1, dim=1)))
    return transform.finish()


def rotated(orbit, seed, count=3):
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return [orbit.matrices @ torch.from_numpy(v) for v in vectors]


@pytest.mark.parametrize("degree", [0, 1, 3, 8, 12, 16, 21, 32, 131])
def test_grid_is_a_rule(degree):
    total = sum(len(ring.alpha) * ring.weight for ring in rings(degree))
    assert abs(total - 1) < 1e-12
    if degree <= 32:
        grid = O3Grid(degree, lambda_max=0)
        assert grid.weights.sum() == pytest.approx(1, abs=1e-13)
        # second moments of one matrix element
        if degree >= 2:
            moment = grid.weights @ grid.matrices[:, 0, 1].square()
            assert moment == pytest.approx(1 / 3, abs=1e-13)


def test_grid_out_of_range():
    with pytest.raises(ValueError, match="no grid of degree 132"):
        O3Grid(132)
    with pytest.raises(ValueError, match="ask for degree 10"):
        O3Grid(8, lambda_max=5)


@pytest.mark.parametrize("degree", range(9))
def test_harmonic_has_its_irrep_only(degree):
    grid = O3Grid(16)
    (x,) = rotated(grid, degree, 1)
    values = harmonics(degree, x.numpy())
    for powers in spectrum(grid, values, 31):
        expected = torch.zeros(len(grid.irreps), dtype=torch.float64)
        expected[grid.irreps.index(Irrep(degree))] = 1 / (4 * np.pi)
        assert torch.allclose(powers.powers[0], expected, atol=1e-13)


def test_known_products():
    """Scalars, pseudoscalars from triple products, axial vectors, a product of two."""
    grid = O3Grid(8)
    x, y, z = rotated(grid, 0)
    cross = torch.linalg.cross(x, y)
    values = torch.stack(
        [(x * y).sum(1), (cross * z).sum(1), cross[:, 0], x[:, 0] * x[:, 1]], 1
    )
    held = [
        {str(i) for i, b in zip(p.irreps, p.powers[0], strict=True) if b > 1e-14}
        for p in spectrum(grid, values)
    ]
    assert held == [{"(0,+)"}, {"(0,-)"}, {"(1,-)"}, {"(2,+)"}]


@pytest.mark.parametrize(
    ("degree", "improper"), [*product((4, 9, 12), (True, False)), (16, False)]
)
def test_fast_transform_equals_dense_product(degree, improper):
    grid = O3Grid(degree, improper=improper)
    values = torch.randn(
        len(grid.matrices), 3, generator=torch.Generator().manual_seed(1)
    ).double()
    found = spectrum(grid, values, 50)
    for column, irrep in enumerate(grid.irreps):
        matrices = representation(irrep, grid.matrices)
        c = torch.einsum("g,gmn,gf->mnf", grid.weights, matrices, values)
        dense = irrep.dimension * c.square().sum(dim=(0, 1))
        fast = torch.stack([p.powers[0, column] for p in found])
        assert torch.allclose(fast, dense, rtol=1e-12, atol=1e-16)
    # Bessel's inequality needs positive weights, which the set of degree 12 has not
    assert (grid.weights > 0).all() == (degree != 12)
    for i, powers in enumerate(found):
        assert powers.norm2[0] == pytest.approx(float(grid.weights @ values[:, i] ** 2))
        if degree != 12:
            assert powers.powers.sum() <= powers.norm2[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_parseval_and_independence_of_the_frame(seed):
    grid = O3Grid(12)
    frame = representation(Irrep(1), Circles(1, 0, seed).matrices[:1])[0]
    found = []
    for turn in (torch.eye(3, dtype=torch.float64), frame):
        vectors = np.random.default_rng(seed).normal(size=(2, 3))
        x, y = (grid.matrices @ turn @ torch.from_numpy(v) for v in vectors)
        values = torch.stack([x[:, 0] ** 3 * y[:, 1] + x[:, 2], x[:, 0] * y[:, 1]], 1)
        found.append(spectrum(grid, values, 1000))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one.powers, other.powers, rtol=1e-10, atol=1e-12)
        assert one.powers.sum() == pytest.approx(float(one.norm2[0]), rel=1e-11)


@pytest.mark.parametrize("o3_lambda", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("sigma", [1, -1])
def test_representation_turns_harmonics(o3_lambda, sigma):
    elements = Circles(3, 2, 1).matrices
    vector = np.random.default_rng(5).normal(size=3)
    rotations = elements * torch.linalg.det(elements).reshape(-1, 1, 1)
    turned = harmonics(o3_lambda, (rotations.numpy() @ vector))
    irrep = Irrep(o3_lambda, sigma)
    signs = torch.where(torch.linalg.det(elements) > 0, 1, irrep.parity)
    expected = turned * signs[:, None]
    found = representation(irrep, elements) @ harmonics(o3_lambda, vector)
    assert torch.allclose(found, expected, atol=1e-12)


def test_small_d_is_orthogonal_at_high_degree():
    d = small_d(65, np.array([0.3, 2.9]))
    assert np.abs(d @ d.transpose(0, 2, 1) - np.eye(131)).max() < 1e-12
    assert small_d(1, np.array([0.4]))[0, 1, 1] == pytest.approx(np.cos(0.4))


def test_circles_are_unbiased_within_their_error():
    circles, grid = Circles(4000, 3, seed=2), O3Grid(8)

    def function(orbit):
        x, y, z = rotated(orbit, 3)
        vector = torch.linalg.cross(x, y)[:, 0]
        return torch.stack([5 + x[:, 0] + 0.1 * x[:, 0] * y[:, 1] * z[:, 2], vector], 1)

    for estimate, exact in zip(
        spectrum(circles, function(circles), 10**6),
        spectrum(grid, function(grid), 10**6),
        strict=True,
    ):
        mean = estimate.powers.mean(dim=0)
        error = estimate.powers.std(dim=0) / 4000**0.5
        expected = exact.powers[0, : len(mean)]
        assert ((mean - expected).abs() <= 4.5 * error + 1e-12).all()
        assert (error < 0.05 * exact.norm2).all()


def test_octahedral_group():
    group = octahedral_group()
    x, y, _ = rotated(group, 4)
    values = torch.stack(
        [
            x[:, 0],
            x[:, 0] * x[:, 1],
            torch.linalg.cross(x, y)[:, 0],
            x.prod(dim=1),
            x[:, 0] ** 0,
        ],
        1,
    )
    names = []
    for powers in spectrum(group.exact().orbit(), values):
        assert powers.powers.sum() == pytest.approx(float(powers.norm2[0]))
        names.append(
            [
                str(i)
                for i, b in zip(powers.irreps, powers.powers[0], strict=True)
                if b > 1e-12
            ]
        )
    assert names == [["T1u"], ["T2g"], ["T1g"], ["A2u"], ["A1g"]]


def test_what_is_no_group():
    group = octahedral_group()
    rows = {str(i): c for i, c in zip(group.irreps(), group.table, strict=True)}
    with pytest.raises(ValueError, match="no group"):
        FiniteGroup(group.matrices[1:], {})
    with pytest.raises(ValueError, match="some irreps are missing"):
        FiniteGroup(group.matrices, {k: v for k, v in rows.items() if k != "Eg"})
    with pytest.raises(ValueError, match="not orthonormal"):
        FiniteGroup(group.matrices, {"A1g": [2.0] * 48})


def test_sketch_keeps_squared_norms_on_average():
    values = torch.randn(5, 300, generator=torch.Generator().manual_seed(0)).double()
    sketched = Sketch(300, 32, 2000, 1, CPU)(values)
    squares = torch.stack([s.square().sum(dim=1) for s in sketched])
    exact = values.square().sum(dim=1)
    error = squares.std(dim=0) / 2000**0.5
    assert ((squares.mean(dim=0) - exact).abs() < 4.5 * error).all()


def test_text_of_irreps():
    assert [str(i) for i in irreps_up_to(1)] == ["(0,+)", "(0,-)", "(1,+)", "(1,-)"]
    assert (Irrep(3).parity, Irrep(3, -1).parity, Irrep(3).dimension) == (-1, 1, 7)
    with pytest.raises(ValueError, match="there is no irrep"):
        Irrep(-1)


@pytest.mark.parametrize(
    "orbit", [O3Grid(4), Circles(1, 1), octahedral_group().exact().orbit()]
)
def test_missing_elements_are_noticed(orbit):
    transform = orbit.transform([1], CPU)
    transform.add([torch.zeros(3, 1)])
    with pytest.raises(RuntimeError, match="only 3 of"):
        transform.finish()


@pytest.mark.parametrize(
    "orbit", [Circles(3, 2), octahedral_group().exact().orbit()], ids=["circles", "finite"]
)
def test_equal_weights_are_exact(orbit):
    n = len(orbit.matrices)
    assert orbit.weights.tolist() == [1 / n] * n
