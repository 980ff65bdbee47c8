"""What ``mtt symmetry`` prints: one table, then what it means."""

import math
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..measure.results import Report

HEADS = (
    "target", "irrep", "A ± error bar", "unit", "A / error", "share of error²", "verdict",
)  # fmt: skip


def lines(report: "Report") -> list[str]:
    """Say the findings in a few lines.

    :param report: what was measured
    :return: what was measured, a table, the diagnosis, whether the spectra are complete
    """
    from ..measure.averages import averages
    from ..measure.statuses import LABELS

    found = [_subject(report.summary)]
    entries = averages(report.equivariance)
    if entries:
        found += ["Equivariance error A (root mean square over the structures):"]
        found += table(entries, report.diagnosis)
        found += notes(entries)
    found += [f"{LABELS[d['status']]}: {_finding(d)}" for d in report.diagnosis]
    found += advice(report.diagnosis)
    return [*found, report.summary["convergence_text"]]


def _subject(summary: dict[str, Any]) -> str:
    """The model, its state and the structures."""
    parts = [str(summary.get("model") or "model")]
    parts += [
        str(summary[key]) for key in ("architecture", "state_text") if summary.get(key)
    ]
    number = summary["n_structures"]
    parts.append(f"{number} structure" + ("" if number == 1 else "s"))
    plan = f"; measured: {summary['plan']}" if summary.get("plan") else ""
    return ", ".join(parts) + plan


def table(entries: list[dict[str, Any]], diagnosis: list[dict[str, str]]) -> list[str]:
    """Lay out the averages of each block.

    :param entries: as from :func:`metatrain_symmetry.measure.averages.averages`
    :param diagnosis: of a report
    :return: one line for the heads and one for each block, columns aligned
    """
    from ..measure.statuses import LABELS

    verdicts = {(d["target"], d["irrep"]): LABELS[d["status"]] for d in diagnosis}
    rows = [HEADS, *(_row(entry, verdicts) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # names to the left, numbers to the right
    left = (0, 1, 3, len(HEADS) - 1)
    return [
        "  ".join(
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(entry: dict[str, Any], verdicts: dict[tuple[str, str], str]) -> tuple[str, ...]:
    """One block."""
    from ..groups import Irrep
    from ..measure.spectra_text import percent
    from ..models.irrep_blocks import part_name

    irrep = Irrep(entry["o3_lambda"], entry["o3_sigma"])
    target = entry["target"]
    extra, share = part_name(target, irrep), entry["asymmetric_share"]
    if entry["unit"].endswith("/atom"):
        extra = "per atom"
    return (
        f"{target}, {extra}" if extra else target,
        str(irrep),
        f"{entry['A']:.3g} ± {_error_bar(entry['A_stderr'])}",
        entry["unit"],
        "-" if math.isnan(entry["ratio"]) else f"{entry['ratio']:.2f}",
        "-" if math.isnan(share) else percent(share).replace("less than", "<"),
        verdicts.get((target, str(irrep)), ""),
    )


def advice(diagnosis: list[dict[str, str]]) -> list[str]:
    """Say what to do, once for all blocks to which it applies.

    :param diagnosis: of a report
    :return: one line for each piece of advice
    """
    blocks: dict[str, list[str]] = {}
    for entry in diagnosis:
        if entry.get("advice"):
            name = f"{entry['target']} {entry['irrep']}"
            blocks.setdefault(entry["advice"], []).append(name)
    return [f"what to do for {', '.join(b)}: {text}" for text, b in blocks.items()]


def _finding(entry: dict[str, str]) -> str:
    """The text without the advice at its end."""
    return entry["text"].removesuffix(entry.get("advice", "")).rstrip()


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


def _error_bar(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.1g}"
