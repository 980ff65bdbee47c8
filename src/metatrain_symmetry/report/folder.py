"""The folder of a report: tables, figures and page, written all or nothing."""

from pathlib import Path

from ..io import write_folder
from ..measure.results import Report
from ..places import check_folder
from .distribution import draw_distribution
from .heatmap import draw_heatmap
from .network import draw_network
from .page import write_page
from .predictions import draw_spectrum
from .rotations import draw_rotations
from .style import save


__all__ = ["check_folder", "draw_report", "write"]

_DRAW = {
    "network": draw_network,
    "distribution": draw_distribution,
    "spectrum": draw_spectrum,
    "rotations": draw_rotations,
    "heatmap": draw_heatmap,
}


def draw_report(report: Report, folder: str | Path) -> dict[str, Path]:
    """Draw every figure that the report has numbers for.

    :param report: what was measured
    :param folder: the figures go to its subfolder ``figures``, as SVG and as PNG
    :return: name of each figure and its SVG file; the PNG lies beside it
    """
    paths = {}
    for name, draw in _DRAW.items():
        figure = draw(report)
        if figure is not None:
            paths[name] = save(figure, Path(folder) / "figures" / name)
    return paths


def write(report: Report, folder: Path) -> None:
    """Write tables, figures and page, all or nothing.

    :param report: what was measured
    :param folder: replaced if it is there
    """

    def fill(scratch: Path) -> None:
        report.save(scratch)
        write_page(report, scratch / "index.html", draw_report(report, scratch))

    write_folder(folder, fill)
