"""A report on layers alone: nothing is spent on A."""

import torch

from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import FunctionEngine


def test_no_outputs():
    engine = FunctionEngine(layers={"x": lambda points: points})
    clouds = [torch.randn(4, 3, dtype=torch.float64) for _ in range(3)]
    structures = [engine.prepare(points) for points in clouds]
    settings = Settings(lambda_max=2, estimator="circles", circles=2)
    report = analyze(engine, structures, settings=settings, progress=False)
    assert len(report.equivariance) == 0
    assert set(report.characters.probe) == {"x"}
    # the time of one and of 64 at once, two circles of 55 angles in two cosets for the
    # pilot, and two of 13 on each structure, where nothing is found beyond λ = 3
    assert report.summary["evaluations"] == 1 + 64 + 3 * 2 * 55 * 2 + 3 * 2 * 13 * 2
    assert (report.characters.estimator == "circles").all()
    assert report.summary["medians"] == []
