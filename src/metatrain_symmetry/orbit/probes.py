"""Layer probes: what they are called, and how to read them off a PET backend.

A probe is the path of a module below ``backend``; a module that returns node and edge
features, or tokens with the atom first, takes ``_node`` or ``_edge``. Whether an output
holds atoms, edges or tokens is found out once, on a made-up batch of three atoms with
two edges each, where 1, 2 and 3 slots cannot be mistaken for each other.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

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
_SLOTS = {1: "node", 2: "edge", 3: "tokens"}


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

    @property
    def per_edge(self) -> bool:
        """Whether there are samples for the edges."""
        return self.kind == "edge" or (self.kind == "tokens" and self.part != "node")

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


def group_of(path: str) -> str:
    """Group of a probe.

    :param path: name of a probe
    :return: one of :data:`GROUPS`, empty if the probe is in none
    """
    for group, pattern in _PATTERNS.items():
        if re.fullmatch(pattern, path):
            return group
    return ""


def trial_batch(backend: Any) -> dict[str, torch.Tensor]:
    """Made-up batch of three atoms with two edges each.

    :param backend: PET's backend
    :return: what its ``preprocess`` returns, as far as the layers need it
    """
    weight = next(backend.parameters())
    device, dtype = weight.device, weight.dtype
    species = torch.zeros(3, dtype=torch.long, device=device)
    vectors = torch.linspace(-1, 1, 18, dtype=dtype, device=device).reshape(3, 2, 3)
    return {
        "element_indices_nodes": species,
        "element_indices_neighbors": species[:, None].repeat(1, 2),
        "edge_vectors": vectors,
        "edge_distances": vectors.norm(dim=-1),
        "padding_mask": torch.ones(3, 2, dtype=torch.bool, device=device),
        "reverse_neighbor_index": torch.arange(6, device=device).reshape(3, 2),
        "cutoff_factors": torch.ones(3, 2, dtype=dtype, device=device),
        "charge": species[:1],
        "spin_multiplicity": species[:1] + 1,
        "system_indices": species,
    }


def run_backend(
    backend: Any, batch: dict[str, torch.Tensor], cells: torch.Tensor, names: list[str]
) -> dict[str, list[torch.Tensor]]:
    """Features and predictions of a batch, without long-range features.

    :param backend: PET's backend
    :param batch: as of ``preprocess``
    :param cells: ``(systems, 3, 3)``
    :param names: targets
    :return: for each target its blocks, per atom
    """
    nodes, edges = backend.calculate_features(batch, capture_diagnostics=True)
    indices = batch["system_indices"]
    return backend.predict(nodes, edges, batch, cells, indices, names)[0]


def _kind(output: Any) -> tuple[str, int]:
    """What an output of the trial holds, and its channels."""
    if not isinstance(output, torch.Tensor) or len(output) != 3:
        return "other", 0
    if output.ndim == 2:
        return "node", output.shape[-1]
    if output.ndim == 3:
        return _SLOTS.get(output.shape[1], "other"), output.shape[-1]
    return "other", 0


class Catalogue:
    """All layers of a PET backend that can be probed.

    :param backend: PET's backend; it is run once, in the state in which it is
    :param targets: whose last-layer features the group LLF means
    """

    def __init__(self, backend: Any, targets: Iterable[str] = ()) -> None:
        self.targets = list(targets)
        self.modules = {path for path, _ in backend.named_modules() if path}
        self.probes: dict[str, Probe] = {}
        with torch.no_grad(), ExitStack() as stack:
            for path, module in backend.named_modules():
                if path:
                    handle = module.register_forward_hook(self._listener(path))
                    stack.callback(handle.remove)
            batch = trial_batch(backend)
            cells = batch["edge_vectors"].new_zeros(1, 3, 3)
            run_backend(backend, batch, cells, list(backend.node_heads))

    def _listener(self, path: str) -> Any:
        def listen(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, tuple):
                for index, part in enumerate(("node", "edge")[: len(output)]):
                    self._add(f"{path}_{part}", path, index, output[index], "all")
                return
            self._add(path, path, None, output, "all")
            if _kind(output)[0] == "tokens":
                for part in ("node", "edge"):
                    self._add(f"{path}_{part}", path, None, output, part)

        return listen

    def _add(
        self, name: str, module: str, element: int | None, output: Any, part: str
    ) -> None:
        kind, channels = _kind(output)
        if kind != "other":
            self.probes[name] = Probe(name, module, element, kind, part, channels)

    def _members(self, group: str) -> list[str]:
        members = []
        for path in self.probes:
            match = re.fullmatch(_PATTERNS.get(group, "(?!)"), path)
            if match and (group != "LLF" or match["target"] in self.targets):
                members.append(path)
        return members

    def _below(self, name: str) -> list[str]:
        """Probes that a module or a container of modules stands for."""
        if name in self.probes:
            return [name]
        pair = [f"{name}_{part}" for part in ("node", "edge")]
        if all(path in self.probes for path in pair):
            return pair
        depth = name.count(".") + 1
        children = {
            ".".join(path.split(".")[: depth + 1])
            for path in self.modules
            if path.startswith(f"{name}.")
        }
        ordered = sorted(children, key=lambda path: [_number(p) for p in path.split(".")])
        return [path for child in ordered for path in self._below(child)]

    def expand(self, names: Iterable[str]) -> list[str]:
        """Probes that names stand for.

        :param names: groups, probes, or modules and containers such as ``gnn_layers``
        :raises ValueError: if there is no such layer, or if it is never evaluated
        :return: probes, each once, in the order asked for
        """
        probes: dict[str, None] = {}
        for name in names:
            found = self._members(name) if name in GROUPS else self._below(name)
            if not found and name not in GROUPS:
                self._complain(name)
            probes.update(dict.fromkeys(found))
        return list(probes)

    def _complain(self, name: str) -> None:
        if name in self.modules:
            raise ValueError(
                f"layer '{name}' returns no features of atoms or edges or is never "
                "evaluated by this model: choose another one"
            )
        known = [*GROUPS, *self.probes]
        near = difflib.get_close_matches(name, known, 3, 0.5) or list(GROUPS)
        raise ValueError(f"there is no layer '{name}': did you mean {', '.join(near)}?")

    def select(
        self,
        outputs: dict[str, torch.Tensor],
        paths: Iterable[str],
        centers: torch.Tensor,
        slots: torch.Tensor,
        n: int,
    ) -> dict[str, torch.Tensor]:
        """The real samples of several probes; equal tensors are returned once.

        :param outputs: as collected
        :param paths: probes
        :param centers: see :meth:`Probe.select`
        :param slots: likewise
        :param n: number of copies
        :return: for each probe ``(n, samples, d)``
        """
        found: dict[str, torch.Tensor] = {}
        known: dict[Any, torch.Tensor] = {}
        for path in paths:
            probe, output = self.probes[path], outputs[path]
            # all outputs are alive, so that an address stands for one tensor
            key = output.data_ptr(), output.shape, output.stride(), probe.kind, probe.part
            if key not in known:
                known[key] = probe.select(output, centers, slots, n)
            found[path] = known[key]
        return found

    def bases(self, backend: Any, paths: Iterable[str]) -> dict[str, torch.Tensor]:
        """Subspaces that linear layers with few inputs fill.

        :param backend: PET's backend
        :param paths: probes
        :return: for each such layer an orthonormal basis, ``(channels, rank)``, float64
        """
        found = {}
        for path in paths:
            module = backend.get_submodule(self.probes[path].module)
            # other classes, inheriting ones too, may do more than W x + b
            if type(module) is torch.nn.Linear:
                columns = [module.weight]
                if module.bias is not None:
                    columns.append(module.bias[:, None])
                image = torch.cat([c.detach().to(torch.float64) for c in columns], 1)
                if image.shape[1] < image.shape[0]:
                    found[path] = torch.linalg.qr(image).Q
        return found

    @contextmanager
    def collecting(
        self, backend: Any, paths: Iterable[str]
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Collect what layers return while the backend runs.

        :param backend: PET's backend
        :param paths: probes
        :return: raw outputs of the last run, for :meth:`Probe.select`; a node token has
            lost its slot
        """
        collected: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            for path in paths:
                hook = _collector(self.probes[path], collected)
                module = backend.get_submodule(self.probes[path].module)
                stack.callback(module.register_forward_hook(hook).remove)
            yield collected


def _number(text: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, in front of names."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def _collector(probe: Probe, collected: dict[str, torch.Tensor]) -> Any:
    def collect(module: Any, inputs: Any, output: Any) -> None:
        tensor = output if probe.element is None else output[probe.element]
        if probe.kind == "node" and tensor.ndim == 3:
            tensor = tensor.squeeze(1)
        collected[probe.path] = tensor.detach()

    return collect
