"""Layers by the path of their module, and outputs that are the same in all orientations."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ...messages import did_you_mean, quoted


Tape = dict[str, list[Any]]
"""What was returned under each name, call after call."""

MOST = 10
"""Layers that a message lists."""


def module_at(module: torch.nn.Module, path: str) -> torch.nn.Module:
    """Submodule at a path.

    :param module: the root
    :param path: such as ``encoder.layers.0``
    :raises ValueError: if there is none
    :return: the submodule
    """
    known = {name: part for name, part in module.named_modules() if name}
    if path not in known:
        near = did_you_mean(path, known)
        if not near.startswith("did") and len(known) > MOST:
            near = f"there are {', '.join(list(known)[:MOST])}, ..."
        raise ValueError(f"{type(module).__name__} has no layer '{path}': {near}")
    if isinstance(known[path], torch.jit.ScriptModule):
        raise ValueError(
            f"layer '{path}' is compiled by TorchScript and cannot be hooked: leave it "
            "out, or give the module as it was before it was compiled"
        )
    return known[path]


def first_tensor(output: Any) -> torch.Tensor | None:
    """First tensor of real numbers in what a layer returns.

    :param output: a tensor, or tensors in a list, a tuple or a dictionary
    :return: None if there is none
    """
    if isinstance(output, torch.Tensor):
        real = output.is_floating_point() and not output.is_nested
        return output.detach() if real else None
    parts: Iterable[Any] = ()
    if isinstance(output, dict):
        parts = output.values()
    elif isinstance(output, list | tuple):
        parts = output
    return next((t for t in map(first_tensor, parts) if t is not None), None)


@contextmanager
def watching(
    module: torch.nn.Module, paths: Iterable[str]
) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Keep what layers return.

    :param module: the root
    :param paths: of layers
    :return: for each path one tensor for each time that the layer is called
    """
    found: dict[str, list[torch.Tensor]] = {path: [] for path in paths}

    def keep(path: str) -> Callable[..., None]:
        def hook(part: torch.nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                # a copy: what follows may overwrite it in place
                found[path].append(tensor.clone())

        return hook

    with ExitStack() as stack:
        for path in found:
            handle = module_at(module, path).register_forward_hook(keep(path))
            stack.callback(handle.remove)
        yield found


@contextmanager
def counting_bytes(module: torch.nn.Module) -> Iterator[list[int]]:
    """Add up what all layers return, in bytes.

    :param module: the root
    :return: one number for each layer
    """
    sizes: list[int] = []

    def hook(part: torch.nn.Module, inputs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        sizes.append(0 if tensor is None else tensor.numel() * tensor.element_size())

    with ExitStack() as stack:
        for part in module.modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue  # cannot be hooked
            stack.callback(part.register_forward_hook(hook).remove)
        yield sizes


class Frozen:
    """Layers and functions whose outputs are recorded once and then replayed.

    :param module: the root
    :param names: paths of layers, and functions, which are replaced wherever a loaded
        module of Python knows them
    :raises ValueError: if one is neither
    """

    def __init__(self, module: torch.nn.Module, names: Any) -> None:
        listed = [names] if isinstance(names, str) or callable(names) else names
        try:
            listed = list(listed)
        except TypeError as error:
            raise ValueError(
                f"freeze is {quoted(names)}: give paths of layers, or functions"
            ) from error
        self.layers: dict[str, torch.nn.Module] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        for one in listed:
            if isinstance(one, str):
                self.layers[one] = module_at(module, one)
            elif callable(one) and hasattr(one, "__name__"):
                self.functions[f"{one.__module__}.{one.__name__}"] = one
            else:
                raise ValueError(
                    f"freeze has {quoted(one)}: give paths of layers, or functions"
                )

    def __bool__(self) -> bool:
        return bool(self.layers or self.functions)

    @contextmanager
    def recording(self) -> Iterator[Tape]:
        """Record what they return.

        :raises ValueError: if one of them was never called
        :return: filled afterwards
        """
        tape: Tape = defaultdict(list)

        def keep(name: str, value: Any) -> Any:
            tape[name].append(_kept(value))
            return value

        with self._instead(lambda name, compute: keep(name, compute())):
            yield tape
        for name in (*self.layers, *self.functions):
            if name not in tape:
                raise ValueError(
                    f"'{name}' is never called where the module is evaluated, so that it "
                    "cannot be frozen: leave it out of freeze, or name what is called"
                )

    @contextmanager
    def replaying(self, tape: Tape) -> Iterator[None]:
        """Return what was recorded.

        :param tape: of the same number of copies
        :raises ValueError: if one is called more often than it was
        """
        place: dict[str, int] = defaultdict(int)

        def replay(name: str, compute: Callable[[], Any]) -> Any:
            place[name] += 1
            if place[name] > len(tape[name]):
                raise ValueError(
                    f"'{name}' is called more often in some orientations than in others: "
                    "name something in freeze that decides this"
                )
            return _kept(tape[name][place[name] - 1])

        with self._instead(replay):
            yield

    @contextmanager
    def _instead(self, answer: Callable[[str, Callable[[], Any]], Any]) -> Iterator[None]:
        """Let something else answer, which may compute what would be returned."""
        with ExitStack() as stack:
            for path, layer in self.layers.items():
                handle = layer.register_forward_hook(
                    lambda part, inputs, output, path=path: answer(path, lambda: output)
                )
                stack.callback(handle.remove)
            for name, function in self.functions.items():
                for space, key in list(_places(function)):
                    space[key] = _wrapped(name, function, answer)
                    stack.callback(space.__setitem__, key, function)
            yield


def _kept(value: Any) -> Any:
    """Copies of tensors, which a module may overwrite in place."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return type(value)((key, _kept(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        parts = [_kept(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _wrapped(
    name: str,
    function: Callable[..., Any],
    answer: Callable[[str, Callable[[], Any]], Any],
) -> Callable[..., Any]:
    def instead(*arguments: Any, **keywords: Any) -> Any:
        return answer(name, lambda: function(*arguments, **keywords))

    return instead


def _places(function: Callable[..., Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a function has a name: globals of loaded modules, and its own."""
    spaces = [vars(one) for one in list(sys.modules.values()) if hasattr(one, "__dict__")]
    own = getattr(function, "__globals__", None)
    if own is not None and not any(own is space for space in spaces):
        spaces.append(own)
    for space in spaces:
        for key, value in list(space.items()):
            if value is function:
                yield space, key
