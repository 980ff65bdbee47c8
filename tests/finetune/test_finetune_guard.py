"""What the guard accepts."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatrain_symmetry.finetune.errors import Errors
from metatrain_symmetry.finetune.guard import STEPS, choose, gain, losing, objection
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.models.engine import Block


CURVE = (0.25, 0.5, 0.75, 1.0)

ENERGY = Block("energy", Irrep(0), "system", "eV")
FORCE = Block("conservative_force", Irrep(1), "atom", "eV/A")


def one(A, rmse, norm=1.0):
    return Errors(A, rmse, norm, 1.0, 10, 10)


BEFORE = {ENERGY: one(1.0, 2.0), FORCE: one(1.0, 2.0)}


def line(limit):
    """A falls along the way; the RMSE of forces passes 1 % at a share."""
    return lambda share: {
        ENERGY: one(1 - 0.5 * share, 2.0),
        FORCE: one(1 - 0.5 * share, 2 * (1 + 0.01 * share / limit)),
    }


@pytest.mark.parametrize("limit", [0.04, 0.2, 0.3, 0.6, 0.97])
def test_the_largest_share_that_is_accepted(limit):
    choice = choose(BEFORE, CURVE, line(limit), 0.01)
    step = 0.25 / 2**STEPS
    assert choice.chosen is not None
    assert limit - step <= choice.chosen.share <= limit + 1e-12
    assert choice.after is choice.chosen
    assert [p.share for p in choice.curve] == sorted(p.share for p in choice.curve)


def test_the_end_where_all_of_it_is_accepted():
    choice = choose(BEFORE, CURVE, line(2.0), 0.01)
    assert choice.chosen is not None
    assert choice.chosen.share == 1
    assert len(choice.curve) == len(CURVE)


def test_what_has_lost_accuracy():
    assert losing(BEFORE, BEFORE) == []
    assert losing(BEFORE, {ENERGY: one(0.1, 1.9), FORCE: one(9.0, 2.0)}) == []
    assert losing(BEFORE, {ENERGY: one(0.1, 2.1), FORCE: one(0.1, 1.0)}) == ["energy"]
    # one irrep of a target may gain what another loses
    traceless = Block("energy", Irrep(2), "system", "eV")
    before = {**BEFORE, traceless: one(1.0, 2.0)}
    assert losing(before, {**before, ENERGY: one(1.0, 2.5)}) == ["energy"]
    better = {**before, ENERGY: one(1.0, 2.5), traceless: one(1.0, 1.0)}
    assert losing(before, better) == []


def test_nothing_is_accepted():
    choice = choose(BEFORE, CURVE, line(1e-3), 0.01)
    assert choice.chosen is None
    assert choice.after is choice.before
    assert "RMSE of conservative_force would rise by" in choice.reason
    assert "more than 1 %" in choice.reason


def test_no_gain():
    choice = choose(BEFORE, CURVE, lambda share: BEFORE, 0.01)
    assert choice.chosen is None
    assert "no candidate had a lower equivariance error" in choice.reason


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({ENERGY: one(0.5, 2.0), FORCE: one(1.02, 2.0)}, "A of conservative_force"),
        ({ENERGY: one(0.5, 2.0), FORCE: one(0.1, 2.0, 0.4)}, "next to zero"),
        ({ENERGY: one(0.5, math.nan), FORCE: one(0.5, 2.0)}, "not finite"),
        ({ENERGY: one(math.inf, 2.0), FORCE: one(0.5, 2.0)}, "not finite"),
        ({ENERGY: one(0.5, 2.0)}, "conservative_force are not finite"),
    ],
)
def test_what_is_refused(after, words):
    assert words in objection(BEFORE, after, 0.01)
    choice = choose(BEFORE, CURVE, lambda share: after, 0.01)
    assert choice.chosen is None
    assert words in choice.reason


def test_what_is_rounding_may_rise():
    """Labels that the model predicts exactly, as far as its dtype goes."""
    exact = {ENERGY: one(1.0, 2.0), FORCE: one(1e-9, 0.0)}
    after = {ENERGY: one(0.5, 2.0), FORCE: one(3e-9, 2e-9)}
    assert objection(exact, after, 0.01) == ""
    assert "RMSE" in objection(exact, after | {FORCE: one(1e-9, 2e-6)}, 0.01)


positive = st.floats(1e-6, 10) | st.sampled_from([0.0, math.nan, math.inf])
tables = st.fixed_dictionaries(
    {block: st.builds(one, positive, positive, positive) for block in BEFORE}
)


@settings(max_examples=100, deadline=None)
@given(st.lists(tables, min_size=8, max_size=8), st.floats(0, 0.5))
def test_never_more_than_the_limit(found, most):
    answers = iter(found)
    choice = choose(BEFORE, CURVE, lambda share: next(answers), most)
    if choice.chosen is None:
        assert choice.reason
        return
    after = choice.chosen.held_out
    for block, old in BEFORE.items():
        assert after[block].rmse <= old.rmse * (1 + most) * (1 + 1e-12)
        assert after[block].A <= old.A * (1 + most) * (1 + 1e-12)
        assert after[block].norm >= 0.5 * min(old.norm, old.norm_targets)
    assert gain(BEFORE, after) < 1
    for point in choice.curve:
        better = gain(BEFORE, point.held_out) < gain(BEFORE, after)
        assert not better or objection(BEFORE, point.held_out, most)
