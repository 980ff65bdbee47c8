"""Layers of a live model of any architecture: found, named and collected by hooks.

Which modules return features of atoms is found out by running the model on made-up
structures: on two batches of different sizes, so that nothing fits by accident, and on one
of them with its atoms moved, which tells what depends on positions at all.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from metatomic.torch import System

from . import per_atom
from .structures import TRIAL_SIZES, trial_batch


MOST = 10
"""Layers that are looked at unless asked otherwise."""

BESIDE = {"additive_models", "scaler"}
"""Modules of metatrain that stand beside the network and handle its outputs."""

TRIALS = ((0, 0.6), (1, 0.3), (0, 0.57))
"""Batches that the model is run on, and factors of their positions. The second one is so
dense that an atom has more neighbours than the first one has atoms, whatever the cutoff.
"""

Evaluate = Callable[[list[System]], object]


@dataclass(frozen=True)
class Output:
    """What a module returned in one call, looked at before it may be overwritten.

    :param kept: the output itself, so that its memory is not used again
    :param text: what it is, for messages
    :param features: of its elements, as far as they are features of atoms
    :param shapes: of these elements, without the sample axis
    :param memory: of these elements
    """

    kept: Any
    text: str
    features: dict[per_atom.Element, torch.Tensor]
    shapes: dict[per_atom.Element, set[tuple[int, ...]]]
    memory: dict[per_atom.Element, tuple[tuple[int, int], ...]]

    @classmethod
    def of(cls, output: Any, sizes: Sequence[int]) -> "Output":
        """Look at an output.

        :param output: of a module
        :param sizes: number of atoms of each structure of the batch
        """
        found = {}
        for element, value in per_atom.elements(output):
            features = per_atom.features(value, sizes)
            if features is not None:
                found[element] = value, features.clone()
        return cls(
            output,
            per_atom.described(output),
            {element: features for element, (_, features) in found.items()},
            {element: per_atom.shapes(value) for element, (value, _) in found.items()},
            {element: per_atom.memory(value) for element, (value, _) in found.items()},
        )


Outputs = dict[str, list[Output]]
"""Of each module, once for each call, in the order in which the modules are done."""


@dataclass(frozen=True)
class Layer:
    """A place in a network with features of atoms.

    :param path: path of the module; ``path[element]`` where it returns several things
    :param module: path of the module
    :param element: which of these things, None if it returns one
    :param channels: numbers that it keeps for an atom
    :param moves: whether it depends on positions
    :param memory: where the output was: the same for one that is handed on
    """

    path: str
    module: str
    element: per_atom.Element
    channels: int
    moves: bool
    memory: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """How far inside it lies: numbers in a path only count siblings."""
        return sum(not part.isdecimal() for part in self.module.split("."))


class Layers:
    """All layers of a model that can be probed; see :meth:`of`.

    :param model: the model
    :param known: layers by their path, in the order of the network
    :param refused: modules that have no features of atoms, and why
    """

    def __init__(
        self, model: torch.nn.Module, known: dict[str, Layer], refused: dict[str, str]
    ) -> None:
        self.model, self.known, self.refused = model, known, refused

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        types: list[int],
        prepare: Callable[[System], System],
        evaluate: Evaluate,
    ) -> "Layers":
        """Find the layers of a model.

        :param model: in the state in which it is
        :param types: atomic types that it knows
        :param prepare: gives a structure its neighbour lists
        :param evaluate: asks the model for all its targets
        :return: all that can be probed
        """
        seen = []
        for number, spread in TRIALS:
            sizes = TRIAL_SIZES[number]
            batch = [prepare(one) for one in trial_batch(types, sizes, spread)]
            seen.append(_record(model, sizes, partial(evaluate, batch)))
        known: dict[str, Layer] = {}
        refused: dict[str, str] = {}
        for module, outputs in seen[0].items():
            found, why = _read(module, outputs, [one.get(module) for one in seen[1:]])
            known |= {layer.path: layer for layer in found}
            if why:
                refused[module] = why
        return cls(model, known, refused)

    @property
    def usual(self) -> list[str]:
        """Layers to look at unless asked otherwise, in the order of the network.

        Outputs that are handed on count once, by their shortest path; of more than
        :data:`MOST`, those that lie least deep inside.
        """
        first: dict[tuple[tuple[int, int], ...], Layer] = {}
        for layer in self.known.values():
            other = first.get(layer.memory)
            beside = BESIDE & set(layer.module.split("."))
            if layer.moves and not beside and (other is None or layer.depth < other.depth):
                first[layer.memory] = layer
        order = list(self.known.values())
        chosen = sorted(first.values(), key=lambda layer: (layer.depth, order.index(layer)))
        return [layer.path for layer in order if layer in chosen[:MOST]]

    def expand(self, names: Iterable[str]) -> list[str]:
        """Layers that names stand for.

        :param names: layers, or modules and containers that hold some
        :raises ValueError: if there is no such layer, or if it has no features of atoms
        :return: layers, each once, in the order asked for
        """
        found: dict[str, None] = {}
        for name in names:
            if name != "predictions":  # always looked at
                found.update(dict.fromkeys(self._below(name)))
        return list(found)

    def _below(self, name: str) -> list[str]:
        if name in self.known:
            return [name]
        parts = [path for path in self.known if path.startswith(f"{name}[")]
        if not parts and name not in self.refused:  # a container that is only looked into
            parts = [path for path in self.known if path.startswith(f"{name}.")]
        if not parts:
            raise ValueError(self._complaint(name))
        return parts

    def _complaint(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.known, 3, 0.6)
        choice = (
            f"did you mean {', '.join(near)}?"
            if near
            else (
                f"there are {', '.join(self.usual[:5]) or 'none in this model'}"
                + ", ..." * (len(self.known) > 5)
            )
        )
        if name in self.refused:
            return f"layer '{name}' {self.refused[name]}: choose another one, {choice}"
        if name in dict(self.model.named_modules()):
            return (
                f"layer '{name}' is never evaluated by this model, or not as a module: "
                f"choose another one, {choice}"
            )
        return f"there is no layer '{name}' in this {type(self.model).__name__}: {choice}"

    @contextmanager
    def collecting(
        self, paths: Iterable[str], sizes: Sequence[int]
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Collect layers while the model runs.

        :param paths: of layers
        :param sizes: number of atoms of each structure of the batch, all the same
        :return: filled meanwhile: ``(structures, atoms, channels)`` of each
        """
        collected: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            for path in paths:
                layer = self.known[path]
                hook = _collector(layer, sizes, collected)
                module = self.model.get_submodule(layer.module)
                stack.callback(module.register_forward_hook(hook).remove)
            yield collected


