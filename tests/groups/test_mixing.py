"""Small point sets in random frames: what they fold back is known."""

import numpy as np
import pytest
import torch

from metatrain_symmetry.groups import (
    Frame,
    GroupOrbit,
    Irrep,
    O3Grid,
    irreps_up_to,
    mixing,
    octahedral_group,
    random_frame,
    representation,
)


CPU = torch.device("cpu")


def powers(orbit, function):
    values = function(orbit.matrices)
    transform = orbit.transform([values.shape[1]], CPU)
    transform.add([values])
    return transform.finish()[0]


def polynomials(matrices):
    """Channels of high degree, proper and pseudo."""
    x = matrices.flatten(1)
    return torch.stack([x[:, 0] ** 9 + x[:, 1] * x[:, 4], x[:, 2] ** 8 * x[:, 3]], dim=1)


@pytest.mark.parametrize("degree", [4, 8, 12])
def test_a_grid_mixes_nothing_within_its_degree(degree):
    rows, columns = irreps_up_to(degree // 2), irreps_up_to(14)
    found = mixing(O3Grid(degree), rows, columns)
    assert found.shape == (len(rows), len(columns))
    for row, a in zip(found, rows, strict=True):
        for value, b in zip(row.tolist(), columns, strict=True):
            if a.o3_lambda + b.o3_lambda <= degree:
                assert value == pytest.approx(float(a == b), abs=1e-8)
    # and something beyond: what is subtracted is not nothing
    assert found[:, [b.o3_lambda > degree for b in columns]].max() > 1e-3


def test_mixing_keeps_parities_apart_and_is_not_negative():
    irreps = irreps_up_to(10)
    for orbit in (O3Grid(6), GroupOrbit("I")):
        found = mixing(orbit, irreps, irreps)
        assert found.min() >= 0
        for row, a in zip(found, irreps, strict=True):
            for value, b in zip(row.tolist(), irreps, strict=True):
                assert value == 0 or a.parity == b.parity


def test_scalar_row_counts_the_invariants_of_a_group():
    """``M_(0+),β = m_β / d_β``, m the number of invariants: the classical reductions."""
    degrees = {
        "T": {0, 3, 4, 6, 7, 8, 9, 10},
        "O": {0, 4, 6, 8, 9, 10},
        "I": {0, 6, 10},
    }
    for name, invariant in degrees.items():
        row = mixing(
            GroupOrbit(name, improper=False), [Irrep(0)], [Irrep(d) for d in range(11)]
        )
        assert {d for d in range(11) if row[0, d] > 0} == invariant


def test_mixing_does_not_depend_on_the_frame():
    rows, columns = irreps_up_to(2), irreps_up_to(9)
    given = GroupOrbit("O", frame=random_frame(3))
    assert torch.allclose(
        mixing(given, rows, columns), mixing(GroupOrbit("O"), rows, columns)
    )


def test_closed_form_of_one_harmonic():
    """Matrix elements of one irrep: each frame gives the same sum over m and n."""
    irrep = Irrep(6)
    orbit = GroupOrbit("I", frame=random_frame(1))
    found = powers(orbit, lambda g: representation(irrep, g).flatten(1))
    # sum of D_mn² is 2λ+1, all of it in (6,+)
    expected = irrep.dimension * mixing(orbit, orbit.irreps, [irrep])[:, 0]
    assert torch.allclose(found.powers[0], expected, atol=1e-10)


@pytest.mark.parametrize(
    "make", [lambda f: O3Grid(8, frame=f), lambda f: GroupOrbit("I", frame=f)]
)
def test_expectation_over_frames_is_the_mixed_spectrum(make):
    """Against an exact grid, over many frames: a z score for every channel."""
    exact = powers(O3Grid(20), polynomials).powers[0]
    found = torch.stack(
        [powers(make(random_frame(seed)), polynomials).powers[0] for seed in range(200)]
    )
    orbit = make(random_frame(0))
    expected = mixing(orbit, orbit.irreps, irreps_up_to(10)) @ exact
    off = (found.mean(dim=0) - expected).abs()
    assert (off <= 3.5 * found.std(dim=0) / 200**0.5 + 1e-9).all()
    # folding is there: without M some channel would be off by many sigmas
    bare = (found.mean(dim=0) - exact[: len(orbit.irreps)]).abs()
    assert (bare > 10 * found.std(dim=0) / 200**0.5 + 1e-6).any()


def test_group_orbit_equals_the_finite_group_on_scalars():
    group, orbit = octahedral_group().exact().orbit(), GroupOrbit("O")
    a, b = powers(group, polynomials), powers(orbit, polynomials)
    assert float(a.norm2) == pytest.approx(float(b.norm2), rel=1e-12)
    assert float(a.powers[0, 0]) == pytest.approx(float(b.powers[0, 0]), rel=1e-10)


def test_frames_are_rotations_that_differ():
    frames = [random_frame(seed) for seed in range(4)]
    for matrix in (part for frame in frames for part in frame):
        assert torch.allclose(matrix @ matrix.T, torch.eye(3, dtype=torch.float64))
        assert float(torch.linalg.det(matrix)) == pytest.approx(1)
    assert len({round(float(part[0, 0]), 9) for frame in frames for part in frame}) == 8


def test_a_frame_from_the_right_alone_would_not_do():
    """The laboratory has directions: without the left rotation M is wrong."""
    exact = powers(O3Grid(20), polynomials).powers[0]
    found = []
    for seed in range(100):
        right = random_frame(seed).right
        frame = Frame(torch.eye(3, dtype=torch.float64), right)
        found.append(powers(O3Grid(8, frame=frame), polynomials).powers[0])
    found = torch.stack(found)
    expected = mixing(O3Grid(8), irreps_up_to(4), irreps_up_to(10)) @ exact
    off = (found.mean(dim=0) - expected).abs()
    assert (off > 20 * found.std(dim=0) / 100**0.5 + 1e-9).any()


def test_a_framed_grid_keeps_what_is_within_its_band():
    def quadratic(g):
        return g.flatten(1)[:, :4].square()

    plain = powers(O3Grid(8), quadratic).powers
    framed = powers(O3Grid(8, frame=random_frame(7)), quadratic).powers
    assert np.allclose(plain, powers(O3Grid(12, 4), quadratic).powers, atol=1e-12)
    # channels of the values rotate into each other: their sum over m, n does not change
    assert np.allclose(plain, framed, atol=1e-12)
