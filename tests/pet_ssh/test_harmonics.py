"""The solid harmonics against exact values, identities and two independent codes."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from metatrain_symmetry.pet_ssh.modules.harmonics import MAX_L, SolidHarmonics


def degrees(l_max):
    """Degree of every column."""
    return torch.tensor([l for l in range(l_max + 1) for _ in range(2 * l + 1)])


def vectors(n=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 1.5 * torch.randn(n, 3, dtype=torch.float64, generator=generator)


def relative_error(values, reference, xyz, l_max):
    """Error in units of the norm of all harmonics of that degree."""
    l = degrees(l_max)
    r = xyz.norm(dim=1, keepdim=True)
    return (values - reference) / (r**l * ((2 * l + 1) / (4 * math.pi)).sqrt())


DEGREES = [0, 1, 2, 3, 4, 8, 16, MAX_L]
SPHERICART = """
import sys, torch, sphericart.torch
xyz = torch.load("xyz.pt")
values = [sphericart.torch.SolidHarmonics(int(l))(xyz) for l in sys.argv[1:]]
torch.save(values, "values.pt")
"""


@pytest.fixture(scope="module")
def sphericart_values(tmp_path_factory):
    """In a process of its own: once imported, it marks every model that is exported."""
    folder = tmp_path_factory.mktemp("sphericart")
    torch.save(vectors(), folder / "xyz.pt")
    command = [sys.executable, "-c", SPHERICART, *map(str, DEGREES)]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    return dict(zip(DEGREES, torch.load(folder / "values.pt"), strict=True))


def test_closed_forms():
    x, y, z = xyz = vectors().T
    r2 = (xyz * xyz).sum(dim=0)
    exact = [
        torch.full_like(x, math.sqrt(1 / (4 * math.pi))),
        *(math.sqrt(3 / (4 * math.pi)) * c for c in (y, z, x)),
        math.sqrt(15 / (4 * math.pi)) * x * y,
        math.sqrt(15 / (4 * math.pi)) * y * z,
        math.sqrt(5 / (16 * math.pi)) * (3 * z * z - r2),
        math.sqrt(15 / (4 * math.pi)) * x * z,
        math.sqrt(15 / (16 * math.pi)) * (x * x - y * y),
    ]
    torch.testing.assert_close(
        SolidHarmonics(2)(xyz.T), torch.stack(exact, dim=1), rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("l_max", DEGREES)
def test_agrees_with_sphericart(l_max, sphericart_values):
    xyz, reference = vectors(), sphericart_values[l_max]
    error = relative_error(SolidHarmonics(l_max)(xyz), reference, xyz, l_max)
    assert error.abs().max() < 1e-13
    # and what float32 costs
    single = SolidHarmonics(l_max)(xyz.float()).double()
    assert relative_error(single, reference, xyz, l_max).abs().max() < 1e-5


def test_agrees_with_scipy():
    l_max, xyz = 6, vectors(20)
    r = xyz.norm(dim=1).numpy()
    x, y, z = xyz.numpy().T
    theta, phi = np.arccos(z / r), np.arctan2(y, x)
    columns = []
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            complex_y = sph_harm_y(l, abs(m), theta, phi) * (-1) ** m * r**l
            part = complex_y.imag if m < 0 else complex_y.real
            columns.append(part if m == 0 else math.sqrt(2) * part)
    reference = torch.from_numpy(np.stack(columns, axis=1))
    torch.testing.assert_close(
        SolidHarmonics(l_max)(xyz), reference, rtol=1e-11, atol=1e-11
    )


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10), st.integers(0, 10**6))
def test_unsoeld_homogeneity_parity(l_max, seed):
    xyz = vectors(5, seed)
    harmonics = SolidHarmonics(l_max)
    values, l = harmonics(xyz), degrees(l_max)
    torch.testing.assert_close(harmonics(2 * xyz), values * 2.0**l, rtol=1e-12, atol=0)
    torch.testing.assert_close(harmonics(-xyz), values * (-1.0) ** l)
    for degree in range(l_max + 1):  # Unsoeld: the sum over m depends on r alone
        total = (values[:, l == degree] ** 2).sum(dim=1)
        expected = xyz.norm(dim=1) ** (2 * degree) * (2 * degree + 1) / (4 * math.pi)
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)


def test_harmonic():
    """The Laplacian of every function vanishes."""
    l_max, xyz = 5, vectors(7).requires_grad_()
    values = SolidHarmonics(l_max)(xyz)
    for column in range(values.shape[1]):
        (gradient,) = torch.autograd.grad(
            values[:, column].sum() + 0 * xyz.sum(), xyz, create_graph=True
        )
        laplacian = sum(
            torch.autograd.grad(
                gradient[:, i].sum() + 0 * xyz.sum(), xyz, retain_graph=True
            )[0][:, i]
            for i in range(3)
        )
        assert laplacian.abs().max() < 1e-9 * gradient.detach().abs().max().clamp(min=1)


@pytest.mark.parametrize("compiled", [False, True])
def test_derivatives(compiled):
    harmonics = SolidHarmonics(8)
    function = torch.jit.script(harmonics) if compiled else harmonics
    xyz = vectors(4).requires_grad_()
    assert torch.autograd.gradcheck(function, xyz)
    assert torch.autograd.gradgradcheck(function, xyz)


def test_nothing_to_do_and_origin():
    assert SolidHarmonics(3)(torch.zeros(0, 3)).shape == (0, 16)
    at_origin = SolidHarmonics(3)(torch.zeros(1, 3))[0]
    assert at_origin[0] > 0
    assert (at_origin[1:] == 0).all()


def test_a_detour_over_float32_costs_nothing():
    xyz = vectors(10)
    harmonics = SolidHarmonics(6)
    before = harmonics(xyz)
    assert torch.equal(harmonics.float().double()(xyz), before)
    scripted = torch.jit.script(harmonics)
    assert torch.equal(scripted.float().double()(xyz), before)
