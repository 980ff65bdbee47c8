"""Figures show what was measured, also when little was."""

import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from metatrain_symmetry import Block, FunctionEngine, Irrep, Settings, analyze
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.report import draw_report, style, text, write_page
from metatrain_symmetry.report.distribution import draw_distribution
from metatrain_symmetry.report.errors import report_blocks
from metatrain_symmetry.report.heatmap import draw_heatmap
from metatrain_symmetry.report.painter import BELOW, NO_ERROR_BAR
from metatrain_symmetry.report.predictions import draw_spectrum
from metatrain_symmetry.report.probes import report_spectra
from metatrain_symmetry.report.shares import Cells


sys.path.insert(0, str(Path(__file__).parent))
from synthetic import LAYERS, NOT_CONVERGED, OUTPUTS, make_c3v_report, make_report


PROBES = [*LAYERS, *OUTPUTS]
FEW = dict(list(LAYERS.items())[:3])


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def rendered(figure):
    """Lay out everything; whatever cannot be drawn fails here."""
    figure.draw_without_rendering()


def test_files(tmp_path):
    before = dict(matplotlib.rcParams)
    report = make_report(structures=20, layers=FEW)
    paths = draw_report(report, tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert list(paths) == ["network", "distribution", "spectrum", "heatmap"]
    for path in paths.values():
        assert path.parent == tmp_path / "figures"
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert imread(path.with_suffix(".png"))[..., :3].std() > 0.05
    page = write_page(report, tmp_path / "index.html", paths)
    assert page.read_text(encoding="utf-8").count("<img") == 3
    # nothing half-written is left
    assert len(list((tmp_path / "figures").iterdir())) == 8


def test_failed_writing_leaves_the_old_file(tmp_path, monkeypatch):
    style.save(Figure(), tmp_path / "a")
    old = (tmp_path / "a.png").read_bytes()
    figure = Figure()

    def fail(part, **options):
        Path(part).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        style.save(figure, tmp_path / "a")
    assert (tmp_path / "a.png").read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_spectrum():
    report = make_report()
    figure = draw_spectrum(report)
    assert len(figure.axes) == len(OUTPUTS)
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    words = texts(figure)
    assert any("pet-mad-s.pt" in word and "150 structures" in word for word in words)
    assert words.count("not converged") == 1
    assert "> 8" in words
    assert [axes.get_title(loc="left") for axes in figure.axes] == OUTPUTS
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert {"proper  σ = +", "pseudo  σ = −", "residual: beyond λmax"} <= set(legend)


def test_spectrum_draws_the_numbers():
    report = make_report()
    axes = draw_spectrum(report).axes[1]
    rows = report.characters.query(
        "probe == 'non_conservative_force (1,+)' and chi_sigma == 1"
    )
    proper = axes.containers[0]
    np.testing.assert_allclose(proper[0].get_ydata().astype(float), rows["share"])
    tops = [segment[1, 1] for segment in proper[2][0].get_segments()]
    np.testing.assert_allclose(tops, rows["share"] + rows["stderr"])


def test_needed_irreps():
    found = report_spectra(make_report())
    needed = {p.name: found.needed(p) for p in found.probes}
    assert [needed[name] for name in OUTPUTS] == [0, 1, 0, 2]
    assert {needed[name] for name in LAYERS} == {None}


def meshes(figure):
    return [
        mesh
        for axes in figure.axes[1:4]
        for mesh in axes.collections
        if isinstance(mesh, QuadMesh)
    ]


def test_heatmap():
    report = make_report()
    figure = draw_heatmap(report)
    words = texts(figure)
    for probe in PROBES:
        assert (probe in words) != (probe in NOT_CONVERGED)
        assert (f"{probe} †" in words) == (probe in NOT_CONVERGED)
    for group in {group for group, _ in LAYERS.values()} | {"predictions", "residual"}:
        assert group in words
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "not converged" in legend
    assert "irrep of the target" in legend
    assert "at or below 10⁻¹⁰" in legend
    cells = meshes(figure)
    assert all(isinstance(m.norm, LogNorm) for m in cells)
    assert (cells[0].norm.vmin, cells[0].norm.vmax) == (1e-10, 1.0)
    # three panels, each with a block for each group, the predictions last
    groups = len(cells) // 3
    last = cells[groups - 1 :: groups]
    assert [m.get_array().shape for m in last] == [(4, 9), (4, 9), (4, 1)]
    assert sum(m.get_array().shape[0] for m in cells) == 3 * len(PROBES)
    table = report.characters.query("probe == 'energy (0,+)'")
    energy = table.query("chi_sigma == 1")["share"]
    np.testing.assert_allclose(last[0].get_array()[0], energy)
    residual = table.query("channel == 'residual'")["share"]
    np.testing.assert_allclose(last[2].get_array()[0], residual)


def marked(figure, name):
    """Numbers of hatched cells, or of dots."""
    found = [
        a for axes in figure.axes[1:4] for a in axes.get_children() if a.get_gid() == name
    ]
    return sum(len(a.get_paths() if name == BELOW else a.get_xdata()) for a in found)


def test_cells_say_what_their_numbers_are_worth():
    report = make_report()
    table = report.characters
    table.loc[table.index[::9], "stderr"] = np.nan
    figure = draw_heatmap(report)
    below = (table["share"] <= 2 * table["stderr"]) & (table["stderr"] > 0)
    assert marked(figure, BELOW) == below.sum() > 10
    assert marked(figure, NO_ERROR_BAR) == table["stderr"].isna().sum() > 10
    assert {BELOW, NO_ERROR_BAR} <= {t.get_text() for t in figure.legends[0].get_texts()}
    # the colour is that of the bound
    row = table[(table.probe == "energy (0,+)") & (table.chi_sigma == -1)]
    shown = np.where(row.share <= 2 * row.stderr, row.share + 2 * row.stderr, row.share)
    last = [m for m in figure.axes[2].collections if isinstance(m, QuadMesh)][-1]
    found = np.asarray(last.get_array()[0])
    np.testing.assert_allclose(found, np.maximum(shown, 1e-10))
    # a missing error bar is no reason to call a number certain, nor to call it zero
    table["stderr"] = np.nan
    figure = draw_heatmap(report)
    assert marked(figure, BELOW) == 0
    assert marked(figure, NO_ERROR_BAR) == len(table)


@pytest.mark.parametrize(
    ("share", "stderr", "below", "shown"),
    [
        (0.5, 0.1, False, 0.5),
        (0.1, 0.1, True, 0.3),
        (-0.1, 0.1, True, 0.2),
        (-0.5, 0.1, True, 0.2),
        (0.0, 0.0, False, 0.0),
        (0.1, np.nan, False, 0.1),
    ],
)
def test_bounds(share, stderr, below, shown):
    cells = Cells(*(np.array([value]) for value in (share, stderr, share)))
    assert cells.below == [below]
    assert cells.shown == pytest.approx([shown])
    assert cells.bare == [stderr != stderr]
    assert cells.signs == ["<" if below else "" if stderr == stderr else "•"]
    assert cells.words[0].startswith("below") == below
    assert f"B = {text.number(share)}" in cells.tips[0]


def test_rows_follow_the_network():
    report = make_report()
    report.characters = report.characters.iloc[::-1]
    groups = [probe.group for probe in report_spectra(report).probes]
    order = ["GE", "CE", "NE", "EE", "transformer", "GNN", "BBF", "LLF", "predictions"]
    assert list(dict.fromkeys(groups)) == order


def report_of(number, lambda_max):
    """As many probes; the first four are predictions."""
    layers = {f"layer_{i}": ("transformer", 0.1) for i in range(max(number - 4, 0))}
    report = make_report(structures=2, layers=layers, lambda_max=lambda_max)
    if number < 4:
        report.characters = report.characters.query("probe == 'energy (0,+)'")
    report.characters.loc[report.characters.index[::5], "stderr"] = np.nan
    return report


@pytest.mark.parametrize(
    ("number", "lambda_max"), [(1, 2), (1, 16), (4, 8), (12, 16), (50, 2)]
)
def test_everything_fits_into_the_heatmap(number, lambda_max):
    figure = draw_heatmap(report_of(number, lambda_max))
    rendered(figure)
    width, height = figure.canvas.get_width_height()
    boxes = {}
    for item in figure.findobj(Text):
        if item.get_text().strip() and item.get_visible():
            box = item.get_window_extent()
            if box.width > 1:  # zero: never drawn
                boxes[item.get_text(), round(box.x0), round(box.y0)] = box
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes.values())
    assert all(box.y0 >= 0 and box.y1 <= height for box in boxes.values())
    # no two texts lie upon each other
    for a, b in combinations(boxes.values(), 2):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
    names = [name for name, *_ in boxes]
    assert sum(name.startswith("share of the mean square") for name in names) == 1
    assert sum(name.startswith("layer_") for name in names) == max(number - 4, 0)


