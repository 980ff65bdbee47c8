"""Readout purification of a classifier: a cross-entropy and the equivariance error.

Class scores are linear in the last features, ``f(x) = W φ(x) + b``, and invariant: they
should be the same on all rotated copies of an input. A softmax does not see a number that
is added to all of them, so that their mean over the classes is taken off. Then

    L(W, b) = mean_x < -log softmax(f(gx))_y > + α A²,
    A² = mean_x 1/C Σ_c ( < f_c(gx)² > - < f_c(gx) >² ) = 1/C Σ_c W_c G W_cᵀ,

with ``G`` the covariance of the features along an orbit, on average over the inputs. Both
parts are convex in ``W`` and ``b``. A ridge ``η/2 Σ_j s_j |W_j - W0_j|²`` keeps the readout
near the given one, ``s_j`` being the mean square of feature j, so that its weight does not
depend on units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from tqdm import tqdm

from ..messages import quoted


TOLERANCE = 1e-6
"""Largest component of a gradient that counts as none, in units of the loss."""

STEPS = 2000

LEAST = 1e-3
"""A smaller share of A is not worth another readout."""

SMALL = 1e-10
"""Of the largest variance of a feature, each in its own units: directions below it are not
scaled up."""

LARGEST = 1e100
"""Of features: squares of larger numbers overflow."""


@dataclass
class PurifiedClassifier:
    """Readout of a classifier after purification.

    :param weight: ``(classes, features)``
    :param bias: ``(classes,)``
    :param alpha: weight of the penalty that was chosen; None where the readout that was
        given is kept
    :param ridge: weight of the ridge that was chosen; None likewise
    :param table: one row for each pair of α and ridge, and one for the readout that was
        given (``alpha`` and ``ridge`` NaN): ``cross_entropy``, ``A`` (of the scores, root
        mean square) and ``accuracy`` of the training set and, with ``validation_`` before
        them, of the validation set, ``steps`` of the optimiser and the ``gradient`` that is
        left
    :param weights: readout ``(classes, features + 1)`` of each pair ``(alpha, ridge)``, the
        bias last

    >>> import torch
    >>> from metatrain_symmetry import purify_classifier
    >>> features, labels = torch.rand(60, 3, 2), torch.arange(60) % 2
    >>> found = purify_classifier(features, labels, alphas=[0, 1])
    >>> readout = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = readout.weight.copy_(torch.as_tensor(found.weight))
    ...     _ = readout.bias.copy_(torch.as_tensor(found.bias))
    """

    weight: np.ndarray
    bias: np.ndarray
    alpha: float | None
    ridge: float | None
    table: pd.DataFrame
    weights: dict[tuple[float, float], np.ndarray] = field(repr=False)


def purify_classifier(
    features: Any,
    labels: Any,
    alphas: Sequence[float] = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0),
    *,
    classes: int | None = None,
    initial: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    max_increase: float = 0.01,
    ridge: float | Sequence[float] = (1e-6, 1e-4, 1e-2),
    progress: bool = False,
) -> PurifiedClassifier:
    """Solve for the readout of a classifier with a penalty on what rotations change.

    For each α and ridge the sum of the mean cross-entropy over all copies, ``α A²`` and the
    ridge is made small, where A is the root mean square deviation of the class scores along
    an orbit. This is convex; L-BFGS solves it with the analytic gradient. The lowest A with
    a cross-entropy on the validation set at most ``max_increase`` above that of the given
    readout (or, if none is given, of the best of the smallest α) is chosen.

    Few inputs are fitted too well by a readout that is free: its cross-entropy on other
    inputs is above that of the readout which was trained. A larger ridge keeps it near.

    :param features: last features ``(n, copies, p)`` of ``n`` inputs, such as the points of
        several clouds, each in the same rotations, which should average over the group;
        an array or a tensor
    :param labels: class of each input, integers ``(n,)``
    :param alphas: weights of the penalty, not negative
    :param classes: how many there are; None for as many as the labels say, or the given
        readout
    :param initial: readout that was trained: weight ``(classes, p)`` and bias
        ``(classes,)``
    :param validation: features and labels on which one is chosen; None for the training
        set
    :param max_increase: cross-entropy that may be lost, as a share of it
    :param ridge: weights η of ``η/2 Σ_j s_j |W_j - W0_j|²``, one or several, with the mean
        square ``s_j`` of feature j, and the given readout or zero for ``W0``; the bias is
        free
    :param progress: whether to show a progress bar
    :raises ValueError: if shapes do not fit, if a number is not finite, or if the solver
        does not end
    :return: the chosen readout, and the table of all of them

    >>> import torch
    >>> from metatrain_symmetry import purify_classifier
    >>> torch.manual_seed(0).initial_seed()
    0
    >>> labels = torch.arange(200) % 2
    >>> clean = labels[:, None] + 0.5 * torch.randn(200, 1)  # the same in all copies
    >>> shaky = labels[:, None] + 0.5 * torch.randn(200, 4)  # another one in each copy
    >>> features = torch.stack([clean.expand(200, 4), shaky], dim=-1)
    >>> found = purify_classifier(features, labels, [0, 1, 100], ridge=1e-4)
    >>> bool((found.table.A.diff()[1:] < 0).all())
    True
    """
    count = _classes(labels, classes, initial)
    training = _Set.of(features, labels, count, "features")
    held_out = training
    if validation is not None:
        held_out = _Set.of(validation[0], validation[1], count, "validation features")
        _same_width(training, held_out)
    grid = _weights("alphas", alphas, "[0, 1, 10]")
    ridges = _weights("ridge", [ridge] if _is_number(ridge) else ridge, "[1e-4, 1e-2]")
    _check_number(max_increase, "max_increase")
    given = None if initial is None else _readout(initial, count, training.width)
    anchor = np.zeros((count, training.width)) if given is None else given
    weights, rows = {}, []
    pairs = [(alpha, one) for one in ridges for alpha in grid]
    current = anchor
    for alpha, one in tqdm(pairs, unit="readout", disable=not progress):
        start = anchor if alpha == grid[0] else current
        current, steps, gradient = _solve(training, start, anchor, alpha, one)
        weights[alpha, one] = current
        row = {"alpha": alpha, "ridge": one, **_row(current, training, held_out)}
        rows.append({**row, "steps": steps, "gradient": gradient})
    if given is not None:
        first = {"alpha": np.nan, "ridge": np.nan, **_row(given, training, held_out)}
        rows.insert(0, first)
    table = pd.DataFrame(rows)
    chosen = _choose(table, max_increase)
    best = anchor if chosen is None else weights[chosen]
    alpha, one = chosen or (None, None)
    return PurifiedClassifier(best[:, :-1], best[:, -1], alpha, one, table, weights)


@dataclass
class _Set:
    """Features with a one at their end, in float64.

    :param features: ``(n, copies, p + 1)``
    :param labels: ``(n,)``
    :param spread: covariance of the features along an orbit, a mean over inputs
    """

    features: np.ndarray
    labels: np.ndarray
    spread: np.ndarray

    @property
    def width(self) -> int:
        """Number of features, with the one."""
        return int(self.features.shape[-1])

    @classmethod
    def of(cls, features: Any, labels: Any, classes: int, name: str) -> "_Set":
        """Check and prepare what was given."""
        x = _reals(features, name)
        if x.ndim != 3 or 0 in x.shape:
            raise ValueError(f"{name} have shape {x.shape}: give (inputs, copies, p)")
        if x.shape[1] < 2:
            raise ValueError(f"{name} are of one copy: give at least two rotated ones")
        if not np.isfinite(x).all():
            raise ValueError(f"{name} hold numbers that are not finite")
        y = _integers(labels)
        if y.shape != x.shape[:1]:
            raise ValueError(
                f"there are {len(y)} labels for {len(x)} inputs of {name}: give one each"
            )
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"labels run from {y.min()} to {y.max()}: give 0 to {classes - 1}"
            )
        centred = x - x.mean(axis=1, keepdims=True)
        flat = centred.reshape(-1, x.shape[-1])
        if np.abs(x).max() > LARGEST:
            raise ValueError(
                f"{name} are as large as {np.abs(x).max():.0e}: divide them by a number"
            )
        spread = np.pad(flat.T @ flat / len(flat), (0, 1))
        x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=-1)
        return cls(x, y, spread)


def cross_entropy(
    weights: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean cross-entropy over inputs and copies, and its gradient.

    :param weights: ``(classes, p)``
    :param features: ``(n, copies, p)``
    :param labels: ``(n,)``
    :return: loss and gradient ``(classes, p)``
    """
    flat = features.reshape(-1, features.shape[-1])
    scores = flat @ weights.T
    scores -= scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows, right = np.arange(len(flat)), np.repeat(labels, features.shape[1])
    loss = float((np.log(totals[:, 0]) - scores[rows, right]).mean())
    excess = exponentials / totals
    excess[rows, right] -= 1
    return loss, excess.T @ flat / len(flat)


