"""One card for each target: how it is doing, in one word, three numbers and a sentence."""

import math
from typing import Any

from ..measure.labels import irrep_label, target_label
from ..measure.results import Report
from ..measure.statuses import STATUSES
from .text import unit, with_error


_KNOWN = {status.name: status for status in STATUSES}
TONES = ("bad", "neutral", "good")
"""From what asks for attention to what does not."""


def verdicts(report: Report) -> list[dict[str, Any]]:
    """Collect the diagnosis and the averages of each target.

    :param report: what was measured
    :return: cards in the order of the targets, with a tone (that of the worst block) and
        its blocks
    """
    averages = {
        (_target(entry), irrep_label(entry["o3_lambda"], entry["o3_sigma"])): entry
        for entry in report.summary.get("averages") or []
    }
    findings = {(_target(entry), entry["irrep"]): entry for entry in report.diagnosis}
    targets: dict[str, list[dict[str, Any]]] = {}
    for target, irrep in dict.fromkeys([*averages, *findings]):
        block = _block(averages.get((target, irrep)), findings.get((target, irrep)))
        targets.setdefault(target, []).append({"irrep": irrep, **block})
    return [
        {
            "target": target,
            "tone": min((b["tone"] for b in blocks), key=TONES.index),
            "blocks": blocks,
        }
        for target, blocks in targets.items()
    ]


def _target(entry: dict[str, Any]) -> str:
    return target_label(entry["target"], entry["detail"])


def _block(
    average: dict[str, Any] | None, finding: dict[str, str] | None
) -> dict[str, Any]:
    """One irrep of a target."""
    name = finding["status"] if finding else ""
    status = _KNOWN.get(name)
    return {
        "label": status.label if status else name,
        "meaning": status.meaning if status else "",
        "tone": status.tone if status else "neutral",
        "text": finding["text"] if finding else "",
        "numbers": _numbers(average) if average else [],
    }


def _numbers(average: dict[str, Any]) -> list[tuple[str, str]]:
    """What stands out: A, and what it is of the error."""
    A, stderr = (_float(average.get(name)) for name in ("A", "A_stderr"))
    what = "equivariance error A" + ("" if math.isfinite(stderr) else ", no error bar")
    shown = f"{with_error(A, stderr)} {unit(str(average.get('unit') or ''))}".strip()
    found = [(shown, what)]
    for column, words in (
        ("ratio", "of the error (RMSE)"),
        ("asymmetric_share", "of the squared error is asymmetry"),
    ):
        value = _float(average.get(column))
        if math.isfinite(value):
            found.append((f"{float(f'{100 * value:.2g}'):g} %", words))
    return found


def _float(value: Any) -> float:
    """A number as it comes from JSON, where what is unknown is None."""
    return math.nan if value is None else float(value)