@pytest.mark.parametrize("number", [1, 4, 12])
def test_the_legend_fits_below_the_spectra(number):
    report = report_of(4, 8)
    own = report.characters.query("kind == 'output'")
    rows = [own.assign(probe=own["probe"] + f"_{i}") for i in range(4)]
    table = pd.concat(rows)
    report.characters = table[table.probe.isin(table.probe.unique()[:number])]
    figure = draw_spectrum(report)
    rendered(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.canvas.get_width_height()[0]
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == number


def test_spectrum_says_what_its_numbers_are_worth():
    report = make_report()
    table = report.characters
    own = table.probe == "non_conservative_force (1,+)"
    rows = table[own & (table.chi_sigma == 1)].index
    table.loc[rows[2], "stderr"] = 10 * table.loc[rows[2], "share"]
    table.loc[rows[3], "stderr"] = np.nan
    figure = draw_spectrum(report)
    axes = figure.axes[1]
    certain = axes.containers[0][0].get_ydata().astype(float)
    np.testing.assert_allclose(certain, table.loc[rows[[0, 1, *range(4, 9)]], "share"])
    own = [line for line in axes.lines if line.get_color() == style.PROPER]
    (bound,) = [x for x in own if x.get_marker() == "v" and len(x.get_xdata()) == 1]
    assert bound.get_ydata()[0] == pytest.approx(21 * table.loc[rows[2], "share"])
    (loose,) = [line for line in own if line.get_marker() == "x"]
    assert loose.get_ydata()[0] == table.loc[rows[3], "share"]
    assert NO_ERROR_BAR in {t.get_text() for t in figure.legends[0].get_texts()}


def test_shares_that_no_log_axis_can_show():
    report = make_report(structures=3, layers=FEW)
    table = report.characters
    table.loc[table.index[::7], "share"] = -1e-6
    table.loc[table.index[::5], "share"] = 0.0
    table.loc[table.index[::11], "share"] = np.nan
    table.loc[table.index[::3], "stderr"] = np.nan
    report.characters["converged"] = False
    for draw in (draw_heatmap, draw_spectrum):
        rendered(draw(report))
    assert "not measured" in texts(draw_heatmap(report))


def test_tables_read_from_files(tmp_path):
    report = make_report(structures=3)
    report.save(tmp_path)
    report = Report.load(tmp_path)
    for draw in (draw_heatmap, draw_spectrum, draw_distribution):
        assert draw(report) is not None


def test_distribution():
    report = make_report()
    figure = draw_distribution(report)
    assert len(figure.axes) == 8
    tops, bottoms = figure.axes[:4], figure.axes[4:]
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in tops)
    assert "(eV/atom)" in tops[0].get_xlabel()
    assert "(eV/Å³)" in tops[2].get_ylabel()
    energy = report.equivariance.query("target == 'energy'")
    points = np.asarray(tops[0].collections[0].get_offsets())
    np.testing.assert_allclose(points, energy[["error_per_atom", "A_per_atom"]])
    median = 100 * (energy["A"] / energy["error"]).median()
    assert f"median {text.number(median)} %" in texts(bottoms[0])
    # rounding lies far below: a remark rather than a line
    assert any(word.startswith("rounding: ") for word in texts(tops[0]))
    report.equivariance["noise"] = report.equivariance["A"].median()
    legend = draw_distribution(report).legends[0].get_texts()
    assert "rounding" in {t.get_text() for t in legend}


