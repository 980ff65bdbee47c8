"""Exponents, and what a report costs: fitted, with what the fit leaves over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls


EXPONENTS = np.linspace(0, 8, 801)
"""Candidates for the exponent of λmax."""


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Exponent of a power law, by least squares in logarithms.

    :param x: positive, at least three values
    :param y: positive, of the same length
    :return: exponent and its standard error, from the scatter about the line
    """
    u, v = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    if len(u) < 3 or len(u) != len(v):
        raise ValueError(f"a slope needs three points, not {len(u)}: measure more sizes")
    u = u - u.mean()
    exponent = float(u @ v / (u @ u))
    rest = v - v.mean() - exponent * u
    return exponent, float((rest @ rest / (len(u) - 2) / (u @ u)) ** 0.5)


@dataclass(frozen=True)
class CostModel:
    """``E (a + b p) + R h + S c P m λ^q`` seconds.

    E evaluations in all of a structure whose neighbours fill p places (n atoms, each with
    as many as the one that has most, and itself: PET pads them); m edges; S structures
    whose P probes and outputs are resolved up to λ; R structures of a report.

    :param call: a, of one evaluation, whatever its size
    :param place: b, of one evaluation, for each place
    :param structure: h, of one structure of a report: floor of rounding, neighbour lists
    :param channel: c, of the reduction
    :param exponent: q
    :param exponent_error: standard error of q
    """

    call: float
    place: float
    structure: float
    channel: float
    exponent: float
    exponent_error: float = float("nan")

    def evaluation(self, places: float) -> float:
        """Seconds of one evaluation of the bare model.

        :param places: of the structure
        """
        return self.call + self.place * places

    def reduction(self, probes: float, lambda_max: float, edges: float) -> float:
        """Seconds of the sums of one structure.

        :param probes: and outputs that are resolved
        :param lambda_max: of the spectra
        :param edges: of the structure
        """
        return self.channel * probes * edges * lambda_max**self.exponent

    def seconds(self, case: Mapping[str, Any]) -> float:
        """What a measurement should take.

        :param case: ``evaluations``, ``places``, ``edges``, ``structures``, ``reported``,
            ``probes``, ``lambda_max``
        """
        sums = self.reduction(case["probes"], case["lambda_max"], case["edges"])
        calls = case["evaluations"] * self.evaluation(case["places"])
        each = case["structures"] * sums + case["reported"] * self.structure
        return float(calls + each)

    def as_dict(self) -> dict[str, float]:
        """What can be written as JSON."""
        return asdict(self)


def fit(cases: Sequence[Mapping[str, Any]]) -> CostModel:
    """Fit the cost model to measured times, with relative weights.

    For each exponent the other parameters are a linear problem without negative solutions.

    :param cases: as for :meth:`CostModel.seconds`, with their ``seconds``; ``structures``
        is 0 where only the bare model was evaluated
    :return: the model with the least sum of squared relative residuals
    """
    rows = _rows(cases)
    weights = np.array([1 / case["seconds"] for case in cases])
    linear, exponent = _fitted(rows, weights)
    keep = ~np.eye(len(cases), dtype=bool)
    # leaving out one case after the other, since limits at zero have no curvature
    others = np.array([_fitted(rows[k], weights[k])[1] for k in keep])
    n = len(others)
    error = float(((n - 1) / n * np.square(others - others.mean()).sum()) ** 0.5)
    a, b, h, c = map(float, linear)
    return CostModel(a, b, h, c, exponent, error)


def _rows(cases: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """What the parameters are multiplied by; then λmax."""
    rows = []
    for case in cases:
        calls = case["evaluations"]
        sums = case["structures"] * case["probes"] * case["edges"]
        parts = [calls, calls * case["places"], case["reported"], sums]
        rows.append([*parts, case["lambda_max"]])
    return np.array(rows, dtype=float)


def _fitted(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Linear parameters, and the exponent of the least sum of squares."""
    coarse = min(EXPONENTS[::20], key=lambda q: _linear(rows, weights, q)[1])
    near = EXPONENTS[np.abs(EXPONENTS - coarse) < 0.2]
    best = float(min(near, key=lambda q: _linear(rows, weights, q)[1]))
    return _linear(rows, weights, best)[0], best


def _linear(
    rows: np.ndarray, weights: np.ndarray, exponent: float
) -> tuple[np.ndarray, float]:
    """Parameters for one exponent, and the sum of squared relative residuals."""
    matrix = rows[:, :-1].copy()
    matrix[:, -1] *= rows[:, -1] ** exponent
    matrix *= weights[:, None]
    # columns differ by ten orders of magnitude
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-300)
    solution, norm = nnls(matrix / scale, np.ones(len(matrix)))
    return solution / scale, float(norm) ** 2


def residuals(model: CostModel, cases: Sequence[Mapping[str, Any]]) -> list[float]:
    """Relative residuals of a model.

    :param model: fitted
    :param cases: with their ``seconds``
    :return: model / measured - 1, for each
    """
    return [model.seconds(case) / case["seconds"] - 1 for case in cases]


@dataclass(frozen=True)
class Gpu:
    """What one GPU takes, measured with structures of one size.

    :param evaluation: seconds of one evaluation
    :param reduction: seconds of the sums of one probe on one structure, at ``lambda_max``
    :param atoms: of the structure
    :param edges: of the structure
    :param places: see :class:`CostModel`
    :param lambda_max: of the spectra
    """

    evaluation: float
    reduction: float
    atoms: int
    edges: int
    places: int
    lambda_max: int = 8

    def hours(self, case: Mapping[str, Any], processes: int, model: CostModel) -> float:
        """What a measurement takes on several such GPUs that share the structures evenly.

        The reduction grows with λmax as fitted. What one structure costs besides, on a
        core beside each GPU, is taken from the fit.

        :param case: of structures of this size, as for :meth:`CostModel.seconds`
        :param processes: GPUs
        :param model: fitted
        :return: hours
        """
        sums = self.reduction * case["probes"]
        sums *= (case["lambda_max"] / self.lambda_max) ** model.exponent
        calls = case["evaluations"] * self.evaluation
        total = calls + case["structures"] * sums + case["reported"] * model.structure
        return float(total / processes / 3600)
