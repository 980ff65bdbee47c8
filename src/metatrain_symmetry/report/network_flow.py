"""The flow of data through a PET, as read from the names of its layers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..models.pet.probes import match_group
from .probes import Probe


NODE, EDGE = "node", "edge"
LANES = (NODE, EDGE)
INPUTS = ("GE", "NE")
ORDER = ["GE", "NE", "EE", "attention", "GNN", "BBF", "LLF"]
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
Box = tuple[str, Probe]
"""A title and what is drawn below it."""


@dataclass
class Strip:
    """One GNN layer, or the heads of one target.

    :param title: of the layer or target
    :param boxes: by column and lane
    :param outputs: predictions at the end, with their irreps; heads only
    """

    title: str
    boxes: dict[tuple[str, str], Box] = field(default_factory=dict)
    outputs: list[Box] = field(default_factory=list)

    def lanes(self, column: str) -> list[str]:
        """Lanes that a column fills: ``node``, ``edge``, both or none."""
        return [lane for lane in LANES if (column, lane) in self.boxes]

    @property
    def height(self) -> int:
        """Number of lanes, or of predictions below each other."""
        return max(2 if self.boxes else 1, len(self.outputs))


@dataclass(frozen=True)
class Flow:
    """Everything whose place in the network is known.

    :param strips: GNN layers
    :param heads: targets, with their last-layer features and predictions
    :param others: number of probes without a place
    """

    strips: list[Strip]
    heads: list[Strip]
    others: int

    @property
    def boxes(self) -> list[Box]:
        """All that is drawn."""
        strips = [*self.strips, *self.heads]
        layers = [box for strip in strips for box in strip.boxes.values()]
        return layers + [box for strip in self.heads for box in strip.outputs]


def read_flow(probes: Iterable[Probe]) -> Flow:
    """Find the place of every probe.

    :param probes: all of them
    """
    strips: dict[int, Strip] = {}
    heads: dict[str, Strip] = {}
    others = 0
    for probe in probes:
        head = match_group(probe.name, "LLF")
        if probe.block:
            target = probe.block.target
            title = f"{probe.block.irrep} {probe.block.detail}".strip()
            heads.setdefault(target, Strip(target)).outputs.append((title, probe))
        elif head:
            strip = heads.setdefault(head["target"], Strip(head["target"]))
            _put(strip, probe)
        elif probe.group in ("CE", "transformer", *ORDER):
            number = int([*re.findall(r"\d+", probe.name), "0"][0])
            _put(strips.setdefault(number, Strip(f"GNN layer {number + 1}")), probe)
        else:
            others += 1
    if columns(heads.values()) == ["LLF 1"]:
        for strip in heads.values():
            strip.boxes = {key: ("LLF", probe) for key, (_, probe) in strip.boxes.items()}
    found = _move_backbone([strips[number] for number in sorted(strips)])
    return Flow(found, list(heads.values()), others)


def _put(strip: Strip, probe: Probe) -> None:
    """Put a layer into its column and lane."""
    title = "attention" if probe.group == "transformer" else probe.group
    if probe.group in ("transformer", "LLF"):
        title += f" {int(re.findall('[.]([0-9]+)', probe.name)[-1]) + 1}"
    is_node = probe.group == "CE" or re.search("^node|_node$", probe.name)
    # an input of nodes shares the first column
    column = "GE" if probe.group == "CE" else title
    strip.boxes[column, NODE if is_node else EDGE] = title, probe


def _move_backbone(strips: list[Strip]) -> list[Strip]:
    """Put the only backbone features behind the last layer, whose output they are."""
    layers = [strip for strip in strips if {c for c, _ in strip.boxes} - {"BBF"}]
    owners = [strip for strip in strips if strip.lanes("BBF")]
    if owners == strips[:1] and layers and layers[-1] is not strips[0]:
        for lane in strips[0].lanes("BBF"):
            layers[-1].boxes["BBF", lane] = strips[0].boxes.pop(("BBF", lane))
    return [strip for strip in strips if strip.boxes]


def columns(strips: Iterable[Strip]) -> list[str]:
    """Columns that occur, along the flow."""
    found = {column for strip in strips for column, _ in strip.boxes}
    # attention 2 comes before attention 10
    return sorted(found, key=lambda c: (ORDER.index(c.split()[0]), len(c), c))
