"""Purifying the readout of a classifier: gradients, closed forms, other solvers."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad

from metatrain_symmetry import purify_classifier
from metatrain_symmetry.purify.classifier import asymmetry, cross_entropy


ALPHAS = (0.0, 0.1, 1.0, 10.0)


@pytest.fixture
def noisy():
    """Three classes, four copies, five features of which the last three shake."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    centres = rng.normal(size=(3, 5))
    features = centres[labels][:, None] + rng.normal(size=(400, 1, 5))
    return features + rng.normal(size=(400, 4, 5)) * [0, 0, 0.3, 1, 1], labels


def torch_loss(weights, features, labels, alpha, ridge):
    """The same loss, written down as it is read."""
    scores = features @ weights[:, :-1].T + weights[:, -1]
    n, copies, _ = features.shape
    entropy = torch.nn.functional.cross_entropy(
        scores.reshape(n * copies, -1), labels.repeat_interleave(copies)
    )
    scores = scores - scores.mean(dim=-1, keepdim=True)
    variance = scores.var(dim=1, unbiased=False).mean()
    size = features.square().mean((0, 1))
    return entropy + alpha * variance + 0.5 * ridge * (size * weights[:, :-1] ** 2).sum()


def test_gradients(noisy):
    features, labels = noisy
    flat = (features - features.mean(axis=1, keepdims=True)).reshape(-1, 5)
    spread = flat.T @ flat / len(flat)
    weights = np.random.default_rng(1).normal(size=(3, 5))
    for part, given in ((cross_entropy, (features, labels)), (asymmetry, (spread,))):
        error = check_grad(
            lambda w, part=part, given=given: part(w.reshape(3, 5), *given)[0],
            lambda w, part=part, given=given: part(w.reshape(3, 5), *given)[1].ravel(),
            weights.ravel(),
        )
        assert error < 1e-6
    scores = features @ (weights - weights.mean(axis=0)).T
    assert asymmetry(weights, spread)[0] == pytest.approx(scores.var(axis=1).mean())


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_against_newton_by_autograd(noisy, alpha):
    features, labels = (torch.as_tensor(part) for part in noisy)
    weights = torch.zeros(18, dtype=torch.float64)

    def loss(flat):
        return torch_loss(flat.reshape(3, 6), features, labels, alpha, 1e-3)

    for _ in range(12):
        slope = torch.autograd.functional.jacobian(loss, weights)
        curvature = torch.autograd.functional.hessian(loss, weights)
        # what is added to all biases changes nothing
        weights = weights - torch.linalg.pinv(curvature, rtol=1e-10) @ slope
    found = purify_classifier(features, labels, [alpha], ridge=1e-3)
    expected = weights.reshape(3, 6).numpy()
    np.testing.assert_allclose(found.weight, expected[:, :-1], atol=1e-6)
    bias = expected[:, -1] - expected[:, -1].mean()
    np.testing.assert_allclose(found.bias - found.bias.mean(), bias, atol=1e-6)


def test_against_scikit_learn(noisy):
    linear = pytest.importorskip("sklearn.linear_model")
    features, labels = noisy
    flat, right = features.reshape(-1, 5), np.repeat(labels, 4)
    size = np.sqrt((flat**2).mean(0))
    other = linear.LogisticRegression(C=1 / (1e-3 * len(flat)), tol=1e-10, max_iter=10_000)
    other.fit(flat / size, right)
    found = purify_classifier(features, labels, [0.0], ridge=1e-3)
    np.testing.assert_allclose(found.weight * size, other.coef_, atol=1e-5)


def test_saturated_readout_gives_the_frequencies():
    # a feature that is one in half of the inputs: scores are logarithms of frequencies
    labels = np.array([0] * 30 + [1] * 10 + [0] * 8 + [1] * 32)
    group = np.repeat([0.0, 1.0], 40)
    found = purify_classifier(
        np.broadcast_to(group[:, None, None], (80, 2, 1)), labels, [0.0], ridge=0.0
    )
    bias = found.bias[0] - found.bias[1]
    slope = found.weight[0, 0] - found.weight[1, 0]
    assert bias == pytest.approx(np.log(30 / 10), abs=1e-5)
    assert bias + slope == pytest.approx(np.log(8 / 32), abs=1e-5)


