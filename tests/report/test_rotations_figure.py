"""The figure and the table of how many rotations are needed."""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.markers import CARETDOWNBASE

from metatrain_symmetry.measure.rotation_sets import rotation_sets
from metatrain_symmetry.measure.rotations import ROTATIONS
from metatrain_symmetry.report import write_page
from metatrain_symmetry.report.rotations import draw_rotations


sys.path.insert(0, str(Path(__file__).parent))
from synthetic import make_report


def with_rotations():
    report = make_report(structures=3)
    rows = []
    for points in rotation_sets():
        share = 1 / points.evaluations**1.5
        error = share if points.name == "Ii" else 0.1 * share
        rows.append(
            ("energy", "", 0, 1, points.name, points.kind, points.evaluations,
             0.02 * share**0.5, 0.001 * share**0.5, "eV/atom", share, error, 3)
        )  # fmt: skip
    report.rotations = pd.DataFrame(rows, columns=ROTATIONS)
    return report


def test_every_set_is_named_and_a_bound_is_an_arrow():
    figure = draw_rotations(with_rotations())
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = ", ".join(text.get_text() for text in axes.texts).split(", ")
    assert {"i", "T", "Ti", "O", "Oi", "I", "Ii", "metatomic-ase"} <= set(names)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert not [t for t in axes.texts if t.xy[0] > axes.get_xlim()[1] / 3]
    arrows = [line for line in axes.lines if line.get_marker() == CARETDOWNBASE]
    assert sum(len(line.get_xdata()) for line in arrows) == 1


def test_page_has_the_table_and_bounds(tmp_path):
    page = write_page(with_rotations(), tmp_path / "index.html", {}).read_text()
    part = page[page.index('id="rotations"') :]
    assert "SymmetrizedModel.wrap" in part
    assert "below" in part[part.index("<td>Ii</td>") :].split("</tr>")[0]


def test_nothing_is_drawn_without_a_table():
    assert draw_rotations(make_report(structures=2)) is None
