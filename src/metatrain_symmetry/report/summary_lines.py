"""What ``mtt symmetry`` prints: one table, then what it means."""

import math
from typing import Any

from ..measure.averages import averages
from ..measure.labels import BlockKey, block_label, target_label
from ..measure.results import Report
from ..measure.spectra_text import percent
from ..measure.statuses import LABELS
from ..measure.words import unit_or_one, worded
from ..models.irrep_blocks import part_name
from .text import count


HEADS = (
    "target", "irrep", "A ± error bar", "unit", "A / error", "share of error²", "verdict",
)  # fmt: skip


def lines(report: Report) -> list[str]:
    """Say the findings in a few lines.

    :param report: what was measured
    :return: what was measured, a table, the diagnosis, the verdict, whether the spectra
        are complete
    """
    found = [_subject(report.summary)]
    entries = averages(report.equivariance)
    if entries:
        head = "Equivariance error A (root mean square over the structures):"
        found += [worded(head, report.summary)]
        for entry in entries:
            entry["unit"] = unit_or_one(entry["unit"], report.summary)
        found += table(entries, report.diagnosis)
        found += notes(entries)
    advice: dict[str, list[str]] = {}
    for entry in report.diagnosis:
        # said once, for all blocks to which it applies
        words = entry.get("advice", "")
        name = block_label(entry["target"], entry["detail"], entry["irrep"])
        advice.setdefault(words, []).append(name)
        text = entry["text"].removesuffix(words).rstrip()
        found.append(f"{LABELS[entry['status']]}: {text}")
    advice.pop("", None)
    found += [f"what to do for {', '.join(b)}: {text}" for text, b in advice.items()]
    verdict = report.summary.get("verdict") or {}
    found += [f"verdict: {text}" for text in verdict.get("sentences", [])]
    return [*found, report.summary["convergence_text"]]


def _subject(summary: dict[str, Any]) -> str:
    """The model, its state and the structures."""
    names = [summary.get(key) for key in ("model", "architecture", "state_text")]
    # a calculator has one name for the first two
    parts = list(dict.fromkeys(str(name) for name in names if name)) or ["model"]
    plan = f"; measured: {summary['plan']}" if summary.get("plan") else ""
    many = count(summary["n_structures"], worded("structure", summary))
    return ", ".join([*parts, many]) + plan


def table(entries: list[dict[str, Any]], diagnosis: list[dict[str, str]]) -> list[str]:
    """Lay out the averages of each block.

    :param entries: as from :func:`metatrain_symmetry.measure.averages.averages`
    :param diagnosis: of a report
    :return: one line for the heads and one for each block, columns aligned
    """
    verdicts = {
        (d["target"], d["detail"], d["irrep"]): LABELS[d["status"]] for d in diagnosis
    }
    rows = [HEADS, *(_row(entry, verdicts) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # names to the left, numbers to the right
    sides = "<<><>><"
    return ["  ".join(map("{:{}{}}".format, row, sides, widths)).rstrip() for row in rows]


def _row(
    entry: dict[str, Any], verdicts: dict[tuple[str, str, str], str]
) -> tuple[str, ...]:
    """One block."""
    key, share, stderr = BlockKey.of(entry), entry["asymmetric_share"], entry["A_stderr"]
    extra = "per atom" if entry["per_atom"] else part_name(key.target, key.irrep)
    bar = "± ?" if math.isnan(stderr) else f"± {stderr:.1g}" if stderr else "(exact)"
    return (
        ", ".join(filter(None, [target_label(key.target, key.detail), extra])),
        str(key.irrep),
        f"{entry['A']:.3g} {bar}",
        entry["unit"],
        "-" if math.isnan(entry["ratio"]) else f"{entry['ratio']:.2f}",
        "-" if math.isnan(share) else percent(share).replace("less than", "<"),
        verdicts.get((key.target, key.detail, str(key.irrep)), ""),
    )


def notes(entries: list[dict[str, Any]]) -> list[str]:
    """Explain what a table does not say itself.

    :param entries: as in the table
    :return: sentences
    """
    found = []
    if any(math.isnan(entry["A_stderr"]) for entry in entries):
        found.append("'?': no error bar is known, which does not mean that it is zero.")
    if any(entry["labelled"] for entry in entries):
        found.append(
            "Error: RMSE in the given orientation. Share of error²: the part of the "
            "squared error that averaging over orientations would remove."
        )
    return found