def test_a_large_penalty_leaves_what_does_not_shake(noisy):
    features, labels = noisy
    still = purify_classifier(features[..., :2], labels, [0.0], ridge=1e-6)
    found = purify_classifier(features, labels, [*ALPHAS, 1e8], ridge=1e-6)
    assert (np.diff(found.table.A) < 0).all()
    assert (np.diff(found.table.cross_entropy) > 0).all()
    assert found.table.A.iloc[-1] < 1e-6
    last = found.table.cross_entropy.iloc[-1]
    assert last == pytest.approx(still.table.cross_entropy[0], abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_units_and_offsets_of_features_do_not_matter(noisy, alpha):
    features, labels = noisy
    plain = purify_classifier(features, labels, [alpha], ridge=0.0)
    scaled = features * [1e-8, 1, 1e5, 1, 1e3] + [0, 1e6, 0, 0, 0]
    found = purify_classifier(scaled, labels, [alpha], ridge=0.0)
    for name in ("cross_entropy", "A"):
        assert found.table[name][0] == pytest.approx(plain.table[name][0], rel=1e-4)


def test_half_precision_is_taken(noisy):
    features, labels = torch.tensor(noisy[0]).bfloat16(), noisy[1]
    found = purify_classifier(features, labels, [1.0])
    again = purify_classifier(features.double(), labels, [1.0])
    np.testing.assert_array_equal(found.weight, again.weight)


def test_choice(noisy):
    features, labels = noisy
    train, held_out = (features[:300], labels[:300]), (features[300:], labels[300:])
    first = purify_classifier(*train, ALPHAS, validation=held_out, ridge=[1e-4, 1e-6])
    assert first.table.ridge.nunique() == 2
    smallest = first.table[first.table.alpha == 0]
    limit = 1.01 * smallest.validation_cross_entropy.min()
    allowed = first.table[first.table.validation_cross_entropy <= limit]
    best = allowed.loc[allowed.validation_A.idxmin()]
    assert (first.alpha, first.ridge) == (best.alpha, best.ridge)
    np.testing.assert_array_equal(
        np.column_stack([first.weight, first.bias]), first.weights[best.alpha, best.ridge]
    )
    initial = np.split(first.weights[0.0, 1e-6], [-1], axis=1)
    initial = (initial[0], initial[1][:, 0])
    again = purify_classifier(*train, ALPHAS, validation=held_out, initial=initial)
    assert again.alpha == first.alpha
    assert np.isnan(again.table.alpha[0])
    # nothing but what raises the cross-entropy: the readout stays
    kept = purify_classifier(
        *train, [1e4], validation=held_out, initial=initial, max_increase=1e-3
    )
    assert kept.alpha is None
    assert kept.ridge is None
    np.testing.assert_array_equal(kept.weight, initial[0])


def test_a_ridge_keeps_the_readout_near_the_one_that_was_trained(noisy):
    features, labels = noisy
    initial = (np.random.default_rng(1).normal(size=(3, 5)), np.zeros(3))
    found = purify_classifier(
        features, labels, [1.0], initial=initial, ridge=[1e-4, 1, 1e6]
    )
    away = [np.abs(w[:, :-1] - initial[0]).max() for w in found.weights.values()]
    assert away[0] > 2 * away[1]
    assert away[2] < 1e-4 * away[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((6, 3))}, r"give \(inputs, copies, p\)"),
        ({"features": np.zeros((6, 1, 3))}, "at least two rotated"),
        ({"features": np.full((6, 2, 3), np.nan)}, "not finite"),
        ({"labels": np.arange(5) % 2}, "5 labels for 6 inputs"),
        ({"labels": np.zeros(6)}, "one integer per input"),
        ({"labels": np.zeros(6, int)}, "at least two"),
        ({"labels": np.full(6, -1), "classes": 2}, "give 0 to 1"),
        ({"alphas": []}, "alphas holds nothing"),
        ({"alphas": [-1.0]}, "not negative"),
        ({"alphas": 1.0}, "give a list of numbers"),
        ({"alphas": "abc"}, "give a list of numbers"),
        ({"ridge": np.inf}, "ridge"),
        ({"ridge": "small"}, "ridge hold 'small'"),
        ({"ridge": []}, "ridge holds nothing"),
        ({"classes": "two"}, "classes are 'two'"),
        ({"features": "abc"}, "features are 'abc'"),
        ({"features": np.ones((6, 2, 3)) * 1j}, "real numbers"),
        ({"features": np.full((6, 2, 3), 1e200)}, "divide them"),
        ({"initial": torch.nn.Linear(3, 2)}, "weight and its bias"),
        ({"initial": (np.zeros((2, 4)), np.zeros(2))}, r"give \(2, 3\) and \(2,\)"),
        ({"validation": (np.zeros((1, 2, 4)), np.zeros(1, int))}, "give the same"),
    ],
)
def test_bad_input(change, message):
    features = np.random.default_rng(0).normal(size=(6, 2, 3))
    given = {"features": features, "labels": np.arange(6) % 2, "alphas": [0.0]}
    with pytest.raises(ValueError, match=message):
        purify_classifier(**{**given, **change})


def test_classes_that_can_be_told_apart_have_no_readout():
    features = np.arange(6.0).reshape(6, 1, 1).repeat(2, axis=1)
    with pytest.raises(ValueError, match="larger ridge"):
        purify_classifier(features, np.arange(6) // 3, [0.0], ridge=0.0)
