"""One card for each target: how it is doing, in one word, three numbers and a sentence."""

import math
from typing import Any

from ..measure.labels import BlockKey, target_label
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
    averages, targets = {}, dict[str, list[dict[str, Any]]]()
    for entry in report.summary.get("averages") or []:
        own = BlockKey.of(entry)
        averages[own.target, own.detail, str(own.irrep)] = entry
    findings = {(d["target"], d["detail"], d["irrep"]): d for d in report.diagnosis}
    for target, detail, irrep in dict.fromkeys([*averages, *findings]):
        key = (target, detail, irrep)
        block = _block(irrep, averages.get(key), findings.get(key, {}))
        targets.setdefault(target_label(target, detail), []).append(block)
    return [
        {
            "target": target,
            "tone": min((b["tone"] for b in blocks), key=TONES.index),
            "blocks": blocks,
        }
        for target, blocks in targets.items()
    ]


def _block(
    irrep: str, average: dict[str, Any] | None, finding: dict[str, str]
) -> dict[str, Any]:
    """One irrep of a target."""
    name = finding.get("status", "")
    status = _KNOWN.get(name)
    return {
        "irrep": irrep,
        "label": status.label if status else name,
        "meaning": status.meaning if status else "",
        "tone": status.tone if status else "neutral",
        "text": finding.get("text", ""),
        "numbers": _numbers(average),
    }


def _numbers(average: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What stands out: A, and what it is of the error; in JSON, None is unknown."""
    if average is None:
        return []
    A, stderr, ratio, share = (
        math.nan if average.get(name) is None else float(average[name])
        for name in ("A", "A_stderr", "ratio", "asymmetric_share")
    )
    what = "equivariance error A" + ("" if math.isfinite(stderr) else ", no error bar")
    words = (ratio, "of the error (RMSE)"), (share, "of the squared error is asymmetry")
    return [
        (f"{with_error(A, stderr)} {unit(average.get('unit') or '')}".strip(), what),
        *((f"{float(f'{100 * v:.2g}'):g} %", w) for v, w in words if math.isfinite(v)),
    ]
