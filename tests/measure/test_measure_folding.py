"""What a small set folds back or misses, in closed form."""

import numpy as np
import pytest
import torch

from metatrain_symmetry.data.given import GivenStructure, GivenStructures
from metatrain_symmetry.data.lazy import LazyStructures
from metatrain_symmetry.groups import (
    O3,
    Circles,
    GroupOrbit,
    Irrep,
    O3Grid,
    irreps_up_to,
    random_frame,
    representation,
)
from metatrain_symmetry.measure.budget import Clock
from metatrain_symmetry.measure.combine import combine
from metatrain_symmetry.measure.deviation import refine
from metatrain_symmetry.measure.folding import Folding
from metatrain_symmetry.measure.resolver import Spectrum
from metatrain_symmetry.measure.run import Run
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Block, FunctionEngine


SCALAR = Block("energy", Irrep(0), "system", "eV")
CPU = torch.device("cpu")


def spectrum(orbit, function):
    values = function(orbit.matrices)
    transform = orbit.transform([values.shape[1]], CPU)
    transform.add([values])
    return Spectrum(transform.finish()[0], 1, orbit=orbit)


def elements(*irreps):
    """All matrix elements of some irreps, each irrep with a squared norm of one."""

    def function(matrices):
        parts = [
            representation(irrep, matrices).flatten(1) / irrep.dimension**0.5
            for irrep in irreps
        ]
        return torch.cat(parts, dim=1)

    return function


@pytest.mark.parametrize(
    "make", [lambda f: GroupOrbit("I", frame=f), lambda f: O3Grid(4, frame=f)]
)
def test_folded_channels_are_subtracted_exactly(make):
    """With all elements of an irrep, frames and circles do not scatter."""
    function = elements(Irrep(1, -1), Irrep(6), Irrep(8))
    point_set = spectrum(make(random_frame(3)), function)
    circles = spectrum(Circles(3, 10, seed=1), function)
    folded = point_set.powers.powers[0].numpy()
    names = [str(irrep) for irrep in point_set.powers.irreps]
    expected = np.array([float(name == "(1,-)") for name in names])
    assert abs(folded - expected).max() > 0.05  # the set alone is wrong
    shares = combine([point_set], [circles], irreps_up_to(2))
    found = np.array([share.share for share in shares[:-1]])
    assert found == pytest.approx(expected / 3, abs=1e-10)
    assert shares[-1].share == pytest.approx(2 / 3)
    for share in shares[:-1]:
        assert share.stderr > 0  # a frame scatters, though not for this function


def test_what_a_set_leaves_is_the_residual_without_what_it_folds():
    function = elements(Irrep(1, -1), Irrep(6), Irrep(8))
    point_set = spectrum(O3Grid(4, frame=random_frame(3)), function)
    circles = spectrum(Circles(3, 10, seed=1), function)
    left = 1 - float(point_set.powers.powers.sum() / point_set.powers.norm2)
    assert abs(left - 2 / 3) > 0.1  # the set alone is wrong
    share, error = Folding([(point_set, circles)]).beyond(irreps_up_to(2), 1)
    assert share == pytest.approx(2 / 3, abs=1e-10)
    assert error > 0
    # a function of the band: nothing is left, and no error but rounding
    within = elements(Irrep(0), Irrep(2))
    pair = spectrum(O3Grid(4, frame=random_frame(3)), within)
    seen = spectrum(Circles(3, 10, seed=1), within)
    share, error = Folding([(pair, seen)]).beyond(irreps_up_to(2), 1)
    assert abs(share) < 1e-13
    assert error < 1e-12
    assert Folding([(pair, seen)]).beyond(irreps_up_to(3), 1) is None
    assert Folding([(pair, None)]).beyond(irreps_up_to(2), 1) is None


def test_without_circles_the_error_covers_what_may_be_folded():
    function = elements(Irrep(1, -1), Irrep(6), Irrep(8))
    point_set = spectrum(GroupOrbit("I", frame=random_frame(3)), function)
    shares = combine([point_set], [None], irreps_up_to(2))
    for share in shares[:-1]:
        exact = 1 / 3 if str(share.irrep) == "(1,-)" else 0.0
        assert abs(share.share - exact) <= 3 * share.stderr


