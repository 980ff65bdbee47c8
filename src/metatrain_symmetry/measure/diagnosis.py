"""A diagnosis in words: how each output block is doing, and what to do about it.

The statuses, and the limits that decide between them, are in one table:
:data:`metatrain_symmetry.measure.statuses.STATUSES`.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..groups import O3, Group
from ..models.irrep_blocks import part_name
from .advice import ModelFacts, for_asymmetry, for_missing
from .averages import averages, vanishes
from .labels import BlockKey
from .rotations import sentence
from .spectra_text import Spectra, percent
from .statuses import ASYMMETRIC, LARGE, ROUNDING, SMALL, UNCERTAIN, USELESS
from .words import CLOUD, worded


@dataclass(frozen=True)
class _Interval:
    """A share of a squared error, and between which values it lies."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, stderr: float) -> "_Interval":
        """Two error bars; without any, a factor in the underlying A."""
        if math.isnan(stderr):
            # of s = a / (a + b), with a changed by the square of the factor
            odds = value / (1 - value) if value < 1 else math.inf
            few, many = odds / UNCERTAIN**2, odds * UNCERTAIN**2
            high = 1.0 if math.isinf(many) else many / (1 + many)
            return cls(value, 1.0 if math.isinf(few) else few / (1 + few), high)
        return cls(value, value - 2 * stderr, value + 2 * stderr)

    @property
    def decided(self) -> bool:
        """Whether the limit lies outside, or the value is known well enough."""
        if self.high <= ASYMMETRIC or self.low > ASYMMETRIC:
            return True
        return self.high - self.value <= 0.5 * self.value


def diagnose(
    equivariance: pd.DataFrame,
    characters: pd.DataFrame,
    facts: ModelFacts | None = None,
    group: Group | None = None,
    rotations: pd.DataFrame | None = None,
) -> list[dict[str, str]]:
    """Grade each output block.

    :param equivariance: as in :class:`~metatrain_symmetry.measure.results.Report`
    :param characters: likewise
    :param facts: of the model, for advice that fits it
    :param group: whose irreps the spectra are resolved by; None for O(3)
    :param rotations: as in the report, to say how many of them would do
    :return: for each block ``target``, ``detail``, ``irrep``, ``status`` (one of
        :data:`~metatrain_symmetry.measure.statuses.STATUSES`), ``text``, and the end of
        it, ``advice``, empty where nothing needs to be done
    """
    spectra = Spectra(characters, group or O3())
    left = pd.DataFrame() if rotations is None else rotations
    facts = facts or ModelFacts()
    return [_finding(e, spectra, facts, left) for e in averages(equivariance)]


def _finding(
    entry: dict[str, Any], spectra: Spectra, facts: ModelFacts, rotations: pd.DataFrame
) -> dict[str, str]:
    """One block."""
    key = BlockKey.of(entry)
    target, irrep = key.target, key.irrep
    status, why = _grade(entry, spectra, key)
    part = part_name(target, irrep)
    pieces = [f"{key}{f', {part}' if part else ''}:", f"{why}."]
    pieces += [_small_target(entry)] if status not in ("forced zero", "not learned") else []
    pieces += [_partly_forced(entry)] if status != "forced zero" else []
    pieces += [_sampling(entry)]
    pieces += [spectra.sentence(key)]
    advice = ""
    if status == "asymmetric":
        pieces += [sentence(rotations, key)]
        advice = for_asymmetry(facts)
    elif status in ("cannot", "not learned"):
        advice = for_missing(irrep, facts)
    if facts.clouds:
        pieces[1:] = [worded(piece, {"thing": CLOUD}) for piece in pieces[1:]]
    text = " ".join(piece for piece in (*pieces, advice) if piece)
    return {
        "target": target, "detail": key.detail, "irrep": str(irrep), "status": status,
        "text": text, "advice": advice,
    }  # fmt: skip


def _grade(entry: dict[str, Any], spectra: Spectra, key: BlockKey) -> tuple[str, str]:
    """Status and the reason for it."""
    if entry["forced_zero"] and entry["forced_zero"] == entry["samples"]:
        size = _size(entry["norm"], entry["unit"])
        return "forced zero", "symmetry makes the target zero on these structures, " + (
            f"and the prediction is zero up to rounding ({size})"
            if vanishes(entry)
            else f"so that all of the prediction ({size}) is asymmetry"
        )
    missing = _not_learned(entry, spectra, key)
    if missing:
        lacking = spectra.lacking(key.irrep)
        if lacking:
            return "cannot", f"{missing}, and {lacking}"
        return "not learned", missing
    if vanishes(entry):
        size = _size(entry["norm"], entry["unit"])
        return "ok", f"the prediction is zero up to rounding ({size})"
    if entry["A"] <= ROUNDING * entry["noise"]:
        rounding = _size(entry["noise"], entry["unit"])
        return "ok", f"A is zero within rounding ({rounding})"
    status, why = _by_error(entry, spectra.over)
    if status == "ok" and entry["relative_error"] > USELESS:
        # the target is small just here, or the prediction is of the wrong size
        status = "unknown"
    return status, why


