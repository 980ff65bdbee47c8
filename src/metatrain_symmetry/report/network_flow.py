"""The flow of data through a PET, as read from the names of its layers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .probes import Probe


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
    :param boxes: title and probe in each column and lane
    :param outputs: predictions at the end, with their irreps; heads only
    """

    title: str
    boxes: dict[tuple[str, str], tuple[str, Probe]] = field(default_factory=dict)
    outputs: list[tuple[str, Probe]] = field(default_factory=list)

    def lanes(self, column: str) -> list[str]:
        """Lanes that a column fills.

        :param column: where along the flow
        :return: ``node``, ``edge``, both or none
        """
        return [lane for lane in LANES if (column, lane) in self.boxes]


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
    def boxes(self) -> list[tuple[str, Probe]]:
        """All that is drawn, with titles."""
        strips = [*self.strips.values(), *self.heads]
        layers = [box for strip in strips for box in strip.boxes.values()]
        return layers + [box for strip in self.heads for box in strip.outputs]


def read_flow(probes: Iterable[Probe]) -> Flow:
    """Find the place of every probe.

    :param probes: all of them
    :return: places; what is in none is listed
    """
    strips: dict[int, Strip] = {}
    heads: dict[str, Strip] = {}
    others = []
    for probe in probes:
        if probe.is_output:
            strip = heads.setdefault(probe.target, Strip(probe.target))
            strip.outputs.append((probe.irrep, probe))
        elif not (_put_layer(strips, probe) or _put_head(heads, probe)):
            others.append(probe.name)
    if all(column == "LLF 0" for head in heads.values() for column, _ in head.boxes):
        for head in heads.values():
            head.boxes = {key: ("LLF", probe) for key, (_, probe) in head.boxes.items()}
    strips = _move_backbone({number: strips[number] for number in sorted(strips)})
    return Flow(
        _ordered(strips.values()), strips, _ordered(heads.values()),
        [*heads.values()], others,
    )  # fmt: skip


def _put_layer(strips: dict[int, Strip], probe: Probe) -> bool:
    """Put a layer of the backbone into its strip."""
    for pattern, (column, lane, title) in _STRIPS.items():
        found = re.fullmatch(pattern, probe.name)
        if found:
            parts = found.groupdict()
            number = int(parts.get("strip") or 0)
            if "part" in parts:
                column = title = f"{column} {int(parts['part']) + 1}"
            strip = strips.setdefault(number, Strip(f"GNN layer {number + 1}"))
            strip.boxes[column, lane or parts["lane"]] = title, probe
            return True
    return False


def _put_head(heads: dict[str, Strip], probe: Probe) -> bool:
    """Put last-layer features beside their target."""
    found = re.fullmatch(_HEAD, probe.name)
    if found:
        number = int(found["part"])
        strip = heads.setdefault(found["target"], Strip(found["target"]))
        strip.boxes[f"LLF {number}", found["lane"]] = f"LLF {number + 1}", probe
    return bool(found)


def _move_backbone(strips: dict[int, Strip]) -> dict[int, Strip]:
    """Put the only backbone features behind the last layer, whose output they are."""
    layers = [n for n, s in strips.items() if {c for c, _ in s.boxes} - {"BBF"}]
    owners = [n for n, s in strips.items() if s.lanes("BBF")]
    if owners == [0] and layers and layers[-1] != 0:
        for lane in strips[0].lanes("BBF"):
            strips[layers[-1]].boxes["BBF", lane] = strips[0].boxes.pop(("BBF", lane))
    return {n: strip for n, strip in strips.items() if strip.boxes}


def _ordered(strips: Iterable[Strip]) -> list[str]:
    """Columns that occur, along the flow."""
    order = ["GE", "NE", "EE", "attention", "GNN", "BBF", "LLF"]
    found = {column for strip in strips for column, _ in strip.boxes}

    def key(column: str) -> tuple[int, int]:
        name, _, number = column.partition(" ")
        return order.index(name), int(number or 0)

    return sorted(found, key=key)
