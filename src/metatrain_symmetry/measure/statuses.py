"""What a diagnosis can say of an output block: one table of statuses and their limits."""

from dataclasses import dataclass


ASYMMETRIC = 0.1
"""Share of the squared error above which asymmetry is a large part of it.

Averaging over orientations would then lower the error by more than 5 %.
"""

SMALL = 0.1
"""Norm of the prediction over that of the target below which nothing was learned."""

LARGE = 2.0
"""Norm of the prediction over that of the target above which the target is small."""

USELESS = 0.9
"""Averaged error over the norm of the target above which predicting zero does as well."""

PRESENT = 1e-3
"""Share above which an irrep counts as present in a layer or a prediction."""

ROUNDING = 3.0
"""A up to this multiple of what rounding gives counts as zero."""

VANISHING = 10.0
"""A prediction whose norm is up to this multiple of what rounding gives counts as zero.

More than 1 % of its square is rounding then, so that its spectrum says nothing.
"""

UNCERTAIN = 1.5
"""Factor to which an A without an error bar counts as known."""


@dataclass(frozen=True)
class Status:
    """One status.

    :param name: as it stands in ``summary.json``
    :param label: as users read it
    :param meaning: one sentence
    :param rule: when it is given
    :param tone: ``good``, ``bad`` or ``neutral``, for colours
    """

    name: str
    label: str
    meaning: str
    rule: str
    tone: str


STATUSES: tuple[Status, ...] = (
    Status(
        "forced zero", "forced to zero",
        "Symmetry itself makes the target zero on every structure, so all of the "
        "prediction is asymmetry and no ratio to an error means anything.",
        "a lone atom; or target and averaged prediction are both below 1 % of the "
        "prediction, at every sample",
        "neutral",
    ),
    Status(
        "cannot", "cannot be learned",
        "The network lacks the irrep that the target needs.",
        f"not learned, and in no layer is the share of the irrep above {PRESENT:g}, twice "
        "its error bar included",
        "bad",
    ),
    Status(
        "not learned", "not learned",
        "The prediction says next to nothing about the target, so that its symmetry does "
        "not matter yet.",
        f"the averaged prediction is below {SMALL:.0%} of the target, or the averaged "
        f"error above {USELESS:.0%} of it (and the prediction below {LARGE:.0%}), or the "
        f"share of the own irrep in the prediction "
        f"below {PRESENT:g}, twice its error bar included",
        "bad",
    ),
    Status(
        "asymmetric", "asymmetric",
        "Asymmetry is a large part of the error: a more symmetric model would be a more "
        "accurate one.",
        f"A² is more than {ASYMMETRIC:.0%} of the squared oriented error: averaging over "
        "orientations would lower the error by more than 5 % (without targets: of the "
        "squared norm of the prediction)",
        "bad",
    ),
    Status(
        "ok", "OK",
        "Asymmetry is a small part of the error, or below rounding.",
        f"A² is at most {ASYMMETRIC:.0%} of the squared oriented error, or A at most "
        f"{ROUNDING:g} times what rounding gives, or the prediction at most "
        f"{VANISHING:g} times that",
        "good",
    ),
    Status(
        "unknown", "not known",
        "The numbers do not decide.",
        f"the limit of {ASYMMETRIC:.0%} lies within two error bars of the share, where "
        "these are more than half of it; an A without an error bar counts as known "
        f"to a factor of {UNCERTAIN:g}; or the prediction is more than {LARGE:g} times as "
        f"large as the target, and off by more than {USELESS:.0%} of it; or there are no "
        "targets to compare with",
        "neutral",
    ),
)  # fmt: skip
"""All statuses, in the order in which they are tried."""

LABELS = {status.name: status.label for status in STATUSES}
"""Label of each status."""