def _not_learned(entry: dict[str, Any], spectra: Spectra, key: BlockKey) -> str:
    """Why the prediction says next to nothing, empty if it says something."""
    if entry["norm_ratio"] < SMALL:
        return f"the averaged prediction is {percent(entry['norm_ratio'])} of the target"
    # far above the target, the prediction says that the target is small just here
    if entry["relative_error"] > USELESS and entry["norm_ratio"] < LARGE:
        return (
            f"the averaged prediction is off by {percent(entry['relative_error'])} of the "
            "size of the target, so that predicting zero would do about as well"
        )
    return spectra.absent(key)


def _by_error(entry: dict[str, Any], over: str) -> tuple[str, str]:
    """Status by what A is of the error."""
    A = f"A is {_size(entry['A'], entry['unit'], entry['A_stderr'])}"
    if math.isnan(entry["error"]):
        return _by_norm(entry, A)
    ratio = entry["ratio"]
    against = f"{percent(ratio)} of the RMSE of {_size(entry['error'], entry['unit'])}"
    if entry["labelled"] < entry["structures"]:
        known = f"{entry['labelled']} of {entry['structures']} structures"
        against += f" over the {known} with a target"
    share = entry["asymmetric_share"]
    if math.isnan(share):
        # an orientation of many: not known as well as the average over all
        share = min(ratio**2, 1.0)
        graded = _Interval.of(share, math.nan)
        text = f"{A}, {against}"
    else:
        graded = _Interval.of(share, entry["asymmetric_share_stderr"])
        gain = 1 - math.sqrt(max(1 - share, 0.0))
        text = (
            f"{A}, {against}. Asymmetry makes up {percent(share)} of the squared error: "
            f"averaging over {over} would lower the error by {percent(gain)}"
        )
    return _decide(graded, text)


def _by_norm(entry: dict[str, Any], A: str) -> tuple[str, str]:
    """Status where the error is not known."""
    share = min((entry["A"] / entry["norm"]) ** 2, 1.0) if entry["norm"] > 0 else math.nan
    text = (
        f"{A}, {percent(math.sqrt(share))} of the size of the prediction. How much of the "
        "error that is cannot be said without targets"
    )
    stderr = 2 * share * entry["A_stderr"] / entry["A"]
    if _Interval.of(share, stderr).low > ASYMMETRIC:
        return "asymmetric", text
    return "unknown", text


def _decide(graded: _Interval, text: str) -> tuple[str, str]:
    """Status by a share of a squared error."""
    if not graded.decided:
        return "unknown", (
            f"{text}. That share is between {percent(max(graded.low, 0.0))} and "
            f"{percent(min(graded.high, 1.0))}, which does not decide whether it is large: "
            "measure with more rotations or structures"
        )
    return ("asymmetric" if graded.value > ASYMMETRIC else "ok"), text


def _small_target(entry: dict[str, Any]) -> str:
    """Say where the target is small beside what is predicted."""
    if not entry["norm_ratio"] >= LARGE:
        return ""
    if entry["norm_ratio"] > 1e3:
        return "The target is zero on these structures, or next to it."
    return (
        f"The averaged prediction is {entry['norm_ratio']:.2g} times as large as the "
        "target, which is small on these structures or not learned."
    )


def _partly_forced(entry: dict[str, Any]) -> str:
    """Say where symmetry makes the target zero on some of the samples."""
    if not entry["forced_zero"]:
        return ""
    return (
        f"Symmetry makes the target zero at {entry['forced_zero']} of {entry['samples']} "
        "samples, where all of the prediction is asymmetry."
    )


def _sampling(entry: dict[str, Any]) -> str:
    """Say what random numbers add, where they are not the same in all orientations."""
    if not entry["sampling"] > 0:
        return ""
    return (
        "A is taken with the same random numbers in all orientations; over other ones, the "
        f"prediction scatters by {_size(entry['sampling'], entry['unit'])} in one "
        "orientation."
    )


def _size(value: float, unit: str, stderr: float | None = None) -> str:
    """A number with its unit, perhaps with its error bar."""
    text = f"{value:.3g}"
    if stderr is not None and stderr != 0:  # exact over a finite group
        text += " (no error bar)" if math.isnan(stderr) else f" ± {stderr:.1g}"
    return f"{text} {unit}".rstrip()
