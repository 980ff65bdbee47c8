"""When, and how much: the schedule and the budget, with made-up costs."""

import pytest

from metatrain_symmetry.measure.plan import Plan
from metatrain_symmetry.training.budget import (
    AIM,
    EARLY,
    GUARANTEED,
    LAST,
    SHORTEST,
    Budget,
    decent,
    ladder,
)
from metatrain_symmetry.training.schedule import epochs_to_measure


def test_schedules():
    assert epochs_to_measure(0, 10, interval=4) == [0, 4, 8, 10]
    assert epochs_to_measure(3, 10, interval=4) == [3, 4, 8, 10]
    spaced = epochs_to_measure(0, 1000, points=8)
    assert spaced == [0, 1, 3, 10, 32, 100, 316, 1000]
    assert epochs_to_measure(0, 1) == [0, 1]
    assert epochs_to_measure(5, 5) == [5]


@pytest.mark.parametrize("last", [24, 25, 40, 70, 400, 3000])
def test_as_many_epochs_as_asked_for(last):
    """Rounding the first epochs of a logarithmic schedule must not lose any."""
    found = epochs_to_measure(0, last)
    assert len(found) == 24
    assert found == sorted(set(found))
    assert found[:3] == [0, 1, 2]
    assert found[-1] == last
    # a continued training has its share
    assert len(epochs_to_measure(last, 2 * last)) >= 12


def test_ladders():
    exact = [Plan(n, 2, "exact") for n in (1, 2, 3, 4, 5)]
    assert ladder(5, "grid") == exact
    assert all(plan.design == "" for plan in ladder(5, "circles"))
    hybrid = ladder(5, "hybrid")
    assert hybrid[0] == Plan(1)
    assert {Plan(1, 4, "icosahedral"), Plan(4, 2, "icosahedral")} <= set(hybrid)
    assert Plan(5, 6, "degree 8") in hybrid
    # with the degree-8 grid no structure is left out to pay for it
    assert {p.n_structures for p in hybrid if p.design == "degree 8"} == {5}


def price(plan):
    sizes = {"": 0, "icosahedral": 120, "degree 8": 684, "exact": 3740}
    return plan.n_structures * (46 * plan.circles + sizes[plan.design])


def simulate(budget, plans, costs, training, due):
    """All decisions of a training; the measured plans and what they cost."""
    before, credit, used = None, 1.0, []
    for left in range(due, 0, -1):
        budget._spent = sum(costs[plans.index(plan)] for plan in used)
        choice = budget.choose(plans, costs, training, left, len(used), before)
        credit += choice.count / left
        if credit >= 1 - 1e-9:
            credit -= 1
            used.append(choice.plan)
            before = choice.plan
    return used, sum(costs[plans.index(plan)] for plan in used)


@pytest.mark.parametrize("estimator", ["hybrid", "circles", "grid"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_a_whole_training_keeps_its_budget(estimator, share):
    """Costs in proportion to a plan's evaluations; the training takes 4000 s."""
    plans = ladder(8, estimator)
    costs = [5e-4 * price(plan) for plan in plans]
    used, spent = simulate(Budget(share), plans, costs, 4000.0, 24)
    allowed = share * 4000.0
    assert spent <= (1 + LAST) * allowed
    assert spent >= min(0.5 * allowed, 0.9 * 24 * max(costs))
    assert len(used) >= GUARANTEED
    # one plan from early on: a series is compared best with itself
    assert len(set(used[EARLY:])) == 1


def test_a_short_training_counts_as_a_longer_one():
    assert Budget(0.05).allowed(10.0) == 0.05 * SHORTEST == 20.0
    assert Budget(0.05).allowed(1000.0) == 50.0
    assert AIM < 1


def test_fewer_epochs_rather_than_a_poor_plan():
    """Three structures with a set at some epochs, not one structure at all of them."""
    plans = ladder(16, "hybrid")
    costs = [1.56e-3 * price(plan) for plan in plans]
    used, _ = simulate(Budget(0.05), plans, costs, 160.0, 24)
    assert set(used) == {Plan(3, 2, "icosahedral")}
    assert GUARANTEED <= len(used) < 24


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
def test_epochs_are_guaranteed_whatever_they_cost(scale):
    plans = ladder(4, "hybrid")
    costs = [scale * price(plan) for plan in plans]
    budget = Budget(0.05)
    used, spent = simulate(budget, plans, costs, 100.0, 24)
    assert len(used) >= GUARANTEED
    choice = Budget(0.05).choose(plans, costs, 100.0, 24)
    assert choice.count == GUARANTEED
    # cheaper first, beyond the budget only then
    assert choice.short == (scale * price(plans[0]) * GUARANTEED > 20.0)
    assert (spent > 20.0) == choice.short


def test_an_interval_is_never_thinned():
    plans = ladder(4, "hybrid")
    costs = [float(price(plan)) for plan in plans]
    used, spent = simulate(Budget(0.05, fixed_schedule=True), plans, costs, 100.0, 70)
    assert used == [Plan(1)] * 70
    assert spent > 20.0
    assert Budget(0.05, True).choose(plans, costs, 100.0, 70).short


def test_the_last_measurement_is_like_the_others():
    plans = ladder(16, "hybrid")
    costs = [1e-3 * price(plan) for plan in plans]
    budget = Budget(0.05)
    budget._spent = 20.0
    before = plans[decent(plans, costs)]
    assert budget.choose(plans, costs, 100.0, 1, 20, before).plan == before
    dear = [100 * cost for cost in costs]
    assert budget.choose(plans, dear, 100.0, 1, 20, before).plan == Plan(1)


def test_a_first_estimate_that_was_too_high_is_corrected():
    plans = ladder(16, "hybrid")
    high = [5e-3 * price(plan) for plan in plans]
    budget = Budget(0.05)
    first = budget.choose(plans, high, 600.0, 24)
    assert first.plan.n_structures == 1
    right = [1.5e-3 * price(plan) for plan in plans]
    second = budget.choose(plans, right, 600.0, 23, 1, first.plan)
    assert second.plan == Plan(3, 2, "icosahedral")
    # later it would only break the series in two
    late = budget.choose(plans, right, 600.0, 15, 9, first.plan)
    assert late.plan == first.plan
