"""Layer probes: what they are called, and how to read what a layer returns.

A probe is the path of a module below ``backend``; a module that returns node and edge
features, or tokens with the atom first, takes ``_node`` or ``_edge``.
"""

import re
from dataclasses import dataclass

import torch


GROUPS = ("GE", "CE", "NE", "EE", "transformer", "GNN", "BBF", "LLF", "predictions")

# what the paths of a group look like, and nothing else
_PATTERNS = {
    "GE": r"gnn_layers\.\d+\.edge_embedder",
    "CE": r"node_embedders\.\d+",
    "NE": r"edge_embedder|gnn_layers\.\d+\.neighbor_embedder",
    "EE": r"gnn_layers\.\d+\.compress",
    "transformer": r"gnn_layers\.\d+\.trans\.layers\.\d+_(node|edge)",
    "GNN": r"gnn_layers\.\d+_(node|edge)",
    "BBF": r"(node|edge)_backbone\.\d+",
    "LLF": r"(node|edge)_heads\.(?P<target>.+)\.\d+",
}


@dataclass(frozen=True)
class Probe:
    """How to read a layer.

    :param path: name of the probe
    :param module: path of the module below the backend
    :param element: which element of a returned tuple, None if it is no tuple
    :param kind: what the output holds: ``node``, ``edge`` or ``tokens``
    :param part: what to take of it: ``node``, ``edge`` or ``all``
    :param channels: size of the feature axis
    """

    path: str
    module: str
    element: int | None
    kind: str
    part: str
    channels: int

    def select(
        self, output: torch.Tensor, centers: torch.Tensor, slots: torch.Tensor, n: int
    ) -> torch.Tensor:
        """The real samples of an output.

        :param output: ``(n * atoms, d)`` or ``(n * atoms, slots, d)``
        :param centers: atom of each real edge of the batch
        :param slots: its slot among the edges of that atom
        :param n: number of copies
        :return: ``(n, samples, d)``, edges in any order; of tokens, atoms come first
        """
        channels = output.shape[-1]
        n_atoms, n_edges = len(output) // n, len(centers) // n
        if self.kind == "node":
            return output.reshape(n, n_atoms, channels)
        if self.kind == "edge":
            if n_edges == n_atoms * output.shape[1]:  # no slot is empty
                return output.reshape(n, n_edges, channels)
            return output[centers, slots].reshape(n, n_edges, channels)
        # the atom is the first token, so that edges are one further
        nodes = output[:, 0].reshape(n, n_atoms, channels)
        if self.part == "node":
            return nodes
        edges = output[centers, slots + 1].reshape(n, n_edges, channels)
        return edges if self.part == "edge" else torch.cat([nodes, edges], 1)


def match_group(path: str, group: str) -> re.Match[str] | None:
    """Whether a probe is in a group.

    :param path: name of a probe
    :param group: one of :data:`GROUPS`
    :return: a match, of LLF with the name of the ``target``
    """
    pattern = _PATTERNS.get(group)
    return re.fullmatch(pattern, path) if pattern else None


def group_of(path: str) -> str:
    """Group of a probe.

    :param path: name of a probe
    :return: one of :data:`GROUPS`, empty if the probe is in none
    """
    return next((group for group in GROUPS if match_group(path, group)), "")
