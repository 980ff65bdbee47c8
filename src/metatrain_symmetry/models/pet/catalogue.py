"""All layers of a PET backend that can be probed: found, named and collected.

Whether a layer returns atoms, edges or tokens is found out once, on a made-up batch.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .probes import GROUPS, Probe, match_group
from .trial_batch import kind_of, run_backend, trial_batch


class Catalogue:
    """All layers of a PET backend that can be probed; see :meth:`of`.

    :param modules: paths of all modules
    :param targets: whose last-layer features the group LLF means
    """

    def __init__(self, modules: Iterable[str], targets: Iterable[str] = ()) -> None:
        self.modules, self.targets = set(modules), list(targets)
        self.probes: dict[str, Probe] = {}

    @classmethod
    def of(cls, backend: Any, targets: Iterable[str] = ()) -> "Catalogue":
        """Find the layers of a backend.

        :param backend: PET's backend; it is run once, in the state in which it is
        :param targets: whose last-layer features the group LLF means
        :return: the catalogue
        """
        found = cls((path for path, _ in backend.named_modules() if path), targets)
        with torch.no_grad(), ExitStack() as stack:
            for path, module in backend.named_modules():
                if path:
                    handle = module.register_forward_hook(found._listener(path))
                    stack.callback(handle.remove)
            batch = trial_batch(backend)
            cells = batch["edge_vectors"].new_zeros(1, 3, 3)
            run_backend(backend, batch, cells, list(backend.node_heads))
        return found

    def _listener(self, path: str) -> Any:
        def listen(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, tuple):
                for index, part in enumerate(("node", "edge")[: len(output)]):
                    self._add(f"{path}_{part}", path, index, output[index], "all")
                return
            self._add(path, path, None, output, "all")
            if kind_of(output)[0] == "tokens":
                for part in ("node", "edge"):
                    self._add(f"{path}_{part}", path, None, output, part)

        return listen

    def _add(
        self, name: str, module: str, element: int | None, output: Any, part: str
    ) -> None:
        kind, channels = kind_of(output)
        if kind != "other":
            self.probes[name] = Probe(name, module, element, kind, part, channels)

    def _members(self, group: str) -> list[str]:
        members = []
        for path in self.probes:
            match = match_group(path, group)
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
                hook = collector(self.probes[path], collected)
                module = backend.get_submodule(self.probes[path].module)
                stack.callback(module.register_forward_hook(hook).remove)
            yield collected


def _number(text: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, in front of names."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def collector(probe: Probe, collected: dict[str, torch.Tensor]) -> Any:
    """Hook that collects what a layer returns.

    :param probe: the layer
    :param collected: where its raw output is put
    :return: for ``register_forward_hook``
    """

    def collect(module: Any, inputs: Any, output: Any) -> None:
        tensor = output if probe.element is None else output[probe.element]
        if probe.kind == "node" and tensor.ndim == 3:
            tensor = tensor.squeeze(1)
        collected[probe.path] = tensor.detach()

    return collect