def test_error_bars_of_A():
    report = make_report(structures=5)
    table = report.equivariance
    table["A_stderr"] = 0.2 * table["A"]
    table.loc[table.index[0], "A_stderr"] = np.nan
    axes = draw_distribution(report).axes[0]
    (bars,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    energy = table.query("target == 'energy'").iloc[1:]
    tops = [segment[1, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(tops, 1.2 * energy["A_per_atom"])


def test_distribution_without_errors():
    figure = draw_distribution(make_report(errors=False))
    rendered(figure)
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "size of the prediction" in legend
    assert "A / size of the prediction  (%)" in texts(figure)


def spoil_zero(table):
    table.loc[::2, ["A", "A_per_atom"]] = 0.0


def spoil_all_zero(table):
    table[["A", "A_per_atom", "noise"]] = 0.0


def spoil_nan(table):
    table.loc[::2, ["A", "A_per_atom"]] = np.nan
    table.loc[::3, ["error", "error_per_atom"]] = np.nan


def spoil_all_nan(table):
    table[["A", "A_per_atom", "error", "error_per_atom", "noise", "norm"]] = np.nan


def spoil_no_overlap(table):
    table.loc[::2, ["A", "A_per_atom"]] = np.nan
    table.loc[1::2, ["error", "error_per_atom"]] = np.nan


def spoil_zero_error(table):
    table[["error", "error_per_atom"]] = 0.0
    table["unit"] = None


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_zero,
        spoil_all_zero,
        spoil_nan,
        spoil_all_nan,
        spoil_no_overlap,
        spoil_zero_error,
    ],
)
@pytest.mark.filterwarnings("error")
def test_distribution_of_difficult_numbers(spoil):
    report = make_report(structures=6)
    report.equivariance = report.equivariance[report.equivariance["target"] == "energy"]
    spoil(report.equivariance)
    rendered(draw_distribution(report))


@pytest.mark.parametrize("spoil", [lambda table: None, spoil_zero])
def test_distribution_of_one_structure(spoil):
    report = make_report(structures=1)
    report.equivariance = report.equivariance[report.equivariance["target"] == "energy"]
    spoil(report.equivariance)
    figure = draw_distribution(report)
    rendered(figure)
    assert any("1 structure  ·" in word for word in texts(figure))


def test_zeros_are_counted():
    report = make_report(structures=10)
    spoil_zero(report.equivariance)
    words = texts(draw_distribution(report))
    assert "A or error is 0: 5 of 10" in words
    assert any("5 at 0 or ∞, not shown" in word for word in words)


def test_extensive_targets_are_per_atom():
    energy, force, *_ = report_blocks(make_report(structures=5))
    assert (energy.unit, force.unit) == ("eV/atom", "eV/A")
    report = make_report(structures=5)
    report.equivariance[["A", "A_per_atom"]] = 0.0
    exact, *_ = report_blocks(report)
    assert exact.unit == "eV/atom"
    assert np.array_equal(exact["norm"], energy["norm"])


def test_nothing_measured(tmp_path):
    report = make_report()
    report.characters = report.characters.iloc[:0]
    assert draw_heatmap(report) is draw_spectrum(report) is None
    report.equivariance = report.equivariance.iloc[:0]
    assert draw_report(report, tmp_path) == {}


def test_names_are_not_mathematics():
    report = make_report(model="$\\frac{$", structures=2, layers=FEW)
    report.characters["probe"] = report.characters["probe"].str.replace("energy", "$e_$")
    report.equivariance["target"] = "$x^$"
    for draw in (draw_heatmap, draw_spectrum, draw_distribution):
        rendered(draw(report))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (1.2345e-5, "1.23×10⁻⁵"),
        (0.0123456, "0.0123"),
        (99.95, "100"),
        (1234.5, "1,230"),
        (-2e7, "-2.00×10⁷"),
    ],
)
def test_numbers(value, shown):
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.13216, 0.0104, "0.132 ± 0.010"),
        (0.00219, 8.66e-5, "0.002190 ± 0.000087"),
        (3.14e-4, 1.14e-5, "(3.14 ± 0.11)×10⁻⁴"),
        (2.0e-9, 3.0e-3, "0.0000 ± 0.0030"),
        (412.3, 31.0, "412 ± 31"),
        (0.5, 0.0, "0.5 (exact)"),
        (0.5, float("nan"), "0.5"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_numbers_with_errors(value, stderr, shown):
    assert text.with_error(value, stderr) == shown


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.13216, 0.0104, "0.132 ± 0.010"),
        (0.1, 0.06, "below 0.22"),
        (-0.1, 0.06, "below 0.12"),
        (0.1, float("nan"), "0.1, no error bar"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_numbers_as_far_as_they_are_known(value, stderr, shown):
    assert text.measured(value, stderr) == shown


def test_irreps_that_are_counted_by_m(tmp_path):
    """Powers of SO(2): ticks with signs, and a residual."""
    square = Block("square", Irrep(0))
    engine = FunctionEngine({square: lambda x: x[:, :1, :1, None] ** 4})
    data = [engine.prepare(torch.tensor([[1.0, 2.0, 3.0]]))]
    report = analyze(engine, data, "SO(2)", Settings(lambda_max=2), progress=False)
    figure = draw_heatmap(report)
    rendered(figure)
    panel, rest = figure.axes[1:3]
    ticks = ["0", "+1", "−1", "+2", "−2"]
    assert [t.get_text() for t in panel.get_xticklabels()] == ticks
    assert panel.get_xlabel() == "m"
    assert panel.get_title(loc="left") == "irreps of SO(2)"
    assert [t.get_text() for t in rest.get_xticklabels()] == ["> 2"]
    # cos⁴: 3/8 + cos(2φ)/2 + cos(4φ)/8
    powers = np.array([3 / 8, 1 / 4, 1 / 16]) ** 2 * [1, 1, 2]
    powers = powers / (powers[0] + 2 * powers[1] + powers[2])
    shown = [m for m in panel.collections if isinstance(m, QuadMesh)][-1].get_array()[0]
    np.testing.assert_allclose(shown[[0, 3, 4]], powers[[0, 1, 1]])
    left = [m for m in rest.collections if isinstance(m, QuadMesh)][-1].get_array()[0]
    np.testing.assert_allclose(left, powers[2])
    page = write_page(report, tmp_path / "index.html", {}).read_text("utf-8")
    assert page.count('data-irrep="m=+2"') == 1
    assert "under the group SO(2)" in page


def test_another_group(tmp_path):
    """Irreps without a degree: a column for each channel, in the order of the summary."""
    report = make_c3v_report()
    figure = draw_heatmap(report)
    rendered(figure)
    panel = figure.axes[1]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["A1", "A2", "E"]
    assert panel.get_title(loc="left") == "irreps of C3v"
    rows = report.characters.query("probe == 'energy (0,+)'").set_index("channel")
    last = [m for m in panel.collections if isinstance(m, QuadMesh)][-1].get_array()[0]
    np.testing.assert_allclose(last, rows.loc[["A1", "A2", "E"], "share"])
    figure = draw_spectrum(report)
    rendered(figure)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["A1", "A2", "E"]
    page = write_page(report, tmp_path / "index.html", {}).read_text("utf-8")
    assert page.count('data-irrep="A2"') == len(PROBES)
    assert "irreps of C3v" in page
    assert "residual" not in page.split('id="spectra"')[1].split("</thead>")[0]
