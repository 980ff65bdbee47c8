"""How a module is given clouds: dense, with lengths or a mask, sparse, or in own ways."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from ...messages import did_you_mean, quoted


Call = Callable[[torch.nn.Module, torch.Tensor], Any]
"""Of a module and clouds ``(n, points, columns)``; returns what the module returns."""

LENGTHS = ("lengths", "length", "n_points", "num_points", "npoints")
MASKS = ("mask", "masks", "valid", "valid_mask", "point_mask", "points_mask")
PADDING = ("padding_mask", "key_padding_mask", "pad_mask")


def _dense(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(clouds)


def _channels_first(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(clouds.transpose(1, 2).contiguous())


def _with_lengths(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    size = torch.full((len(clouds),), clouds.shape[1], device=clouds.device)
    return module(clouds, size)


def _with_mask(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(clouds, _mask(clouds, True))


def _with_padding(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(clouds, _mask(clouds, False))


def _mask(clouds: torch.Tensor, value: bool) -> torch.Tensor:
    return torch.full(clouds.shape[:2], value, device=clouds.device)


def _sparse(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(**sparse(clouds))


def _data(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
    return module(SimpleNamespace(**sparse(clouds)))


def sparse(clouds: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """Clouds behind each other.

    :param clouds: ``(n, points, 3 + c)``
    :return: ``x`` ``(n * points, c)``, None where there are no more columns than three,
        ``pos`` ``(n * points, 3)``, and the number of its cloud for each point, ``batch``
    """
    n, points, columns = clouds.shape
    flat = clouds.reshape(n * points, columns)
    batch = torch.arange(n, device=clouds.device).repeat_interleave(points)
    x = flat[:, 3:] if columns > 3 else None
    return {"x": x, "pos": flat[:, :3].contiguous(), "batch": batch}


FORMS: dict[str, Call] = {
    "dense": _dense,
    "channels first": _channels_first,
    "lengths": _with_lengths,
    "mask": _with_mask,
    "padding mask": _with_padding,
    "sparse": _sparse,
    "data": _data,
}
"""Forms by name: ``(n, points, columns)``, ``(n, columns, points)``, the first with the
number of points of each or a mask that is true (or, of padding, false) for every point,
``x, pos, batch`` by name, and one object with these as attributes."""


def calls_of(module: torch.nn.Module, call: Any) -> list[Call]:
    """Ways to call a module, of which the first that works is right.

    :param module: of which only ``forward`` is looked at
    :param call: a function of module and clouds, a name of :data:`FORMS`, or None for what
        the names of the arguments say
    :raises ValueError: if it is none of these, or if the names say nothing
    :return: one or two
    """
    if isinstance(call, str):
        if call not in FORMS:
            raise ValueError(f"there is no call '{call}': {did_you_mean(call, FORMS)}")
        _check_takes(module, call)
        return [FORMS[call]]
    if call is not None:
        if not callable(call):
            raise ValueError(
                f"call is {quoted(call)}: give a function of the module and its clouds"
            )
        return [call]
    return _by_names(module)


def _check_takes(module: torch.nn.Module, call: str) -> None:
    """Refuse a second argument where there is none."""
    found = _arguments(module)
    several = len(found) > 1 or any(p.kind == p.VAR_POSITIONAL for p in found)
    if call in ("lengths", "mask", "padding mask") and not several:
        raise ValueError(
            f"{type(module).__name__} takes clouds and nothing else: choose another call "
            f"than '{call}', or leave it out"
        )


def _arguments(module: torch.nn.Module) -> list[inspect.Parameter]:
    """Arguments of ``forward``, without the module itself."""
    if not isinstance(module, torch.jit.ScriptModule):
        return list(inspect.signature(module.forward).parameters.values())
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    compiled: Any = module.forward
    return [
        inspect.Parameter(
            one.name,
            kind,
            default=one.default_value
            if one.has_default_value()
            else inspect.Parameter.empty,
        )
        for one in compiled.schema.arguments[1:]
    ]


def _by_names(module: torch.nn.Module) -> list[Call]:
    """What the arguments of ``forward`` say."""
    found = _arguments(module)
    plain = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = {p.name for p in plain}
    needed = [p.name for p in plain if p.default is p.empty]
    if {"pos", "batch"} <= names:
        rest = [name for name in needed if name not in ("x", "pos", "batch")]
        if not rest:
            return [_some_of_sparse(names)]
    if needed == ["data"]:
        return [_data]
    if len(needed) <= 1:
        return [_dense, _channels_first]
    second = needed[1].lower()
    kinds = ((LENGTHS, _with_lengths), (MASKS, _with_mask), (PADDING, _with_padding))
    for known, form in kinds:
        if second in known and len(needed) == 2:
            return [form]
    raise ValueError(
        f"{type(module).__name__} needs the arguments {', '.join(needed)}: give call=, a "
        "function of the module and clouds (n, points, columns)"
    )


def _some_of_sparse(names: set[str]) -> Call:
    """Call with those of x, pos, batch that the module takes."""

    def call(module: torch.nn.Module, clouds: torch.Tensor) -> Any:
        given = sparse(clouds)
        return module(**{name: part for name, part in given.items() if name in names})

    return call