def _record(
    model: torch.nn.Module, sizes: Sequence[int], run: Callable[[], object]
) -> Outputs:
    """What all modules return while the model runs."""
    outputs: Outputs = {}
    with torch.no_grad(), ExitStack() as stack:
        for path, module in model.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule):

                def hook(module: Any, inputs: Any, output: Any, path: str = path) -> None:
                    outputs.setdefault(path, []).append(Output.of(output, sizes))

                stack.callback(module.register_forward_hook(hook).remove)
        run()
    return outputs


def _read(
    module: str, outputs: list[Output], others: Sequence[list[Output] | None]
) -> tuple[list[Layer], str]:
    """Layers of a module, or why it has none.

    :param outputs: what it returned for the first batch, once for each call
    :param others: for the second one, and for the first one with its atoms moved
    """
    if any(other is None or len(other) != 1 for other in (outputs, *others)):
        return [], "is not called exactly once in an evaluation, so that it is no one place"
    first, (bigger, moved) = outputs[0], [other[0] for other in others if other]
    found = []
    for element, here in first.features.items():
        # slots for neighbours, say, are as many as a structure needs
        if first.shapes[element] != bigger.shapes.get(element):
            continue
        after = moved.features.get(element)
        found.append(
            Layer(
                module if element is None else f"{module}[{element}]",
                module,
                element,
                max(here.shape[1], bigger.features[element].shape[1]),
                after is None or not torch.equal(here, after),
                first.memory[element],
            )
        )
    if found:
        return found, ""
    n = sum(TRIAL_SIZES[0])
    return [], f"returns {first.text} for {n} atoms, which cannot be matched to the atoms"


def _collector(
    layer: Layer, sizes: Sequence[int], collected: dict[str, torch.Tensor]
) -> Callable[[Any, Any, Any], None]:
    def collect(module: Any, inputs: Any, output: Any) -> None:
        value = dict(per_atom.elements(output)).get(layer.element)
        found = per_atom.features(value, sizes)
        if found is None:
            raise ValueError(
                f"layer '{layer.path}' returns {per_atom.described(output)} for "
                f"{sum(sizes)} atoms here, which cannot be matched to the atoms: leave it "
                "out of the probes"
            )
        # a copy: what follows may overwrite it in place
        copied = found.detach().clone()
        collected[layer.path] = copied.reshape(len(sizes), sizes[0], -1)

    return collect
