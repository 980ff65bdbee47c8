"""When, and how much: the schedule and the budget, with made-up costs."""

import math

import pytest

from metatrain_symmetry.measure.plan import Plan
from metatrain_symmetry.monitor.budget import AIM, Budget, ladder
from metatrain_symmetry.monitor.schedule import epochs_to_measure


def test_schedules():
    assert epochs_to_measure(0, 10, interval=4) == [0, 4, 8, 10]
    assert epochs_to_measure(3, 10, interval=4) == [3, 4, 8, 10]
    spaced = epochs_to_measure(0, 1000, points=8)
    assert spaced == [0, 1, 3, 10, 32, 100, 316, 1000]
    assert epochs_to_measure(0, 1) == [0, 1]
    assert epochs_to_measure(5, 5) == [5]


def test_ladders():
    assert ladder(5, "grid") == [Plan(n, n_grid=n) for n in (1, 2, 4, 5)]
    assert all(plan.n_grid == 0 for plan in ladder(5, "circles"))
    hybrid = ladder(5, "hybrid")
    assert Plan(5, 6, 5) in hybrid
    assert Plan(1) in hybrid


@pytest.mark.parametrize("estimator", ["hybrid", "circles", "grid"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_a_whole_training_keeps_its_budget(estimator, share):
    """Costs in proportion to a plan's evaluations; the training takes 1000 s."""
    plans = ladder(8, estimator)

    def price(plan):
        grid, circle = 2.0, 0.02  # seconds
        return (
            plan.n_grid * grid + (plan.n_structures - plan.n_grid) * plan.circles * circle
        )

    costs = [price(plan) for plan in plans]
    due, spent, before, passed = 20, 0.0, None, 0
    budget = Budget(share, closing=3.0)
    for left in range(due, 0, -1):
        budget._spent = spent
        plan, stride = budget.choose(plans, costs, 1000.0, left, before)
        passed += 1
        if passed >= stride:
            spent, before, passed = spent + price(plan), plan, 0
    allowed = share * 1000.0
    assert spent + 3.0 <= allowed
    dearest = max(costs)
    assert spent + 3.0 >= min(0.5 * allowed, 0.9 * due * dearest + 3.0)
    assert AIM < 1


def test_a_hopeless_budget_takes_the_cheapest_plan():
    plans = ladder(4, "circles")
    costs = [float(plan.n_structures * plan.circles) for plan in plans]
    plan, stride = Budget(0.01, closing=5.0).choose(plans, costs, 10.0, 12)
    assert plan == Plan(1)
    assert stride == math.inf
