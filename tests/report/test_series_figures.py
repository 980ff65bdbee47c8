"""Figures, thumbnails and the page of a training show its numbers."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.image import imread
from matplotlib.text import Text

from metatrain_symmetry.measure.series import COLUMNS, Series
from metatrain_symmetry.report import style, text
from metatrain_symmetry.report.epochs import draw_epochs, draw_series
from metatrain_symmetry.report.errors import series_blocks
from metatrain_symmetry.report.painter import BELOW
from metatrain_symmetry.report.probes import series_spectra
from metatrain_symmetry.report.series_page import write_series_page
from metatrain_symmetry.report.shares import COLORMAP, FLOOR
from metatrain_symmetry.report.thumbnail import CELL, LEFT, TOP, thumbnails
from metatrain_symmetry.report.timeline import Timeline


sys.path.insert(0, str(Path(__file__).parent))
from synthetic_series import EPOCHS, EVENT, LAYERS, OUTPUTS, TARGETS, make_series
from test_figures_page import Reader, browse, needs_browser


FORCE = "force (1,+)"
EVIL = "<b>$x_{</b>\"'</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def series():
    """Two outputs, the force without true values; one transition; three layers."""
    return make_series()


def thumbnail(series, probe):
    return thumbnails(series)[probe]


def probe_of(series, name):
    return next(p for p in series_spectra(series).probes if p.name == name)


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def cells(axes):
    (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
    return mesh


def shares(series, probe, channel):
    table = series.characters
    rows = table[(table["probe"] == probe) & (table["channel"] == channel)]
    return rows.sort_values("epoch")["share"].to_numpy()


def lines(axes):
    return {
        line.get_label(): line
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


@pytest.mark.parametrize(
    ("epochs", "logarithmic"),
    [(EPOCHS, True), (range(41), False), ([0, 10, 20, 35], False), ([0, 100], False)],
)
def test_time_axis(epochs, logarithmic):
    timeline = Timeline.of(list(epochs))
    assert timeline.logarithmic == logarithmic
    places, edges = timeline.place(timeline.epochs), timeline.edges
    assert (edges[:-1] < places).all()
    assert (places < edges[1:]).all()
    np.testing.assert_allclose(edges[1:-1], (places[1:] + places[:-1]) / 2)
    ticks = timeline.ticks(0.013)
    assert ticks[0] == 0
    assert ticks[-1] == epochs[-1]
    assert set(ticks) <= set(epochs)
    assert len(timeline.ticks(0.3)) <= 3


def test_one_epoch_has_a_cell():
    timeline = Timeline.of([7])
    np.testing.assert_array_equal(timeline.edges, [6.5, 7.5])
    assert timeline.ticks(0.01) == [7]


def test_probes_follow_the_network(series):
    found = series_spectra(series)
    assert [p.name for p in found.probes] == [*LAYERS, *OUTPUTS]
    force = found.probes[-1]
    assert found.channels[found.needed(force)] == "(1,+)"
    assert found.needed(found.probes[0]) is None
    assert [found.channels[i] for i in (0, 9, -1)] == ["(0,+)", "(0,-)", "residual"]
    np.testing.assert_array_equal(force.cells.share[1], shares(series, FORCE, "(1,+)"))
    np.testing.assert_allclose(force.cells.strength, 4 * force.cells.share)
    energy, without = series_blocks(series)
    assert (energy.label, energy.unit) == ("energy (0,+)", "eV")
    assert energy.has_errors
    assert not without.has_errors


def test_heatmap_over_epochs(series):
    figure = draw_epochs(series, FORCE)
    top, bottom = figure.axes[:2]
    mesh = cells(top)
    assert mesh.get_array().shape == (19, len(EPOCHS))
    for y, name in ((0, "(0,+)"), (1, "(1,+)"), (9, "(0,-)"), (18, "residual")):
        force = probe_of(series, FORCE).cells
        expected = np.maximum(force.shown[y], FLOOR)
        np.testing.assert_array_equal(mesh.get_array()[y], expected)
        # the same as the shares but for those of which only a bound is known
        same = expected == np.maximum(shares(series, FORCE, name), FLOOR)
        assert np.array_equal(~same, force.below[y] & (expected > FLOOR))
    assert (mesh.norm.vmin, mesh.norm.vmax) == (FLOOR, 1.0)
    # cells lie where their epochs are, on both axes
    timeline = Timeline.of(EPOCHS)
    np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], timeline.edges)
    assert top.get_xlim() == bottom.get_xlim() == (timeline.edges[0], timeline.edges[-1])
    labels = [t.get_text() for t in bottom.get_xticklabels()]
    assert labels == [str(epoch) for epoch in EPOCHS]
    rows = [t.get_text() for t in top.get_yticklabels()]
    assert rows == [*map(str, range(9)), *map(str, range(9)), "> 8"]
    (bold,) = [t for t in top.get_yticklabels() if t.get_fontweight() == "bold"]
    assert bold.get_position()[1] == 1
    # as many hatched cells as have only a bound
    hatched = [c for c in top.collections if c.get_gid() == BELOW]
    table = series.characters.query("probe == @FORCE")
    number = sum(len(c.get_paths()) for c in hatched)
    assert number == (table["share"] < 2 * table["stderr"]).sum() == 9


def test_errors_below(series):
    bottom = draw_epochs(series, "energy (0,+)").axes[1]
    assert bottom.get_yscale() == "log"
    assert bottom.get_ylabel() == "error (eV)"
    found, (energy, _) = lines(bottom), series_blocks(series)
    places = Timeline.of(EPOCHS).place(EPOCHS)
    for label, values in (("RMSE", energy["error"]), ("equivariance error A", energy["A"])):
        np.testing.assert_allclose(found[label].get_xdata(), places)
        np.testing.assert_allclose(found[label].get_ydata(), values)
    band = bottom.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((energy["A"] + energy["A_stderr"]).max())
    assert band[:, 1].min() == pytest.approx((energy["A"] - energy["A_stderr"]).min())


def test_without_true_values(series):
    figure = draw_epochs(series, FORCE)
    assert set(lines(figure.axes[1])) == {"equivariance error A"}
    assert figure.axes[1].get_ylabel() == "error (eV/Å)"
    assert "RMSE unknown: no true values" in texts(figure)


def test_a_transition_is_marked(series):
    top, bottom = draw_epochs(series, FORCE).axes[:2]
    timeline = Timeline.of(EPOCHS)
    span, mark = top.lines[-2:]
    assert mark.get_marker() == "^"
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (timeline.place(EVENT), 1)
    np.testing.assert_allclose(span.get_xdata(), timeline.place([16, EVENT]))
    assert any(
        list(line.get_xdata()) == [timeline.place(EVENT)] * 2 for line in bottom.lines
    )
    other = draw_epochs(series, "energy (0,+)")
    assert not [line for line in other.axes[0].lines if line.get_marker() in "^v"]
    assert "sudden transition" not in texts(other)


def test_layers_show_all_outputs_below():
    figure = draw_epochs(make_series(truth=TARGETS), "gnn_layers.0_node")
    found = lines(figure.axes[1])
    assert set(found) == {*OUTPUTS, "A = RMSE"}
    assert figure.axes[1].get_ylabel() == "A / RMSE"
    assert draw_epochs(make_series(), "nobody") is None


def test_several_probes_share_one_time_axis():
    names = ["gnn_layers.0_node", "nobody", FORCE]
    figure = draw_epochs(make_series(truth=TARGETS), *names, title="layers")
    layer, output, errors, _ = figure.axes
    assert [layer.get_title("left"), output.get_title("left")] == [names[0], FORCE]
    assert layer.get_xlim() == output.get_xlim() == errors.get_xlim()
    assert "layers along the training" in {text.get_text() for text in figure.texts}


def test_files(tmp_path):
    layers = {f"layer.{i}": "transformer" for i in range(8)} | LAYERS
    series = make_series(epochs=[0, 1, 32], layers=layers, lambda_max=2)
    paths = draw_series(series, tmp_path)
    names = ["energy_0_+", "force_1_+", "EE", "transformer", "transformer-2", "GNN", "LLF"]
    assert list(paths) == [f"epochs-{name}" for name in names]
    for path in paths.values():
        assert path.parent == tmp_path / "figures"
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert imread(path.with_suffix(".png"))[..., :3].std() > 0.05
    assert len(list((tmp_path / "figures").iterdir())) == 14


def odd_zero_shares(series):
    series.characters.loc[series.characters["channel"] == "(3,+)", "share"] = 0.0


def odd_no_residual(series):
    series.characters = series.characters.query("channel != 'residual'")


def odd_gaps(series):
    series.characters = series.characters.query("epoch % 4 == 0 or kind == 'output'")


def odd_no_outputs(series):
    series.equivariance = series.equivariance.iloc[:0]


def odd_zero_errors(series):
    series.equivariance[["A", "A_stderr", "rmse"]] = 0.0


def odd_facts(series):
    series.summary = {}
    series.measurements["note"] = None
    series.measurements["n_structures"] = np.nan


@pytest.mark.parametrize(
    ("epochs", "change"),
    [
        ([0], lambda series: None),
        (range(41), odd_gaps),
        *((EPOCHS[:4], f) for f in (odd_zero_shares, odd_no_residual, odd_no_outputs,
                                   odd_zero_errors, odd_facts)),
    ],
)  # fmt: skip
def test_odd_series(epochs, change, tmp_path, recwarn):
    series = make_series(epochs=list(epochs), truth=TARGETS)
    change(series)
    for probe in ("energy (0,+)", "gnn_layers.0.compress"):
        figure = draw_epochs(series, probe)
        figure.draw_without_rendering()
        mesh = cells(figure.axes[0])
        rows = 18 if change is odd_no_residual else 19
        assert mesh.get_array().shape == (rows, len(epochs))
        assert ("not measured" in texts(figure)) == bool(mesh.get_array().mask.any())
        assert thumbnail(series, probe).std() > 10
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    assert "nan" not in Reader(page).text.lower()
    assert not [w for w in recwarn if "metatrain_symmetry" in str(w.filename)]


def test_nothing_measured(tmp_path):
    empty = Series(**{name: pd.DataFrame(columns=c) for name, c in COLUMNS.items()})
    assert draw_series(empty, tmp_path) == {}
    page = write_series_page(empty, tmp_path / "index.html").read_text("utf-8")
    assert "No sudden transition" in page


def test_names_are_only_names(tmp_path):
    series = make_series(
        epochs=[0, 1, 32], layers={EVIL: EVIL}, lambda_max=2, model=EVIL, created=EVIL
    )
    series.equivariance["target"] = EVIL
    series.equivariance["unit"] = EVIL
    rows = series.characters["probe"] == "energy (0,+)"
    series.characters.loc[rows, "probe"] = f"{EVIL} (0,+)"
    series.events[["probe", "text"]] = f"{EVIL} (0,+)", EVIL
    series.measurements["note"] = EVIL
    paths = draw_series(series, tmp_path)
    assert all(re.fullmatch(r"epochs-[\w.+-]+", name) for name in paths)
    assert thumbnail(series, EVIL).std() > 10
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "<b>$x" not in page
    words = Reader(page).words
    assert sum(EVIL in word for word in words) >= 5


def middles(picture, cells):
    """Colours of the middles of all cells, ``(channels, epochs, 3)``."""
    size, half = len(cells.share) // 2, CELL // 2 - 1
    rows = [TOP + (2 * size - i) * CELL + (2 - i // size) * 5 for i in range(2 * size + 1)]
    x = LEFT + half + CELL * np.arange(cells.share.shape[1])
    return np.array([picture[row + half, x] for row in rows])


def test_thumbnail_shows_shares(series):
    picture = thumbnail(series, FORCE)
    assert picture.dtype == np.uint8
    assert CELL - 1 >= 12
    force = probe_of(series, FORCE).cells
    found = middles(picture, force)
    level = 1 - np.log10(np.clip(force.shown, FLOOR, 1)) / np.log10(FLOOR)
    expected = 255 * np.asarray(COLORMAP(level))[..., :3]
    difference = np.abs(found - expected).max(axis=2)
    # a sign stands in the middle of the others
    assert difference[~force.below].max() < 3
    assert (difference[force.below] > 0).any()
    # a thin white line between cells, and letters beside them
    assert (picture[TOP : TOP + CELL - 1, LEFT + CELL - 1] == 255).all()
    assert picture[:, : LEFT - 5].min() < 100
    assert picture[-14:].min() < 100


def test_thumbnail_grows_with_epochs():
    widths = [thumbnail(make_series(EPOCHS[:n]), FORCE).shape[1] for n in (1, 2, 9)]
    assert widths == [widths[0], widths[0] + CELL, widths[0] + 8 * CELL]


def test_thumbnail_of_what_was_not_measured(series):
    rows = ~((series.characters["epoch"] == 8) & (series.characters["probe"] == FORCE))
    part = Series(
        series.equivariance, series.characters[rows], series.measurements, series.events
    )
    found = middles(thumbnail(part, FORCE), probe_of(part, FORCE).cells)
    assert (found[:, EPOCHS.index(8)] == int(style.MISSING[1:3], 16)).all()


@pytest.fixture(scope="module")
def page(series, tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    (folder / "characters.csv").write_text("")
    path = write_series_page(series, folder / "index.html")
    assert {p.name for p in folder.iterdir()} == {"characters.csv", "index.html"}
    return path.read_text(encoding="utf-8")


def test_page_in_order(page, series):
    reader = Reader(page)
    places = [
        reader.text.index(text)
        for text in ("pet-mad-s", "0.0200 ± 0.0030 eV equivariance error A",
                     "What happened",
                     series.events["text"].iloc[0], "layers left out, to save time",
                     "Irreps and errors", "The last measurement", "RMSE of all",
                     "What it cost", "icosahedral", "settings and versions")
    ]  # fmt: skip
    assert places == sorted(places)
    assert "13.3 % of the RMSE of the same 32 structures" in reader.text
    assert "It was 0.500 ± 0.075 eV before training" in reader.text
    assert reader.count("select") == len(TARGETS)
    assert reader.count("option") == len(TARGETS) * (len(LAYERS) + len(OUTPUTS))
    assert reader.count("a", href="./characters.csv") == 1
    # four seconds of 800 after the first measurement, forty in the end
    costs = reader.text[reader.text.index("What it cost") :]
    assert "0.5" in costs
    assert " 5 " in costs


def test_bounds_and_missing_error_bars(tmp_path):
    """What is known of a number is shown with it, on the page and in pictures."""
    series = make_series(EPOCHS[:3], truth=TARGETS)
    rows = series.characters
    rows.loc[rows.channel == "(1,-)", "stderr"] = np.nan
    rows.loc[rows.channel == "(2,-)", ["share", "stderr"]] = -1e-3, 1e-3
    table = series.equivariance
    table.loc[table.target == "energy", "A_stderr"] = np.nan
    table.loc[table.target == "force", ["A", "A_stderr"]] = 0.1, 0.06
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    words = Reader(page).text
    assert "no error bar eV equivariance error A after epoch 2" in words
    assert "below 0.22 eV/Å equivariance error A after epoch 2" in words
    probe = numbers(page)["probes"][1]
    bare, bound = (probe["names"].index(name) for name in ("(1,-)", "(2,-)"))
    assert probe["signs"][bare] == ["•"] * 3
    assert all(", no error bar\nB = " in tip for tip in probe["tips"][bare])
    assert probe["signs"][bound] == ["<"] * 3
    np.testing.assert_allclose(probe["z"][bound], np.log10(2e-3), atol=1e-3)
    traces = numbers(page)["plots"][1]["data"]
    (A,) = [trace for trace in traces if trace.get("name", "").startswith("A ")]
    assert A["marker"]["symbol"] == ["triangle-down-open"] * 3
    np.testing.assert_allclose(A["y"], 0.22)
    (bare,) = [t for t in numbers(page)["plots"][0]["data"] if "A (no" in t.get("name", "")]
    assert bare["name"] == "A (no error bar)"
    figure = draw_epochs(series, FORCE)
    assert "no error bar" in texts(figure)
    assert BELOW in texts(figure)
    assert thumbnail(series, FORCE).std() > 10


@pytest.mark.parametrize(("outputs", "layers"), [(1, 0), (2, 48)])
def test_few_and_many_probes(tmp_path, outputs, layers):
    series = make_series(layers={f"layer.{i}": "transformer" for i in range(layers)})
    if outputs == 1:
        series.characters = series.characters.query("probe == 'energy (0,+)'")
        series.equivariance = series.equivariance.query("target == 'energy'")
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    assert Reader(page).count("option") == outputs * (outputs + layers)
    assert len(numbers(page)["plots"]) == outputs


def test_transitions_of_outputs_come_first(tmp_path):
    series = make_series()
    layers = [
        [EVENT, 16, f"layer.{i}", "(1,+)", 19.0, f"layer.{i}: rose"] for i in range(9)
    ]
    table = pd.DataFrame(layers, columns=COLUMNS["events"])
    series.events = pd.concat([table, series.events], ignore_index=True)
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    reader = Reader(page)
    assert reader.text.index("force (1,+): the share") < reader.text.index(
        "also in 9 layers"
    )
    assert reader.count("details") == 1


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in Reader(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert attributes.get("href", "./").startswith("./")
    assert "default-src 'none'" in page
    # once, for both plots
    assert page.count("plotly.js v") == 1


def numbers(page):
    text = re.search(r'id="numbers">(.*?)</script>', page, re.S)[1]
    return json.loads(text)


def test_numbers_of_every_probe(page, series):
    found = numbers(page)
    assert found["epochs"] == EPOCHS
    for name, probe in zip([*OUTPUTS, *LAYERS], found["probes"], strict=True):
        cells = probe_of(series, name).cells
        z = np.log10(np.clip(cells.shown, FLOOR, 1))
        np.testing.assert_allclose(probe["z"], z, atol=1e-3)
        assert probe["tips"] == cells.tips.tolist()
        assert probe["signs"] == cells.signs.tolist()
        assert probe["names"][1] == "(1,+)"
    force = found["probes"][1]
    assert force["marks"]["symbol"] == ["triangle-up"]
    assert force["marks"]["y"] == [1]
    assert force["rows"][1] == "<b>▸ (1,+)</b>"
    assert (force["rows"][-1], force["names"][-1]) == ("&gt; 8", "&gt; 8")


@needs_browser
def test_the_page_lives(page, series, tmp_path):
    """Both plots are drawn; choosing a layer changes cells, labels and marks."""
    before = """<head><script>window.trouble = [];
    onerror = (text) => { trouble.push(text); };
    addEventListener("securitypolicyviolation", (e) => trouble.push(e.violatedDirective));
    </script>"""
    clicks = """<script>
    const say = (name, value) => { document.body.dataset[name] = JSON.stringify(value); };
    const choice = document.querySelector("[data-plot=plot-1]");
    const plot = document.getElementById("plot-1");
    const state = () => [plot.data[0].z, plot.data[0].hovertext[1][7],
      plot.data[2].x.length, plot.layout.shapes.length, plot.layout.yaxis2.ticktext[1]];
    say("before", state());
    choice.value = "2";
    choice.dispatchEvent(new Event("change"));
    say("after", state());
    say("drawn", document.querySelectorAll(".plotly-graph-div .heatmaplayer image").length);
    say("loaded", performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:") && !name.startsWith("blob:")));
    say("trouble", window.trouble);
    </script></body>"""
    clicked = page.replace("<head>", before, 1).replace("</body>\n</html>", clicks)
    (tmp_path / "clicked.html").write_text(clicked, encoding="utf-8")
    dom = browse((tmp_path / "clicked.html").as_uri(), tmp_path, "--dump-dom")
    body = next(a for t, a in Reader(dom).tags if t == "body" and "data-ready" in a)
    assert json.loads(body["data-trouble"]) == []
    assert json.loads(body["data-loaded"]) == []
    assert json.loads(body["data-drawn"]) >= 2
    for key, name, rest in (
        ("data-before", FORCE, (1, 3, "<b>▸ (1,+)</b>")),
        ("data-after", "gnn_layers.0.compress", (0, 2, "(1,+)")),
    ):
        z, note, *others = json.loads(body[key])
        values = shares(series, name, "(1,+)")
        np.testing.assert_allclose(z[1], np.log10(values), atol=3e-3)
        assert np.min(z) == np.log10(FLOOR)
        share = f"share {text.with_error(values[7], 0.1 * values[7])}"
        strength = f"B = {text.number(4 * values[7])}"
        assert note == f"<b>(1,+)</b>, epoch 64<br>{share}<br>{strength}"
        assert tuple(others) == rest


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_the_screen(page, tmp_path, width):
    report = """<script>
    const rest = document.documentElement;
    parent.postMessage(rest.scrollWidth + "/" + rest.clientWidth, "*");
    </script></body>"""
    text = page.replace("</body>\n</html>", report)
    (tmp_path / "inner.html").write_text(text, encoding="utf-8")
    (tmp_path / "outer.html").write_text(
        "<body><script>onmessage = (e) => { document.body.dataset.width = e.data; };"
        f"</script><iframe src='inner.html' style='width:{width}px;border:0'></iframe>"
    )
    dom = browse((tmp_path / "outer.html").as_uri(), tmp_path, "--dump-dom")
    body = next(a for t, a in Reader(dom).tags if t == "body")
    assert body["data-width"] == f"{width}/{width}"


def test_another_group(tmp_path):
    """Channels without a degree, in every picture of a training."""
    series = make_series(EPOCHS[:3], group="C3v", channels=["A1", "A2", "E"])
    names = {"(0,+)": "A1", "(1,+)": "E", "(0,-)": "A2"}
    table = series.characters.drop(columns=["chi_lambda", "chi_sigma"])
    table = table[table["channel"].isin(names)]
    table["channel"] = table["channel"].map(names)
    series.characters = table.assign(chi_irrep=table["channel"])
    figure = draw_epochs(series, FORCE)
    figure.draw_without_rendering()
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["A1", "A2", "E"]
    assert (
        thumbnail(series, FORCE).shape[0]
        < thumbnail(make_series(EPOCHS[:3]), FORCE).shape[0]
    )
    page = write_series_page(series, tmp_path / "index.html").read_text("utf-8")
    assert numbers(page)["probes"][0]["rows"] == ["A1", "A2", "E"]
