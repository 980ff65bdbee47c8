"""The map of the network: every probe of a PET has its place, whatever was probed."""

from itertools import combinations

import numpy as np
import pytest
from common import energy_info
from common import pet as small_pet
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from synthetic import OUTPUTS, TARGETS, make_c3v_report, make_report

from metatrain_symmetry.models.pet.catalogue import Catalogue
from metatrain_symmetry.models.pet.probes import GROUPS, group_of
from metatrain_symmetry.report.network import draw_network
from metatrain_symmetry.report.network_flow import columns, read_flow
from metatrain_symmetry.report.probes import Probe, report_spectra


def pet(layers, attention, readouts=1, species=False):
    """Probes of a PET, named as its catalogue does."""
    probes = {"node_embedders.0": ("CE", 0.0), "edge_embedder": ("NE", 0.0)}
    probes = probes if species else {}
    for i in range(layers):
        start = f"gnn_layers.{i}"
        if species and i:
            probes[f"{start}.neighbor_embedder"] = ("NE", 0.0)
        probes[f"{start}.edge_embedder"] = ("GE", 0.0)
        probes[f"{start}.compress"] = ("EE", 0.0)
        for part in ("node", "edge"):
            for j in range(attention):
                probes[f"{start}.trans.layers.{j}_{part}"] = ("transformer", 0.02)
            probes[f"{start}_{part}"] = ("GNN", 0.03)
    for i in range(readouts):
        for part in ("node", "edge"):
            probes[f"{part}_backbone.{i}"] = ("BBF", 0.004)
            for target in TARGETS:
                probes[f"{part}_heads.{target}.{i}"] = ("LLF", 0.005)
    return probes


def report_of(probes, lambda_max=4):
    return make_report(structures=2, layers=probes, lambda_max=lambda_max)


def flow_of(report):
    return read_flow(report_spectra(report).probes)


def heatmaps(figure):
    return [m for m in figure.axes[0].collections if isinstance(m, QuadMesh)]


def words(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text().strip()]


SIZES = [(2, 1), (2, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize(("layers", "attention"), SIZES)
def test_every_probe_has_its_place(layers, attention):
    probes = pet(layers, attention, species=True)
    report = report_of(probes)
    figure = draw_network(report)
    # a row for each parity
    assert len(heatmaps(figure)) == 2 * (len(probes) + len(OUTPUTS))
    assert all(m.get_array().shape == (1, 5) for m in heatmaps(figure))
    found = words(figure)
    for i in range(layers):
        assert f"GNN layer {i + 1}" in found
    assert found.count("nodes") == found.count("edges") == layers
    assert found.count(f"attention {attention}") == layers
    for title, number in (("CE", 1), ("GE", layers), ("NE", layers), ("EE", layers)):
        assert found.count(title) == number
    assert {*TARGETS, "BBF", "(0,+)", "(2,+) †", "messages"} <= set(found)
    assert "without a place" not in " ".join(found)


@pytest.mark.parametrize(("layers", "attention"), SIZES)
def test_nothing_overlaps(layers, attention):
    figure = draw_network(report_of(pet(layers, attention, species=True), 8))
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    boxes = [
        text.get_window_extent()
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
    ]
    boxes += [m.get_window_extent() for m in heatmaps(figure)]
    boxes = [box for box in boxes if box.width > 1]
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
    assert all(box.y0 >= 0 and box.y1 <= height for box in boxes)
    for a, b in combinations(boxes, 2):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1


def test_a_block_shows_its_numbers():
    report = report_of(pet(2, 1))
    table = report.characters
    # drawn strip by strip and column by column: the last box is the last prediction
    probe = flow_of(report).heads[-1].outputs[-1][1].name
    found = [mesh.get_array()[0] for mesh in heatmaps(draw_network(report))[-2:]]
    for row, sigma in enumerate((1, -1)):
        own = table[(table.probe == probe) & (table.chi_sigma == sigma)]
        own = own.sort_values("chi_lambda")
        below = own.share <= 2 * own.stderr
        shown = np.where(below, own.share + 2 * own.stderr, own.share)
        np.testing.assert_allclose(found[row], np.maximum(shown, 1e-10))


def test_nodes_lie_above_edges_along_the_flow():
    figure = draw_network(report_of(pet(2, 1)))
    corners = [m.get_coordinates()[0, 0] for m in heatmaps(figure)[::2]]
    edges = ("GE", "EE")
    strip = dict(zip([*edges, "T node", "T edge", "GNN node", "GNN edge"], corners,
                     strict=False))  # fmt: skip
    assert strip["T node"][1] < strip["T edge"][1] == strip["GE"][1] == strip["GNN edge"][1]
    places = [strip[name][0] for name in ("GE", "EE", "T edge", "GNN edge")]
    assert places == sorted(set(places))
    assert strip["T node"][0] == strip["T edge"][0]


def test_readouts_of_every_layer():
    report = report_of(pet(2, 1, readouts=2))
    flow = flow_of(report)
    assert [strip.lanes("BBF") for strip in flow.strips] == [["node", "edge"]] * 2
    found = words(draw_network(report))
    assert {"LLF 1", "LLF 2", "+"} <= set(found)
    # one readout only: behind the last layer
    (first, last) = flow_of(report_of(pet(2, 1))).strips
    assert (first.lanes("BBF"), last.lanes("BBF")) == ([], ["node", "edge"])


SUBSETS = {
    "outputs only": [],
    "edges of one layer": ["gnn_layers.1.compress", "gnn_layers.1.trans.layers.0_edge"],
    "backbone only": ["node_backbone.0"],
    "heads only": ["edge_heads.energy.0"],
    "species only": ["node_embedders.0"],
}


@pytest.mark.parametrize("names", SUBSETS.values(), ids=SUBSETS)
@pytest.mark.parametrize("outputs", [True, False])
def test_what_is_there_is_drawn(names, outputs):
    every = pet(2, 1, species=True)
    report = report_of({name: every[name] for name in names})
    if not outputs:
        report.characters = report.characters.query("kind == 'layer'")
    figure = draw_network(report)
    if not names:  # predictions alone are no network
        assert figure is None
        return
    figure.draw_without_rendering()
    assert len(heatmaps(figure)) == 2 * (len(names) + len(OUTPUTS) * outputs)


def test_layers_of_another_network():
    layers = {"encoder.0": ("other", 0.1), "encoder.1": ("other", 0.1)}
    figure = draw_network(report_of(layers))
    assert len(heatmaps(figure)) == 2 * len(OUTPUTS)
    assert "without a place in this map: 2 probes" in " ".join(words(figure))


@pytest.mark.parametrize("featurizer", ["feedforward", "residual"])
def test_a_real_pet(featurizer):
    """Whatever the groups stand for has a place: names are those of metatrain's PET."""
    model = small_pet(energy_info(), num_gnn_layers=2, featurizer_type=featurizer)
    names = Catalogue.of(model.backend, ["energy"]).expand(GROUPS)
    flow = read_flow(Probe(name, group_of(name), None, True, None) for name in names)
    assert flow.others == 0
    assert len(flow.boxes) == len(names) > 18
    assert columns(flow.strips) == ["GE", "NE", "EE", "attention 1", "GNN", "BBF"]
    assert len(columns(flow.heads)) == (1 if featurizer == "feedforward" else 2)


def test_another_group():
    figure = draw_network(make_c3v_report())
    # one row of three irreps in each box, one of which holds a node without a place
    assert {m.get_array().shape for m in heatmaps(figure)} == {(1, 3)}
    assert {"A1", "A2", "E", "irreps", "irrep"} <= set(words(figure))
    figure.draw_without_rendering()
