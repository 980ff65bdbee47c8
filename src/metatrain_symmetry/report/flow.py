"""The flow of data through a PET, as read from the names of its probes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .spectrum import Spectrum


NODE, EDGE = "node", "edge"
LANES = (NODE, EDGE)

# column, lane and what stands in the name; an input of nodes shares the first column
_STRIPS = {
    r"node_embedders\.(?P<strip>\d+)": ("GE", NODE, "CE"),
    r"gnn_layers\.(?P<strip>\d+)\.edge_embedder": ("GE", EDGE, "GE"),
    r"edge_embedder": ("NE", EDGE, "NE"),
    r"gnn_layers\.(?P<strip>\d+)\.neighbor_embedder": ("NE", EDGE, "NE"),
    r"gnn_layers\.(?P<strip>\d+)\.compress": ("EE", EDGE, "EE"),
    r"gnn_layers\.(?P<strip>\d+)\.trans\.layers\.(?P<part>\d+)_(?P<lane>node|edge)": (
        "attention", "", "attention"),
    r"gnn_layers\.(?P<strip>\d+)_(?P<lane>node|edge)": ("GNN", "", "GNN"),
    r"(?P<lane>node|edge)_backbone\.(?P<strip>\d+)": ("BBF", "", "BBF"),
}  # fmt: skip
_HEAD = r"(?P<lane>node|edge)_heads\.(?P<target>.+)\.(?P<part>\d+)"
_BLOCK = r"(?P<target>.*\S) (?P<irrep>\(\d+,[+-]\))"

INPUTS = ("GE", "NE")
MEANING = {
    "CE": "centre species",
    "NE": "neighbour species",
    "GE": "geometry embedding",
    "EE": "edge embedding",
    "attention": "transformer block",
    "GNN": "output of the layer",
    "BBF": "backbone features",
    "LLF": "last-layer features",
}


@dataclass
class Strip:
    """One GNN layer, or the heads of one target.

    :param title: of the layer or target
    :param cells: spectrum in each column and lane
    :param titles: of each column and lane
    :param outputs: predictions at the end, with the irreps in their names; heads only
    """

    title: str
    cells: dict[tuple[str, str], Spectrum] = field(default_factory=dict)
    titles: dict[tuple[str, str], str] = field(default_factory=dict)
    outputs: list[tuple[str, Spectrum]] = field(default_factory=list)

    def put(self, column: str, lane: str, title: str, spectrum: Spectrum) -> None:
        """Add a spectrum.

        :param column: where along the flow
        :param lane: ``node`` or ``edge``
        :param title: what is written above it
        :param spectrum: of the probe
        """
        self.cells[column, lane] = spectrum
        self.titles[column, lane] = title

    def lanes(self, column: str) -> list[str]:
        """Lanes that a column fills.

        :param column: where along the flow
        :return: ``node``, ``edge``, both or none
        """
        return [lane for lane in LANES if (column, lane) in self.cells]


@dataclass(frozen=True)
class Flow:
    """Everything whose place in the network is known.

    :param columns: of the GNN layers, along the flow
    :param strips: GNN layers, by their number
    :param head_columns: of the heads
    :param heads: targets, with their last-layer features and predictions
    :param others: probes without a place
    """

    columns: list[str]
    strips: dict[int, Strip]
    head_columns: list[str]
    heads: list[Strip]
    others: list[str]

    @property
    def spectra(self) -> list[Spectrum]:
        """All that is drawn."""
        strips = [*self.strips.values(), *self.heads]
        layers = [s for strip in strips for s in strip.cells.values()]
        return layers + [s for strip in self.heads for _, s in strip.outputs]


def read_flow(spectra: Iterable[Spectrum]) -> Flow:
    """Find the place of every probe.

    :param spectra: of all probes
    :return: places; what is in none is listed
    """
    strips: dict[int, Strip] = {}
    heads: dict[str, Strip] = {}
    others = []
    for spectrum in spectra:
        if spectrum.kind == "output":
            _put_output(heads, spectrum)
        elif not (_put_layer(strips, spectrum) or _put_head(heads, spectrum)):
            others.append(spectrum.probe)
    if all(column == "LLF 0" for head in heads.values() for column, _ in head.cells):
        for head in heads.values():
            head.titles = dict.fromkeys(head.titles, "LLF")
    strips = _move_backbone({number: strips[number] for number in sorted(strips)})
    return Flow(
        _ordered(strips.values()), strips, _ordered(heads.values()),
        [*heads.values()], others,
    )  # fmt: skip


def _put_layer(strips: dict[int, Strip], spectrum: Spectrum) -> bool:
    """Put a layer of the backbone into its strip."""
    for pattern, (column, lane, title) in _STRIPS.items():
        found = re.fullmatch(pattern, spectrum.probe)
        if found:
            parts = found.groupdict()
            number = int(parts.get("strip") or 0)
            if "part" in parts:
                column = title = f"{column} {int(parts['part']) + 1}"
            strip = strips.setdefault(number, Strip(f"GNN layer {number + 1}"))
            strip.put(column, lane or parts["lane"], title, spectrum)
            return True
    return False


def _put_head(heads: dict[str, Strip], spectrum: Spectrum) -> bool:
    """Put last-layer features beside their target."""
    found = re.fullmatch(_HEAD, spectrum.probe)
    if found:
        number = int(found["part"])
        title = f"LLF {number + 1}"
        strip = heads.setdefault(found["target"], Strip(found["target"]))
        strip.put(f"LLF {number}", found["lane"], title, spectrum)
    return bool(found)


def _put_output(heads: dict[str, Strip], spectrum: Spectrum) -> None:
    """Put a prediction behind the heads of its target."""
    found = re.fullmatch(_BLOCK, spectrum.probe)
    target, irrep = found.groups() if found else (spectrum.probe, "prediction")
    heads.setdefault(target, Strip(target)).outputs.append((irrep, spectrum))


def _move_backbone(strips: dict[int, Strip]) -> dict[int, Strip]:
    """Put the only backbone features behind the last layer, whose output they are."""
    layers = [n for n, s in strips.items() if {c for c, _ in s.cells} - {"BBF"}]
    owners = [n for n, s in strips.items() if s.lanes("BBF")]
    if owners == [0] and layers and layers[-1] != 0:
        first, last = strips[0], strips[layers[-1]]
        for lane in first.lanes("BBF"):
            last.put("BBF", lane, first.titles["BBF", lane], first.cells.pop(("BBF", lane)))
    return {n: strip for n, strip in strips.items() if strip.cells}


def _ordered(strips: Iterable[Strip]) -> list[str]:
    """Columns that occur, along the flow."""
    order = ["GE", "NE", "EE", "attention", "GNN", "BBF", "LLF"]
    found = {column for strip in strips for column, _ in strip.cells}

    def key(column: str) -> tuple[int, int]:
        name, _, number = column.partition(" ")
        return order.index(name), int(number or 0)

    return sorted(found, key=key)