def zonal(points):
    """The Legendre polynomial of degree 6 of the first point's direction."""
    z = points[:, 0, 2] / points[:, 0].norm(dim=-1)
    value = (231 * z**6 - 315 * z**4 + 105 * z**2 - 5) / 16
    return value.reshape(-1, 1, 1, 1)


def test_a_is_corrected_for_what_the_set_misses():
    """``A² = 1 / 13``; the icosahedral orbit is blind to a part of degree 6."""
    engine = FunctionEngine(targets={SCALAR: zonal})
    structure = engine.prepare(torch.tensor([[0.3, -0.4, 1.2]]).double())
    plain, corrected, z = [], [], []
    for seed in range(150):
        orbit = GroupOrbit("I", frame=random_frame(seed))
        found = measure_structure(engine, structure, orbit, [SCALAR], [], spectra=False)
        one = found.equivariance[SCALAR]
        circles = Circles(24, 14, seed)
        deviations = measure_structure(
            engine, structure, circles, [SCALAR], [],
            spectra=False, equivariance=False, centres={SCALAR: one.mean},
        ).deviations  # fmt: skip
        (better,) = refine([one], [deviations[SCALAR]], [orbit])
        plain.append(float(one.squared))
        corrected.append(float(better.squared))
        z.append((better.A - 13**-0.5) / better.A_stderr)
    error = np.std(corrected) / 150**0.5
    assert abs(np.mean(corrected) - 1 / 13) < 3.5 * error
    assert abs(np.mean(plain) - 1 / 13) > 4 * np.std(plain) / 150**0.5
    assert np.mean(np.abs(z) > 3) <= 0.02


def test_without_circles_a_has_no_error_bar():
    engine = FunctionEngine(targets={SCALAR: zonal})
    structure = engine.prepare(torch.tensor([[0.3, -0.4, 1.2]]).double())
    orbit = GroupOrbit("I", frame=random_frame(0))
    found = measure_structure(engine, structure, orbit, [SCALAR], [], spectra=False)
    (same,) = refine([found.equivariance[SCALAR]], [None], [orbit])
    assert np.isnan(same.A_stderr)


def test_structures_are_prepared_when_asked_for():
    class Counting:
        prepared: list

        def __init__(self):
            self.prepared = []

        def prepare(self, system, name):
            self.prepared.append(name)
            return (system, name)

    engine = Counting()
    systems = [[1, 2], [3], [4, 5, 6]]
    read = lambda i: GivenStructure("abc"[i], systems[i], lambda blocks: {})  # noqa: E731
    given = GivenStructures(3, read, lambda i: len(systems[i]))
    lazy = LazyStructures(engine, given, labels=False)
    assert (len(lazy), lazy.sizes, engine.prepared) == (3, [2, 1, 3], [])
    assert lazy[1].structure == ([3], "b")
    assert lazy[-2] is lazy[1]
    assert engine.prepared == ["b"]
    assert [one.structure[1] for one in lazy[:2]] == ["a", "b"]
    with pytest.raises(IndexError, match="no structure 3 among 3"):
        lazy[3]
    small = LazyStructures(engine, given, labels=False, kept=2)
    engine.prepared.clear()
    for index in (0, 1, 0, 2, 0, 1):  # the third takes the place of the second
        assert small[index].structure == (systems[index], "abc"[index])
    assert engine.prepared == ["a", "b", "c", "b"]


def test_structures_of_a_run_share_their_orbits():
    engine = FunctionEngine(targets={SCALAR: zonal})
    points = torch.tensor([[0.3, -0.4, 1.2]]).double()
    data = [engine.prepare(points * k) for k in (1, 2, 3)]
    settings = Settings(lambda_max=2, degree=4, circles=2, budget=None)
    run = Run(engine, O3(), data, settings, Clock(None), progress=False)
    run.measure()
    orbits = [
        spectrum.orbit
        for found in (*run.sets.values(), *run.circles.values())
        for spectrum in (*found.spectra.values(), *found.asymmetry.values())
        if spectrum.orbit is not None
    ]
    # of three structures, each with two spectra on a set and on circles
    assert len(orbits) > 3
    assert len({id(orbit) for orbit in orbits}) == len({orbit.kind for orbit in orbits})
