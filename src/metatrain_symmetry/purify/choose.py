"""Candidates along α and ridge, their held-out errors, and the automatic choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from .moments import Moments
from .problems import Part, Problem
from .solve import Path


# a smaller share of A is not worth a new checkpoint
LEAST = 1e-3

KEPT = 0.5
"""Share of its norm that a prediction has to keep. Predicting zero is perfectly
equivariant, and where a target was not learned it costs no accuracy either."""


@dataclass
class Score:
    """Errors of one part on one set.

    :param A: root mean square equivariance error per component
    :param rmse: root mean square error per component, over the orbit
    :param norm_ratio: root mean square of the predictions over that of the targets, both
        without composition; NaN where all targets are zero
    """

    A: float
    rmse: float
    norm_ratio: float = float("nan")

    @property
    def ok(self) -> bool:
        """Whether both are numbers."""
        return self.A == self.A and self.rmse == self.rmse


@dataclass
class Candidate:
    """Readouts of one part, for one α and one ridge.

    :param alpha: weight of the squared equivariance error
    :param ridge: pull towards the trained weights
    :param held_out: on the validation set
    :param training: on the training set
    :param readouts: for each problem of the part ``(P, d K)``
    :param gradients: RMSE or A of gradients, whichever grew more, over that of the trained
        model, on held-out structures; NaN where there are none or where it was not needed
    """

    alpha: float
    ridge: float
    held_out: Score
    training: Score
    readouts: list[torch.Tensor] = field(repr=False)
    gradients: float = float("nan")

    @property
    def objective(self) -> float:
        """What the solve makes small, on held-out structures."""
        weight = self.alpha if self.alpha < float("inf") else 1e12
        return self.held_out.rmse**2 + weight * self.held_out.A**2


@dataclass
class PartResult:
    """What was found for one part.

    :param part: the part
    :param problems: its problems
    :param before: the trained readouts
    :param candidates: all that were tried
    :param chosen: the best of them, None if the trained weights are to stay
    :param reason: why they stay
    :param training: moments of the training set, samples and structures
    :param held_out: likewise of the validation set
    """

    part: Part
    problems: list[Problem]
    before: Candidate
    candidates: list[Candidate]
    chosen: Candidate | None
    reason: str
    training: tuple[int, int]
    held_out: tuple[int, int]

    @property
    def after(self) -> Candidate:
        """What is written."""
        return self.chosen or self.before

    @property
    def unknowns(self) -> int:
        """Features K, which is also the number of samples that determine a readout."""
        width = self.before.readouts[0].shape[1]
        return width // self.part.irrep.dimension

    def curve(self) -> list[Candidate]:
        """For each α the ridge that held-out structures favour."""
        found = []
        for alpha in dict.fromkeys(c.alpha for c in self.candidates):
            same = [c for c in self.candidates if c.alpha == alpha]
            found.append(min(same, key=lambda c: c.objective))
        return found


def score(moments: Sequence[Moments], readouts: Sequence[torch.Tensor]) -> Score:
    """Errors of a part.

    :param moments: of each of its problems
    :param readouts: of each ``(P, d K)``
    :return: root mean squares over problems, samples, properties and components
    """
    error = unsymmetric = count = predicted = known = 0.0
    for one, w in zip(moments, readouts, strict=True):
        squares, spread = one.errors(w)
        error += float(squares.sum())
        unsymmetric += float(spread.sum())
        predicted += float(one.norm2(w).sum())
        known += float(one.yy.sum())
        count += one.samples * w.shape[0] * one.d
    if count == 0:
        return Score(float("nan"), float("nan"))
    ratio = max(predicted / known, 0.0) ** 0.5 if known > 0 else float("nan")
    A, rmse = (max(total / count, 0.0) ** 0.5 for total in (unsymmetric, error))
    return Score(A, rmse, ratio)


def scan(
    training: Sequence[Moments],
    held_out: Sequence[Moments],
    trained: Sequence[torch.Tensor],
    alphas: Sequence[float],
    ridges: Sequence[float],
) -> list[Candidate]:
    """Solve for every α and ridge, and score on both sets.

    :param training: moments of each problem of a part
    :param held_out: likewise
    :param trained: trained readouts
    :param alphas: weights of the squared equivariance error
    :param ridges: pulls towards the trained weights
    :return: candidates, those that are not finite left out
    """
    found = []
    for ridge in ridges:
        paths = [Path(m, w, ridge) for m, w in zip(training, trained, strict=True)]
        for alpha in alphas:
            readouts = [path.readout(alpha) for path in paths]
            candidate = Candidate(
                alpha, ridge, score(held_out, readouts), score(training, readouts), readouts
            )
            if candidate.held_out.ok and candidate.training.ok:
                found.append(candidate)
    return found


def collapsed(candidate: Candidate, before: Candidate) -> bool:
    """Whether a readout gains its symmetry by predicting next to nothing.

    :param candidate: with another readout
    :param before: the trained readouts
    :return: true where the norm of the predictions fell, and is below that of the targets
    """
    trained = min(before.held_out.norm_ratio, 1.0)
    return candidate.held_out.norm_ratio < KEPT * trained


def choose(
    before: Candidate,
    candidates: Sequence[Candidate],
    max_increase: float,
    gradients: Callable[[Candidate], float] | None = None,
) -> tuple[Candidate | None, str]:
    """Lowest equivariance error at an accuracy cost that is accepted.

    :param before: the trained readouts
    :param candidates: what was tried
    :param max_increase: largest increase of the RMSE, as a share of it, on the validation
        set and on the training set
    :param gradients: RMSE and A of the target's gradients over those of the trained model,
        the larger of both, which must not increase more either
    :return: the best candidate; None, and why, if the trained weights are to stay
    """
    limit = before.held_out.rmse * (1 + max_increase)
    lower = [c for c in candidates if c.held_out.A < (1 - LEAST) * before.held_out.A]
    if not lower:
        return None, "no readout had a lower equivariance error on the validation set"
    lower = [c for c in lower if not collapsed(c, before)]
    if not lower:
        return None, (
            "every readout with a lower equivariance error predicted less than "
            f"{100 * KEPT:g} % of what the trained one does, which is no gain"
        )
    # also where there are more structures: a few outliers decide a small validation set
    most = before.training.rmse * (1 + max_increase)
    cheap = [c for c in lower if c.held_out.rmse <= limit and c.training.rmse <= most]
    if not cheap:
        return None, (
            "every readout with a lower equivariance error cost more than "
            f"{100 * max_increase:g} % of RMSE on the validation or the training set"
        )
    for candidate in sorted(cheap, key=lambda c: c.held_out.A):
        if gradients is not None:
            candidate.gradients = gradients(candidate)
            # a NaN: no labels to compare with
            if candidate.gradients > 1 + max_increase:
                continue
        return candidate, ""
    return None, (
        "every readout with a lower equivariance error cost more than "
        f"{100 * max_increase:g} % of RMSE or A of the target's gradients"
    )
