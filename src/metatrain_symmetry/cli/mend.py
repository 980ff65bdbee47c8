"""The end of the quickstart: a symmetry report, ``mtt purify``, and the report again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..measure.report import Report

PURIFY = {
    "targets": ["non_conservative_force"],
    "degree": 6,
    "max_structures": 40,
    "max_validation_structures": 20,
    "report_structures": 0,
}
"""Small: the quickstart takes minutes."""

STRUCTURES = 8
"""So many of the test set are looked at."""


def purify_and_compare(run: Path, outputs: Path, options: dict[str, Any]) -> str:
    """Measure a model, purify it, and measure it again on the same test structures.

    :param run: folder of the quickstart; reports and the new checkpoint go there
    :param outputs: folder that metatrain wrote, for the test set
    :param options: of the training
    :return: a table of A and errors, before and after
    """
    from .purify import purify_checkpoint

    sections = ("seed", "training_set", "validation_set", "test_set")
    content = {name: options[name] for name in sections if name in options}
    frames = _test_structures(outputs, options)
    model, purified = run / "model.ckpt", run / "purified.ckpt"
    before = _report(model, frames, run / "symmetry-before")
    purify_checkpoint(
        model, {**content, "purify": PURIFY}, purified, overwrite=True, progress=False
    )
    after = _report(purified, frames, run / "symmetry-after")
    return compare(before, after)


def _test_structures(outputs: Path, options: dict[str, Any]) -> list[Any]:
    """The first structures of the test set, with what is known of them."""
    import ase.io
    import numpy as np

    source = options["training_set"]["systems"]
    path = source["read_from"] if isinstance(source, dict) else source
    frames = ase.io.read(path, ":")
    chosen = np.loadtxt(outputs / "indices" / "test.txt", dtype=int, ndmin=1)
    return [frames[index] for index in chosen[:STRUCTURES]]


def _report(model: Path, frames: list[Any], folder: Path) -> "Report":
    """Report on the outputs, from the exact grid."""
    from .report import symmetry_report

    return symmetry_report(
        model, frames, folder, overwrite=True, probes=(), lambda_max=4, degree=8,
        estimator="grid", progress=False,
    )  # fmt: skip


def compare(before: "Report", after: "Report") -> str:
    """Lay out root mean squares over the structures of two reports.

    :param before: of the trained model
    :param after: of the purified one
    :return: one line per target and irrep
    """
    lines = [
        f"{'symmetry of the predictions':38s}{'A before':>11s}{'after':>11s}"
        f"{'error before':>14s}{'after':>11s}"
    ]
    keys = ["target", "o3_lambda", "o3_sigma", "unit"]
    tables = [
        report.equivariance.groupby(keys, sort=False)[["A", "error"]].agg(_root_mean_square)
        for report in (before, after)
    ]
    label: Any
    for label, row in tables[0].iterrows():
        target, o3_lambda, o3_sigma, unit = label
        name = f"{target} ({o3_lambda},{'+' if o3_sigma == 1 else '-'}), {unit}"
        other = tables[1].loc[label]
        numbers = f"{row.A:11.3g}{other.A:11.3g}{row.error:14.3g}{other.error:11.3g}"
        lines.append(f"{name:38s}{numbers}")
    return "\n".join(lines)


def _root_mean_square(values: Any) -> float:
    return float((values**2).mean() ** 0.5)
