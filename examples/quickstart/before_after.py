"""The end of the quickstart: a symmetry report, ``mtt purify``, and the report again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from metatrain_symmetry.measure.results import Report

PURIFY = {
    "targets": ["non_conservative_force"],
    "degree": 6,
    "max_structures": 40,
    "max_validation_structures": 20,
    "report_structures": 0,
}
"""Small: the quickstart takes minutes."""

LAYERS: dict[str, Any] = {"budget": 60.0}
"""Of the report on all layers, in seconds: enough for grids that are exact to λ = 8."""

LAYER_STRUCTURES = 4
"""At most this many of the test set, for the report on all layers."""

PREDICTIONS: dict[str, Any] = {
    "probes": (), "lambda_max": 4, "degree": 8, "circles": 2, "budget": None,
}  # fmt: skip
"""Of both sides of the comparison: the same rotations of every structure."""

STRUCTURES = 8
"""At most this many of the test set are compared."""

COLUMNS = (("A", "A"), ("error", "error"), ("asymmetric_share", "A² of error²"))


def measure(model: Path, outputs: Path, options: dict[str, Any], folder: Path) -> "Report":
    """Measure the trained model, its layers included.

    :param model: checkpoint
    :param outputs: folder that metatrain wrote, for the test set
    :param options: of the training
    :param folder: of the report
    :return: the report
    """
    from metatrain_symmetry import symmetry_report

    frames = _test_structures(outputs, options)[:LAYER_STRUCTURES]
    return symmetry_report(model, frames, folder, overwrite=True, **LAYERS)


def purify_and_compare(
    model: Path, outputs: Path, options: dict[str, Any], purified: Path, folder: Path
) -> str:
    """Purify the direct forces; measure the predictions before and after.

    :param model: checkpoint of the trained model
    :param outputs: folder that metatrain wrote, for the test set
    :param options: of the training
    :param purified: checkpoint to write
    :param folder: of the report on it
    :return: table of both
    """
    from metatrain_symmetry import purify_checkpoint, symmetry_report

    sections = ("seed", "training_set", "validation_set", "test_set")
    content = {name: options[name] for name in sections if name in options}
    content["purify"] = PURIFY
    purify_checkpoint(model, content, purified, overwrite=True)
    frames = _test_structures(outputs, options)
    before = symmetry_report(model, frames, **PREDICTIONS)
    after = symmetry_report(purified, frames, folder, overwrite=True, **PREDICTIONS)
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


def compare(before: "Report", after: "Report") -> str:
    """Lay out averages over the same structures of two reports.

    :param before: of the trained model
    :param after: of the purified one
    :return: two lines of heads and one line per target and irrep; energies per atom
    """
    from metatrain_symmetry.measure.averages import averages
    from metatrain_symmetry.measure.labels import BlockKey

    # whatever was left out of one of them
    common = set(before.equivariance.structure) & set(after.equivariance.structure)
    tables = (
        table[table.structure.isin(common)]
        for table in (before.equivariance, after.equivariance)
    )
    entries, others = (
        {str(BlockKey.of(entry)): entry for entry in averages(table)} for table in tables
    )
    head = f"{len(common)} test structure{'s' * (len(common) != 1)}"
    lines = [
        f"{head:40s}" + "".join(f"{name:>20s}" for _, name in COLUMNS),
        f"{'':40s}" + f"{'before':>11s}{'after':>9s}" * len(COLUMNS),
    ]
    for label, entry in entries.items():
        unit, factor = _milli(entry["unit"])
        text = f"{label}, {unit}".ljust(40)
        for column, _ in COLUMNS[:2]:
            pair = entry[column], others[label][column]
            text += f"{factor * pair[0]:11.1f}{factor * pair[1]:9.1f}"
        share, other = (100 * e["asymmetric_share"] for e in (entry, others[label]))
        lines.append(f"{text}{share:9.1f} %{other:7.1f} %")
    return "\n".join(lines)


def _milli(unit: str) -> tuple[str, float]:
    """The unit as the table of errors spells it, and the factor to it."""
    if unit.startswith("eV"):
        return "m" + unit.replace("/A", "/Å"), 1000.0
    return unit, 1.0
