"""The folder of results: checked before any work, written all or nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from ..measure.report import Report

RESULTS = (
    "index.html",
    "summary.json",
    "equivariance.csv",
    "equivariance_per_atom.csv",
    "characters.csv",
    "figures",
)
"""What a folder of results holds."""


def check_folder(folder: Path, overwrite: bool, results: Iterable[str] = ()) -> Path:
    """Make sure, before any work, that the results can be written.

    :param folder: where to
    :param overwrite: whether older results may be replaced
    :param results: files that belong to the results, beside the usual ones
    :raises ValueError: if there is a file, or a folder that must not be replaced
    :return: the folder, with links resolved
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is a file: name another folder with -o")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and not overwrite:
        raise ValueError(
            f"the folder '{folder}' is there already: name another one, or replace it "
            "with --overwrite"
        )
    # replacing a folder deletes everything in it
    others = sorted(found.difference(RESULTS, results))
    if others:
        raise ValueError(
            f"the folder '{folder}' holds more than results ('{others[0]}'), which "
            "--overwrite would delete: name another one with -o"
        )
    return folder


def write(report: "Report", folder: Path) -> None:
    """Write tables, figures and page, all or nothing.

    :param report: what was measured
    :param folder: replaced if it is there
    """
    from ..figures import draw_report, write_page

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        report.save(scratch)
        write_page(report, scratch / "index.html", draw_report(report, scratch))
        scratch.chmod(0o755)
        _replace(folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(folder: Path, new: Path) -> None:
    """Put a new folder where an old one may be, which comes back if that fails."""
    if not folder.exists():
        os.replace(new, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        os.replace(folder, old)
        os.replace(new, folder)
    except OSError:
        # without content it is the empty one made above
        os.replace(old, folder) if any(old.iterdir()) else old.rmdir()
        raise
    shutil.rmtree(old)
