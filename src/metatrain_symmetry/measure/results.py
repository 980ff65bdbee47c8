"""The report: labelled tables and a summary, saved and loaded.

Holds numbers, draws nothing. Columns of the tables are listed with each field.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from .earlier import with_columns
from .tables import with_types


@dataclass
class Report:
    """Everything that was measured on one model and one set of structures.

    What each number is (over what it is averaged, per component or summed, per atom or
    per structure) is in :data:`metatrain_symmetry.measure.quantities.QUANTITIES`.

    :param equivariance: one row per structure, target and irrep block. Columns
        ``structure`` (int), ``target``, ``detail`` (what tells blocks of one target and
        irrep apart, mostly empty), ``o3_lambda``, ``o3_sigma``, ``sample_kind``
        (``system`` or ``atom``; of clouds ``cloud`` or ``point``), ``A`` (root mean
        square over the orbit, samples and components), ``A_stderr`` (its standard error,
        NaN where there is no error bar), ``error`` (root mean square error of the
        prediction in the given orientation, NaN without a target), ``error_averaged``
        (that of the prediction averaged over orientations), ``unit``, ``per_atom`` (bool:
        whether the target grows with the structure), then ``A_per_atom``,
        ``error_per_atom``, ``error_averaged_per_atom`` (for targets that grow divided by
        the number of atoms, otherwise the same) and their ``unit_per_atom``
        (``eV/atom``), ``norm`` and ``target_norm`` (root mean square of the prediction
        over the orbit and of the target, both without
        composition), ``noise`` (A that rounding gives), ``sampling`` (scatter over
        random numbers that are not frozen; only where some are drawn), ``atoms``,
        ``samples`` (over how many the row averages), ``forced_zero`` (at how many of them
        symmetry makes the target zero)
    :param atoms: the same per atom, for per-atom targets: ``structure``, ``atom``,
        ``atomic_type``, ``target``, ``detail``, ``o3_lambda``, ``o3_sigma``, ``A``,
        ``error``, ``unit``; for clouds of points with ``point`` in place of the atom and
        its type
    :param characters: one row per probe and irrep and one for its residual. Columns
        ``probe`` (path of a layer, or a label of an output), ``chi_lambda``, ``chi_sigma``
        (for another group than O(3) its labels, such as ``chi_irrep``; empty in the row
        of the residual), ``B``,
        ``share``, ``stderr`` (of the share, NaN where there is no error bar), then
        ``channel`` (``(1,+)`` or ``residual``), ``kind`` (``output`` or ``layer``),
        ``group`` (``GE``, ..., ``predictions``), ``estimator`` (``grid``, ``orbit``,
        ``circles``, ``mixed``), ``converged`` (bool, per probe), and of outputs
        ``target``, ``detail``, ``o3_lambda``, ``o3_sigma``
    :param summary: settings, versions, convergence, averages and medians over the
        structures; can be written as JSON
    :param diagnosis: one entry per output block: ``{"target", "detail", "irrep",
        "status", "text", "advice"}``, statuses as in
        :data:`metatrain_symmetry.measure.statuses.STATUSES`; ``text`` ends in ``advice``
    :param rotations: how many rotations are needed: one row per output block and set of
        rotations, on average over random frames of the set. Columns ``target``,
        ``detail``, ``o3_lambda``, ``o3_sigma``, ``set`` (such as ``Ii``: the icosahedral
        group with inversion), ``kind`` (``none``, ``group``, ``metatomic``, ``random``),
        ``evaluations`` (of the model, for one structure), ``A_left`` (what an average over
        the set leaves of A over all structures, energies per atom), ``A_left_err`` (its
        standard error), ``unit``, ``share`` (A_left² / A²), ``share_err``, ``structures``
        (from how many the share is known). Empty where nothing is to be averaged

    >>> from pathlib import Path
    >>> from metatrain_symmetry import Report, symmetry_report
    >>> _ = symmetry_report(
    ...     "model.ckpt", "molecules.xyz", "report", max_structures=2, probes=(),
    ...     lambda_max=2, progress=False,
    ... )
    >>> report = Report.load(Path("report"))
    >>> report.summary["n_measured"], len(report.equivariance)
    (2, 2)
    """

    equivariance: pd.DataFrame
    atoms: pd.DataFrame
    characters: pd.DataFrame
    summary: dict[str, Any]
    diagnosis: list[dict[str, str]] = field(default_factory=list)
    rotations: pd.DataFrame = field(default_factory=pd.DataFrame)

    def save(self, folder: Path) -> list[Path]:
        """Write the tables and the summary.

        :param folder: an existing folder
        :return: the files written
        """
        tables = self._tables()
        paths = []
        for name, table in tables.items():
            paths.append(folder / f"{name}.csv")
            table.to_csv(paths[-1], index=False)
        paths.append(folder / "summary.json")
        content = {**self.summary, "diagnosis": self.diagnosis}
        paths[-1].write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")
        return paths

    def _tables(self) -> dict[str, pd.DataFrame]:
        """Tables by the name of their file; some only if they have rows."""
        tables = {"equivariance": self.equivariance, "characters": self.characters}
        if len(self.atoms):
            each = "point" if "point" in self.atoms else "atom"
            tables[f"equivariance_per_{each}"] = self.atoms
        if len(self.rotations):
            tables["rotations"] = self.rotations
        return tables

    @classmethod
    def load(cls, folder: Path) -> "Report":
        """Read what :meth:`save` wrote.

        :param folder: where to
        :raises FileNotFoundError: if a file is missing
        :return: the report
        """
        summary = json.loads((folder / "summary.json").read_text())
        diagnosis = summary.pop("diagnosis")
        per_atom, per_point, rotations = (
            folder / f"{name}.csv"
            for name in ("equivariance_per_atom", "equivariance_per_point", "rotations")
        )
        per_atom = per_point if per_point.is_file() else per_atom
        return cls(
            _read(folder / "equivariance.csv"),
            _read(per_atom) if per_atom.is_file() else pd.DataFrame(),
            _read(folder / "characters.csv"),
            summary,
            diagnosis,
            with_types(pd.read_csv(rotations)) if rotations.is_file() else pd.DataFrame(),
        )


def _read(path: Path) -> pd.DataFrame:
    return with_types(with_columns(pd.read_csv(path)))


def _plain(value: Any) -> Any:
    """Replace what JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
