"""Figures show what was measured, also when little was."""

import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from metatrain_symmetry.figures import draw_report, style, write_page
from metatrain_symmetry.figures.blocks import read_blocks
from metatrain_symmetry.figures.distribution import draw_distribution
from metatrain_symmetry.figures.heatmap import draw_heatmap
from metatrain_symmetry.figures.spectrum import (
    draw_spectrum,
    needed_irreps,
    read_spectra,
)
from metatrain_symmetry.group.irreps import Irrep


sys.path.insert(0, str(Path(__file__).parent))
from synthetic import LAYERS, NOT_CONVERGED, TARGETS, make_report


PROBES = [*LAYERS, *TARGETS]
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
    assert list(paths) == ["distribution", "spectrum", "heatmap"]
    for path in paths.values():
        assert path.parent == tmp_path / "figures"
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert imread(path.with_suffix(".png"))[..., :3].std() > 0.05
    page = write_page(report, tmp_path / "index.html", paths)
    assert page.read_text(encoding="utf-8").count("<img") == 3
    # nothing half-written is left
    assert len(list((tmp_path / "figures").iterdir())) == 6


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
    assert len(figure.axes) == len(TARGETS)
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    words = texts(figure)
    assert any("pet-mad-s.pt" in word and "150 structures" in word for word in words)
    assert words.count("not converged") == 1
    assert "> 8" in words
    for axes, target in zip(figure.axes, TARGETS, strict=True):
        assert axes.get_title(loc="left").startswith(target)
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert {"proper  σ = +", "pseudo  σ = −", "residual: beyond λmax"} <= set(legend)


def test_spectrum_draws_the_numbers():
    report = make_report()
    axes = draw_spectrum(report).axes[1]
    rows = report.characters.query("probe == 'non_conservative_force' and chi_sigma == 1")
    proper = axes.containers[0]
    np.testing.assert_allclose(proper[0].get_ydata().astype(float), rows["share"])
    tops = [segment[1, 1] for segment in proper[2][0].get_segments()]
    np.testing.assert_allclose(tops, rows["share"] + rows["stderr"])


def test_needed_irreps():
    report = make_report()
    assert needed_irreps(report, "non_conservative_stress") == {Irrep(0), Irrep(2)}
    assert needed_irreps(report, "non_conservative_stress (2,+)") == {Irrep(2)}
    assert needed_irreps(report, "dipole") == set()


def test_heatmap():
    report = make_report()
    figure = draw_heatmap(report)
    words = texts(figure)
    for probe in PROBES:
        assert (probe in words) != (probe in NOT_CONVERGED)
        assert (f"{probe} †" in words) == (probe in NOT_CONVERGED)
    for group in {group for group, _ in LAYERS.values()} | {"predictions", "residual"}:
        assert group in words
    assert any("floor 1e-10" in word for word in words)
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert any("not converged" in text for text in legend)
    meshes = [mesh for axes in figure.axes for mesh in axes.findobj(QuadMesh)]
    cells = [m for m in meshes if m.get_array().size % len(PROBES) == 0]
    assert all(isinstance(mesh.norm, LogNorm) for mesh in cells)
    assert [m.get_array().shape for m in cells[:3]] == [(27, 9), (27, 9), (27, 1)]
    energy = report.characters.query("probe == 'energy' and chi_sigma == 1")["share"]
    np.testing.assert_allclose(cells[0].get_array()[-3], energy)


def test_heatmap_hatches_what_is_within_error():
    report = make_report()
    figure = draw_heatmap(report)
    hatched = [
        patch
        for axes in figure.axes[1:4]
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_hatch()
    ]
    table = report.characters
    assert len(hatched) == (table["share"] < 2 * table["stderr"]).sum() > 10


def test_rows_follow_the_network():
    report = make_report()
    report.characters = report.characters.iloc[::-1]
    groups = [s.group for s in read_spectra(report)]
    order = ["GE", "CE", "NE", "EE", "transformer", "GNN", "BBF", "LLF", "predictions"]
    assert list(dict.fromkeys(groups)) == order


@pytest.mark.parametrize("number", [1, 60])
def test_height_follows_the_number_of_probes(number):
    layers = {f"layer_{i}": ("transformer", 0.1) for i in range(number)}
    figure = draw_heatmap(make_report(layers=layers))
    rendered(figure)
    names = [
        text
        for text in figure.findobj(Text)
        if text.get_text().startswith("layer_") and text.get_visible()
    ]
    assert len(names) == number
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


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
    for name in ("equivariance", "characters"):
        getattr(report, name).to_csv(tmp_path / name, index=False)
        setattr(report, name, pd.read_csv(tmp_path / name))
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
    assert f"median {style.number(median)} %" in texts(bottoms[0])
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "noise floor (rounding)" in legend


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
    energy, force, *_ = read_blocks(make_report(structures=5))
    assert (energy.unit, force.unit) == ("eV/atom", "eV/A")
    report = make_report(structures=5)
    report.equivariance[["A", "A_per_atom"]] = 0.0
    exact, *_ = read_blocks(report)
    assert exact.unit == "eV/atom"
    assert np.array_equal(exact.norm, energy.norm)


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
    ("value", "text"),
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
def test_numbers(value, text):
    assert style.number(value) == text
