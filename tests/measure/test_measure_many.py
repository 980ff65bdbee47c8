"""A of many structures from icosahedral orbits, against exact grids."""

import numpy as np
import pandas as pd
import pytest
import torch

from metatrain_symmetry.groups import O3, SO3, Irrep, O3Grid, random_frame
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.pilot import SPEAKERS
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Block, FunctionEngine


VECTOR = Block("force", Irrep(1), "atom", "eV/A")
SETTINGS = {"lambda_max": 2, "budget": None, "estimator": "icosahedral"}


def force(points):
    """A vector that no icosahedral orbit averages exactly, and a preferred axis."""
    axial = torch.linalg.cross(points, points.roll(1, dims=1), dim=-1)
    tail = torch.sin(4 * points.roll(1, dims=-1)) + 0.3 * axial
    return (points + 0.1 * tail).roll(-1, dims=-1).unsqueeze(-1)


def engine_and_structures(count, targets=force):
    engine = FunctionEngine(targets={VECTOR: targets})
    random = np.random.default_rng(5)
    clouds = [torch.from_numpy(random.normal(size=(4, 3))) for _ in range(count)]
    return engine, [engine.prepare(cloud) for cloud in clouds]


@pytest.fixture(scope="module")
def several():
    """Reports of ten seeds on sixty structures, and A from a grid of degree 24."""
    engine, structures = engine_and_structures(60)
    grid = O3Grid(24, 0, frame=random_frame(99))
    exact = []
    for structure in structures:
        found = measure_structure(engine, structure, grid, [VECTOR], [], spectra=False)
        exact.append(found.equivariance[VECTOR].A)
    reports = [
        analyze(engine, structures, settings=Settings(seed=s, **SETTINGS), progress=False)
        for s in range(10)
    ]
    return reports, np.array(exact)


def test_z_scores_of_every_a(several):
    reports, exact = several
    tables = [report.equivariance for report in reports]
    z = np.array([(t.A - exact) / t.A_stderr for t in tables])
    assert np.isfinite(z).all()
    assert (abs(z) > 3).mean() <= 0.005
    # the errors say something: neither far too large nor larger than A
    assert np.square(z).mean() > 0.1**2
    assert pd.concat(tables).eval("A_stderr / A").median() < 0.1


def test_z_scores_of_the_median(several):
    reports, exact = several
    middles = [report.summary["medians"][0] for report in reports]
    found = np.array([(m["A"], m["A_stderr"]) for m in middles])
    z = (found[:, 0] - np.median(exact)) / found[:, 1]
    assert abs(z).max() < 3
    single = np.median([t.equivariance.A_stderr.median() for t in reports])
    assert np.median(found[:, 1]) < single
    assert abs(found[:, 0] / np.median(exact) - 1).mean() < 0.01


def test_what_an_orbit_misses_is_added_back():
    """A scalar of λ = 6 alone, along the invariant of I: orbits miss 1 / 13 of A²."""
    energy = Block("energy", Irrep(0), "system", "eV")

    def hexic(points):  # P_6(z) of the one point of each structure
        z = points[:, :1, 2:3]
        return ((231 * z**6 - 315 * z**4 + 105 * z**2 - 5) / 16)[..., None]

    engine = FunctionEngine(targets={energy: hexic})
    pole = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    structures = [engine.prepare(pole) for _ in range(400)]
    report = analyze(engine, structures, settings=Settings(**SETTINGS), progress=False)
    table, exact = report.equivariance, 1 / 13  # <P_6²>
    squares = table.A**2
    error = squares.std() / len(squares) ** 0.5
    assert squares.mean() == pytest.approx(exact, abs=3 * error)
    # far enough from what is not corrected to tell
    assert error < exact / 13 / 5
    (middle,) = report.summary["medians"]
    assert middle["A_stderr"] > 0.02 * middle["A"]  # the correction is no better known


def test_evaluations_and_circles():
    engine, structures = engine_and_structures(40)
    for group, size in ((O3(), 120), (SO3(), 60)):
        settings = Settings(**SETTINGS)
        report = analyze(engine, structures, group, settings, progress=False)
        pilot = SPEAKERS * 2 * group.circle_size(24)
        each = report.summary["evaluations"] - pilot
        assert 0 <= each - 40 * size <= 128  # what it takes to learn the time
        assert report.equivariance.A_stderr.notna().all()
        # as few evaluations of orbits per structure as was promised
        assert 5 * (size + 4) < group.exact(8).size


def test_circles_of_every_structure_if_asked():
    engine, structures = engine_and_structures(3)
    settings = Settings(circles=3, **SETTINGS)
    report = analyze(engine, structures, settings=settings, progress=False)
    assert "3 random circles" in report.summary["plan"]
    assert report.rotations.structures.eq(3).all()