def asymmetry(weights: np.ndarray, spread: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared equivariance error of class scores, and its gradient.

    :param weights: ``(classes, p)``
    :param spread: covariance of the features along an orbit ``(p, p)``
    :return: A² and gradient ``(classes, p)``
    """
    centred = weights - weights.mean(axis=0)
    product = centred @ spread / len(weights)
    return float((centred * product).sum()), 2 * product


def _solve(
    data: _Set, start: np.ndarray, anchor: np.ndarray, alpha: float, ridge: float
) -> tuple[np.ndarray, int, float]:
    """Readout of one α, steps that it took, and the gradient that is left."""
    shape, scale = start.shape, _scale(data, len(start), alpha, ridge)
    pull = _pull(data, ridge)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        # in units in which all directions are about as steep
        weights = anchor + flat.reshape(shape) @ scale
        error, slope = cross_entropy(weights, data.features, data.labels)
        squared, steepness = asymmetry(weights, data.spread)
        away = weights - anchor
        value = error + alpha * squared + 0.5 * float((pull * away**2).sum())
        gradient = slope + alpha * steepness + pull * away
        return value, (gradient @ scale.T).ravel()

    first = np.linalg.solve(scale.T, (start - anchor).T).T.ravel()
    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": 1e-9, "ftol": 1e-15},
    )
    left, weights = float(np.abs(found.jac).max()), anchor + found.x.reshape(shape) @ scale
    if not left < TOLERANCE or (alpha == 0 and ridge == 0 and _all_right(weights, data)):
        raise ValueError(
            f"there is no readout of alpha {alpha:g}, or it was not found in {found.nit} "
            "steps: give more inputs or a larger ridge, as classes that can be told apart "
            "exactly drive the weights to infinity"
        )
    return weights, int(found.nit), left


def _all_right(weights: np.ndarray, data: _Set) -> bool:
    """Whether all copies are in their class, so that larger weights are always better."""
    scores = data.features @ weights.T
    return bool((scores.argmax(axis=-1) == data.labels[:, None]).all())


def _pull(data: _Set, ridge: float) -> np.ndarray:
    """Weights of the ridge, in units of the features; the bias is free."""
    squares = np.square(data.features[..., :-1]).mean(axis=(0, 1))
    return np.append(ridge * squares, 0.0)


def _scale(data: _Set, classes: int, alpha: float, ridge: float) -> np.ndarray:
    """Directions of the weights in which the loss is about as steep everywhere."""
    flat = data.features.reshape(-1, data.width)
    curvature = flat.T @ flat / (len(flat) * classes) + 2 * alpha * data.spread / classes
    curvature += np.diag(_pull(data, ridge))
    own = np.sqrt(np.diag(curvature))  # features may be in different units
    own[own == 0] = 1
    values, vectors = np.linalg.eigh(curvature / own / own[:, None])
    values = np.maximum(values, SMALL * values[-1])
    scaled: np.ndarray = (vectors / np.sqrt(values)).T / own
    return scaled


def _row(weights: np.ndarray, training: _Set, held_out: _Set) -> dict[str, float]:
    """Numbers of a readout on both sets."""
    row: dict[str, float] = {}
    for prefix, data in (("", training), ("validation_", held_out)):
        scores = data.features @ weights.T
        row |= {
            f"{prefix}cross_entropy": cross_entropy(weights, data.features, data.labels)[0],
            f"{prefix}A": max(asymmetry(weights, data.spread)[0], 0.0) ** 0.5,
            f"{prefix}accuracy": float(
                (scores.argmax(axis=-1) == data.labels[:, None]).mean()
            ),
        }
    return row


def _choose(table: pd.DataFrame, max_increase: float) -> tuple[float, float] | None:
    """α and ridge of the lowest A on the validation set at an accepted cross-entropy."""
    given, solved = table[table.alpha.isna()], table[table.alpha.notna()]
    reference = given if len(given) else solved[solved.alpha == solved.alpha.min()]
    limit = reference.validation_cross_entropy.min() * (1 + max_increase)
    cheap = solved[solved.validation_cross_entropy <= limit]
    if len(given):
        cheap = cheap[cheap.validation_A < (1 - LEAST) * given.validation_A.iloc[0]]
    if cheap.empty:
        return None
    best = cheap.loc[cheap.validation_A.idxmin()]
    return float(best.alpha), float(best.ridge)


def _numbers(values: Any) -> np.ndarray:
    """Array of what may be a tensor with a graph."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16
        values = (values.double() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def _reals(values: Any, name: str) -> np.ndarray:
    """Real numbers, in float64."""
    try:
        found = _numbers(values)
        if found.dtype.kind not in "fiu":
            raise TypeError
        return found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} are {quoted(values)}: give real numbers in one array"
        ) from error


