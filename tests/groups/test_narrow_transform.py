"""Sums of float32 values: powers above 1e-12 of the squared norm are those of float64."""

import pytest
import torch

from metatrain_symmetry.groups import Irrep, O3Grid, irreps_up_to, random_frame
from metatrain_symmetry.groups.fast_transform import FastTransform
from metatrain_symmetry.groups.narrow_transform import NarrowTransform
from metatrain_symmetry.groups.so3 import RotationGrid
from metatrain_symmetry.groups.wigner import representation


CPU = torch.device("cpu")

FLOOR = 1e-12
"""Share of the squared norm from which on powers are compared."""

TOLERANCE = 1e-3
"""Relative difference that they may have, right at the floor."""


def values_with(shares, orbit, channels, seed=0):
    """Matrix elements of irreps with random coefficients, of the given shares."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(len(orbit.matrices), channels, dtype=torch.float64)
    for irrep, share in shares.items():
        rows = representation(irrep, orbit.matrices).flatten(1)
        random = torch.randn(rows.shape[1], channels, generator=generator).double()
        part = rows @ random
        norm = (orbit.weights @ part.square().sum(dim=1)).sqrt()
        found += part * (share / norm**2) ** 0.5
    return found


def resolved(kind, orbit, values, chunks=56):
    """Powers of two slices, taken in chunks that split the nodes."""
    widths = [300, values.shape[1] - 300]
    transform = kind(orbit, widths, CPU)
    for part in values.split(chunks):
        transform.add(list(part.split(widths, dim=1)))
    return transform.finish()


@pytest.mark.parametrize("mean", [0.0, 0.9, 1 - 1e-6], ids=["none", "large", "all but"])
@pytest.mark.parametrize("limit", [3, 5])
def test_powers_down_to_the_floor(mean, limit):
    """Whatever dominates, the mean or (1,+), irreps at the floor keep their powers."""
    orbit = O3Grid(2 * limit, limit, frame=random_frame(3))
    irreps = irreps_up_to(limit)
    shares = {irrep: 2 * FLOOR * 10 ** (i % 5) for i, irrep in enumerate(irreps)}
    shares |= {Irrep(0): mean, Irrep(1): (1 - mean) * 0.9, Irrep(3): (1 - mean) * 0.1}
    shares = {irrep: share for irrep, share in shares.items() if share}
    # as a model gives them: rounded to float32
    values = values_with(shares, orbit, 500).to(torch.float32)
    narrow, wide = (resolved(k, orbit, values) for k in (NarrowTransform, FastTransform))
    for found, expected in zip(narrow, wide, strict=True):
        norm = float(expected.norm2)
        assert float(found.norm2) == pytest.approx(norm, rel=1e-8)
        enough = expected.powers > FLOOR * norm
        assert int(enough.sum()) == len(shares)
        error = (found.powers / expected.powers - 1).abs()[enough]
        assert float(error.max()) < TOLERANCE
        # and nothing comes up where there is nothing
        assert float(found.powers[~enough].sum()) < 1e-3 * FLOOR * norm


def test_closed_form_on_rotations_alone():
    """Elements of λ = 2, of unit weight each: the power is their mean square."""
    orbit = RotationGrid(8, 4, False, random_frame(1))
    rows = representation(Irrep(2), orbit.matrices).flatten(1).to(torch.float32)
    transform = orbit.transform([25], CPU)
    transform.add([rows])
    (found,) = transform.finish()
    expected = torch.zeros(5, dtype=torch.float64)
    expected[2] = 25 / 5
    assert torch.allclose(found.powers[0], expected, atol=1e-6)
    assert float(found.norm2) == pytest.approx(5, rel=1e-7)


def test_which_transform_is_taken():
    full, low = O3Grid(8), O3Grid(16, 1)
    for orbit, dtype, expected in (
        (full, torch.float32, NarrowTransform),
        (full, torch.float64, FastTransform),
        # few coefficients: they need less memory than what comes before them
        (low, torch.float32, FastTransform),
    ):
        transform = orbit.transform([3], CPU)
        transform.add([torch.zeros(5, 3, dtype=dtype)])
        assert isinstance(transform.chosen, expected)
        with pytest.raises(RuntimeError, match="only 5 of"):
            transform.finish()
