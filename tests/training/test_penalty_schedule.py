"""When the penalty begins, and its options."""

import pytest

from metatrain_symmetry.training.penalty import check_batch, complete
from metatrain_symmetry.training.penalty.schedule import Schedule


def weights(num_epochs, **options):
    """Weight, and number of copies, of every epoch."""
    options = complete({"weight": 10.0, **options})
    epochs = [Schedule(options, num_epochs, epoch) for epoch in range(num_epochs)]
    return [one.weight for one in epochs], [one.copies for one in epochs]


def test_defaults():
    found = weights(20)
    assert found[0] == [0.0] * 15 + [5.0] + [10.0] * 4
    assert found[1] == [1] * 15 + [2] * 5


@pytest.mark.parametrize("num_epochs", range(1, 60))
def test_full_weight_at_the_end(num_epochs):
    found, copies = weights(num_epochs)
    assert found[-1] == 10.0
    assert found == sorted(found)
    # no epoch has copies in vain
    assert [weight > 0 for weight in found] == [count > 1 for count in copies]


@pytest.mark.parametrize(
    ("num_epochs", "start", "ramp", "expected"),
    [
        (1, 0, 0, [10]),
        (1, 0.5, 0.2, [10]),
        (1, 0, 1, [10]),
        (1, 1, 1, [10]),
        (3, 0, 0, [10, 10, 10]),
        (3, 0.5, 0, [0, 0, 10]),
        (3, 1, 0, [0, 0, 10]),
        (3, 0.9, 0.2, [0, 0, 10]),
        (5, 0, 1, [2, 4, 6, 8, 10]),
        (4, 0.5, 1, [0, 0, 5, 10]),
        (10, 0.9, 0.5, [0] * 9 + [10]),
    ],
)
def test_edges(num_epochs, start, ramp, expected):
    """The last epoch always has the full weight."""
    found, _ = weights(num_epochs, start=start, ramp=ramp)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("start", "ramp", "first", "full"),
    [(0.5, 0.2, 5, 6), (0, 0, 0, 0), (1, 1, 9, 9), (0.8, 0.5, 8, 9)],
)
def test_what_is_announced_happens(start, ramp, first, full):
    found, _ = weights(10, start=start, ramp=ramp)
    options = complete({"start": start, "ramp": ramp})
    sentence = Schedule(options, 10, 0).describe()
    when = f"from epoch {first} on, in full from epoch {full} on"
    assert (when if full else "in every epoch") in sentence
    assert found.index(10.0) == full
    assert next(i for i, weight in enumerate(found) if weight) == first


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1}, "weight' should be greater than or equal to 0, not -1"),
        ({"weight": NAN}, "weight' should be a finite number, not nan"),
        ({"weight": "much"}, "weight' should be a valid number"),
        ({"copies": 1}, "copies' should be greater than or equal to 2, not 1"),
        ({"copies": 2.5}, "copies' should be a valid integer"),
        ({"start": 1.1}, "start' should be less than or equal to 1"),
        ({"start": NAN}, "start' should be less than or equal to 1"),
        ({"ramp": -0.1}, "ramp' should be greater than or equal to 0"),
        ({"wieght": 1}, "has no option 'wieght': did you mean weight?"),
        (True, "symmetry_penalty is True: give options such as weight"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=r"training\.symmetry_penalty") as error:
        complete(options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_penalty():
    assert complete(None) is None


def test_copies_have_to_fit_into_a_batch():
    options = complete({"copies": 4})
    check_batch(options, {"batch_size": 4})
    check_batch(options, {"batch_size": 2, "max_atoms_per_batch": 100})
    with pytest.raises(ValueError, match="copies is 4, but a batch has 3 structures only"):
        check_batch(options, {"batch_size": 3, "max_atoms_per_batch": None})