def _integers(labels: Any) -> np.ndarray:
    y = _numbers(labels)
    if y.ndim != 1 or y.size == 0 or y.dtype.kind not in "iu":
        raise ValueError(
            f"labels have shape {y.shape} and type {y.dtype}: give one integer per input"
        )
    return y.astype(np.int64)


def _classes(labels: Any, classes: int | None, initial: tuple[Any, Any] | None) -> int:
    if classes is None:
        known = int(_integers(labels).max()) + 1
        classes = known if initial is None else len(_pair(initial)[0])
    if not isinstance(classes, int | np.integer):
        raise ValueError(f"classes are {quoted(classes)}: give how many there are")
    if classes < 2:
        raise ValueError(f"there are {classes} classes: give at least two")
    return classes


def _pair(initial: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the readout that was given."""
    if not isinstance(initial, list | tuple) or len(initial) != 2:
        raise ValueError(
            f"the initial readout is {quoted(initial)}: give its weight and its bias"
        )
    weight, bias = (_reals(part, "the weight and bias") for part in initial)
    return np.atleast_1d(weight), bias


def _readout(initial: tuple[Any, Any], classes: int, width: int) -> np.ndarray:
    weight, bias = _pair(initial)
    if weight.shape != (classes, width - 1) or bias.shape != (classes,):
        raise ValueError(
            f"the initial readout has shapes {weight.shape} and {bias.shape}: give "
            f"({classes}, {width - 1}) and ({classes},)"
        )
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("the initial readout holds numbers that are not finite")
    return np.column_stack([weight, bias])


def _same_width(training: _Set, held_out: _Set) -> None:
    if training.width != held_out.width:
        raise ValueError(
            f"validation features are {held_out.width - 1} per input, those to train on "
            f"{training.width - 1}: give the same"
        )


def _weights(name: str, given: Any, example: str) -> list[float]:
    """Weights in rising order, each once."""
    try:
        grid = sorted({float(weight) for weight in given})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} hold {quoted(given)}: give a list of numbers, such as {example}"
        ) from error
    if not grid:
        raise ValueError(f"{name} holds nothing: give at least one weight")
    for weight in grid:
        _check_number(weight, name)
    return grid


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _check_number(value: Any, name: str) -> None:
    if not (_is_number(value) and np.isfinite(value) and value >= 0):
        raise ValueError(
            f"{name} hold {quoted(value)}: give a finite number that is not negative"
        )
