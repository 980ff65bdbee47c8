"""The folder of a report: tables, figures and page, written all or nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..io import write_folder
from ..places import check_folder


if TYPE_CHECKING:
    from ..measure.results import Report

__all__ = ["check_folder", "write"]


def write(report: "Report", folder: Path) -> None:
    """Write tables, figures and page, all or nothing.

    :param report: what was measured
    :param folder: replaced if it is there
    """
    from . import draw_report, write_page

    def fill(scratch: Path) -> None:
        report.save(scratch)
        write_page(report, scratch / "index.html", draw_report(report, scratch))

    write_folder(folder, fill)
