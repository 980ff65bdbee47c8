"""What a measurement may cost: the option, the plan, and a clock that is simulated."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metatrain_symmetry.groups import O3, Irrep
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.budget import in_words, parse_budget
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.tiers import choose, ladder, small_tiers
from metatrain_symmetry.models import Block, FunctionEngine


VECTOR = Block("force", Irrep(1), "atom", "eV/A")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2min", 120), ("90s", 90), ("1h", 3600), ("45", 45), (30, 30), (0.5, 0.5),
        ("1.5 min", 90), ("2 MIN", 120), ("none", None), ("None", None), (None, None),
    ],
)  # fmt: skip
def test_budgets_that_are_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "-3", "-1min", "inf", "nan", "fast", "2 weeks", "1min30s", True, "1e999"],
)
def test_budgets_that_are_refused(text):
    with pytest.raises(ValueError, match="is not a length of time: write for example 90s"):
        parse_budget(text)


def test_lengths_of_time_in_words():
    assert in_words(42.4) == "42 s"
    assert in_words(150) == "2.5 min"
    assert in_words(7200) == "2.0 h"
    assert in_words(float("inf")) == "no limit"


@given(
    st.integers(1, 5000),
    st.floats(1e-5, 100),
    st.floats(1, 1e4),
    st.sampled_from([8, 12, 16, 20]),
)
def test_a_plan_fits_the_budget_or_is_the_least_there_is(n, seconds, left, highest):
    tiers = ladder(O3(), n, highest, 16)
    good = len(small_tiers(O3())) - 2
    costs = [seconds * tier.evaluations(O3(), 12) for tier in tiers]
    plan = choose(tiers, costs, n, left, good)
    # multiplied in this order, as rounding differs in another
    cost = plan.n_structures * (seconds * plan.tier.evaluations(O3(), 12))
    assert 1 <= plan.n_structures <= n
    assert cost <= left or (plan.tier, plan.n_structures) == (tiers[0], 1)


def test_tiers_ascend():
    costs = [tier.evaluations(O3(), 12) for tier in ladder(O3(), 8, 20, 16)]
    assert costs == sorted(costs)
    assert costs[0] <= 8


class Machine:
    """A clock that evaluations move on.

    :param seconds: of one evaluation of one atom
    :param cold: factor of the first evaluation
    """

    def __init__(self, seconds, cold=1):
        self.now, self.seconds, self.evaluations = 0.0, seconds, 0
        self.cold = cold

    def __call__(self):
        return self.now

    def work(self, atoms, count):
        cold = self.cold if self.evaluations == 0 else 1
        self.now += cold * self.seconds * atoms * count
        self.evaluations += count


class SlowEngine(FunctionEngine):
    """Takes time, as the machine says."""

    def __init__(self, machine):
        super().__init__(targets={VECTOR: self.force}, layers={"layer": lambda p: p.sin()})
        self.machine = machine

    @staticmethod
    def force(points):
        return (points + 0.1 * points.roll(1, dims=-1)).roll(-1, dims=-1).unsqueeze(-1)

    def evaluate(self, structure, matrices, blocks, probes):
        self.machine.work(structure.n_atoms, len(matrices))
        return super().evaluate(structure, matrices, blocks, probes)

    def predict(self, structure):
        self.machine.work(structure.n_atoms, 1)
        return super().predict(structure)


def run(monkeypatch, seconds, sizes, cold=1, **options):
    machine = Machine(seconds, cold)
    monkeypatch.setattr(time, "perf_counter", machine)
    engine = SlowEngine(machine)
    random = np.random.default_rng(0)
    clouds = [torch.from_numpy(random.normal(size=(size, 3))) for size in sizes]
    structures = [engine.prepare(cloud, f"cloud {i}") for i, cloud in enumerate(clouds)]
    report = analyze(
        engine, structures, settings=Settings(lambda_max=4, **options), progress=False
    )
    return report, machine


@pytest.mark.parametrize("cost", [1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.5])
@pytest.mark.parametrize("sizes", [[20], [4] * 30, [2, 2, 2, 60], [8] * 3])
def test_the_promise_is_kept_and_something_comes_of_it(monkeypatch, cost, sizes):
    report, machine = run(monkeypatch, cost, sizes, budget=60)
    # but for a structure of which a handful of evaluations take longer than that
    least = cost * max(sizes) * 12
    assert machine.now <= max(1.3 * 60, least)
    assert len(report.equivariance) >= 1
    assert (report.equivariance.A > 0).all()
    assert report.summary["n_measured"] >= 1


def test_what_more_time_would_buy_is_said(monkeypatch):
    report, _ = run(monkeypatch, 0.01, [5] * 200, budget=60)
    assert 0 < report.summary["n_measured"] < 200
    assert "on each of them would take about" in report.summary["plan"]
    # the choice of structures is part of the error
    assert (report.characters.stderr > 0).all()


def test_a_large_budget_is_not_spent_for_its_own_sake(monkeypatch):
    report, machine = run(monkeypatch, 1e-6, [5] * 4, budget=1e6)
    assert report.summary["n_measured"] == 4
    assert machine.evaluations < 4 * 2000


def test_without_a_budget_everything_is_measured(monkeypatch):
    report, _ = run(monkeypatch, 1.0, [5] * 3, budget=None)
    assert report.summary["n_measured"] == 3
    assert report.summary["grid_degree"] == 8


def test_one_huge_structure_among_small_ones_does_not_take_it_all(monkeypatch):
    report, _ = run(monkeypatch, 2e-3, [4, 4, 4, 4, 400], budget=60)
    assert set(report.equivariance.structure) == {0, 1, 2, 3, 4}


def test_a_pilot_of_lone_atoms_does_not_choose_the_degree():
    """Half of the structures have one atom, at the origin: they show no spectrum."""

    def wavy(points):
        return torch.sin(6 * points[..., :1] * points[..., 1:2])

    engine = FunctionEngine(layers={"layer": wavy})
    random = np.random.default_rng(0)
    clouds = [torch.from_numpy(random.normal(size=(4, 3))) for _ in range(3)]
    atoms = [torch.zeros(1, 3, dtype=torch.float64) for _ in range(9)]
    settings = Settings(lambda_max=2, budget=None)
    degrees = []
    for points in (4 * clouds, atoms + clouds):
        data = [engine.prepare(p) for p in points]
        report = analyze(engine, data, settings=settings, progress=False)
        degrees.append(report.summary["grid_degree"])
    assert degrees[0] == degrees[1] > 8


def test_a_cold_start_does_not_leave_the_budget_unused(monkeypatch):
    """The first evaluation takes twenty times as long as the others."""
    report, machine = run(monkeypatch, 0.02, [20], cold=20, budget=60)
    assert machine.now <= 1.3 * 60
    assert machine.now > 25
    warm, _ = run(monkeypatch, 0.02, [20], budget=60)
    better = report.equivariance.A_stderr.notna().all()
    assert better == warm.equivariance.A_stderr.notna().all()
