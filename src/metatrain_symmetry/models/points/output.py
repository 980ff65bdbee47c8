"""What a module returns, as irrep blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch

from ...groups.irreps import Irrep
from ...messages import did_you_mean, quoted
from .. import irrep_blocks
from ..engine import Block
from .layout import Layout, Untold


KINDS = ("point", "cloud")


@dataclass(frozen=True)
class Output:
    """What an output of a module is.

    :param kind: ``point`` or ``cloud``: what one sample is; None to tell it from the sizes
    :param rank: 0 for scalars, such as the logits of classes; 1 for vectors, whose last
        axis is x, y, z; 2 for matrices, in the last two axes
    :param irreps: of the last axis, in place of a rank: spherical components one irrep
        after the other, each in the order ``o3_mu = -λ ... λ``
    :param softmax: for logits: measure the probabilities of the classes too
    :param source: key, attribute or position in what the module returns; None for the name,
        or for the place among the outputs
    :param unit: of the values
    :raises ValueError: if these contradict each other

    >>> from metatrain_symmetry import Irrep, Output
    >>> logits = Output(kind="point", softmax=True)
    >>> velocity = Output(kind="cloud", rank=1, unit="m/s")
    >>> tensor = Output(kind="cloud", irreps=[Irrep(0), Irrep(2)])
    """

    kind: str | None = None
    rank: int = 0
    irreps: Sequence[Irrep] | None = None
    softmax: bool = False
    source: str | int | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in (None, *KINDS):
            raise ValueError(
                f"the kind of an output is {quoted(self.kind)}: write point or cloud, or "
                "leave it out"
            )
        if self.rank not in (0, 1, 2) or isinstance(self.rank, bool):
            raise ValueError(
                f"the rank of an output is {quoted(self.rank)}: give 0, 1 or 2, or name "
                "irreps"
            )
        irreps = self.irreps
        known = irreps is None or (
            isinstance(irreps, Sequence)
            and len(irreps) > 0
            and all(isinstance(one, Irrep) for one in irreps)
        )
        if not known:
            raise ValueError(
                f"irreps of an output are {quoted(irreps)}: give a list such as [Irrep(1)]"
            )
        if self.tensorial and (self.softmax or (self.rank and irreps is not None)):
            raise ValueError(
                "an output has a rank, or irreps, or logits for softmax: give one of them"
            )

    @property
    def tensorial(self) -> bool:
        """Whether components transform into each other."""
        return bool(self.rank) or self.irreps is not None


def checked_outputs(outputs: Any) -> dict[str, Output] | None:
    """Outputs by name.

    :param outputs: as given: :class:`Output` by name, or kinds or None in its place
    :raises ValueError: if they are something else
    :return: None if nothing was given
    """
    if outputs is None:
        return None
    if not isinstance(outputs, Mapping) or not outputs:
        raise ValueError(
            f"outputs are {quoted(outputs)}: give them by name, such as "
            "{'class logits': Output(kind='cloud')}"
        )
    found = {}
    for name, one in outputs.items():
        one = Output(kind=one) if one is None or isinstance(one, str) else one
        if not isinstance(one, Output) or not isinstance(name, str) or not name:
            raise ValueError(
                f"output {quoted(name)} is {quoted(one)}: give a name and an Output(...)"
            )
        found[name] = one
    return found


def returned(value: Any, outputs: Mapping[str, Output] | None) -> dict[str, torch.Tensor]:
    """Tensors that are looked at, by name.

    :param value: what the module has returned
    :param outputs: what was declared; None for all real tensors
    :raises ValueError: if a declared output is not there
    :return: detached
    """
    parts = _parts(value)
    real = {
        key: part
        for key, part in parts.items()
        if isinstance(part, torch.Tensor) and part.is_floating_point() and part.numel()
    }
    if outputs is None:
        if not real:
            raise ValueError(
                f"the module returns {_kind(value)} and no tensor of real numbers: "
                "give call=, a function of the module and its clouds that returns some"
            )
        return {_default_name(key): part.detach() for key, part in real.items()}
    found = {}
    for place, (name, one) in enumerate(outputs.items()):
        key = one.source
        if key is None:
            key = name if name in parts else place
        if isinstance(key, int) and isinstance(value, tuple) and key not in parts:
            key = list(parts)[key] if 0 <= key < len(parts) else key  # of a named tuple
        part = real.get(key)
        if part is None:
            known = [str(key) for key in real]
            raise ValueError(
                f"the module returns nothing real for the output '{name}' (source "
                f"{quoted(key)}): {did_you_mean(key, known)}"
            )
        found[name] = part.detach()
    return found


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _parts(value: Any) -> dict[str | int, Any]:
    """What was returned, by keys and by position."""
    if isinstance(value, torch.Tensor):
        return {0: value}
    found: dict[str | int, Any] = {}
    for key, part in _fields(value).items():
        inside = _fields(part) if isinstance(part, Mapping | list | tuple) else None
        if inside is None:
            found[key] = part
        else:
            found |= {f"{key}.{name}": one for name, one in _parts(part).items()}
    return found


def _fields(value: Any) -> dict[str | int, Any]:
    """Entries of what holds several things: a mapping, a list, a tuple, an object."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    return dict(vars(value)) if hasattr(value, "__dict__") else {}


def _default_name(key: str | int) -> str:
    """Name of an output that has only a place; 0.1 is the second one of the first."""
    text = str(key)
    if text == "0":
        return "output"
    return f"output {text}" if text.partition(".")[0].isdecimal() else text


def told_kind(name: str, one: Output, layout: Layout, rows: int, n_points: int) -> str:
    """What one sample of an output is.

    :param name: of the output
    :param one: what was declared
    :param layout: of what was returned
    :param rows: of a flat layout, for each cloud
    :param n_points: of the cloud
    :raises ValueError: if it cannot be told, or is not what was declared
    :return: ``point`` or ``cloud``
    """
    pointwise = layout.points is not None or (layout.flat and rows == n_points)
    if one.kind == "point" and not pointwise:
        raise ValueError(
            f"output '{name}' has no axis for the {n_points} points of the cloud: write "
            "kind='cloud', or return it with call="
        )
    if one.kind is not None:
        return one.kind
    if layout.flat and not pointwise:
        raise ValueError(
            f"output '{name}' has {rows} rows for a cloud of {n_points} points, which are "
            "neither points nor clouds: give its kind in outputs, point or cloud"
        )
    return "point" if pointwise else "cloud"


def check_told(name: str, layout: Layout, shape: tuple[int, ...]) -> None:
    """Refuse as many numbers as points where a module takes no other number of points.

    :param name: of the output
    :param layout: that was told
    :param shape: of the output for one cloud
    :raises ValueError: if these may be points, or properties of the cloud
    """
    if layout.points is not None and len(shape) - (layout.batch is not None) == 1:
        n = shape[layout.points]
        raise ValueError(
            f"output '{name}' has {n} values for a cloud of {n} points, and the module "
            "takes no other number of points: give its kind in outputs, point or cloud"
        )


def as_samples(
    values: torch.Tensor, layout: Layout, kind: str, n: int, n_points: int
) -> torch.Tensor:
    """Values with their samples in the second axis.

    :param values: as returned for ``n`` copies
    :param layout: of the output
    :param kind: of its samples
    :param n: number of copies
    :param n_points: of the cloud
    :raises Untold: if the sizes are others than those of the layout
    :return: ``(n, samples, ...)``
    """
    if kind == "cloud":
        whole = Layout(layout.batch, layout.flat)
        return whole.split(values, n)[:, None]
    found = layout.split(values, n)
    if found.shape[1] != n_points:
        raise Untold(f"has {found.shape[1]} rows for a cloud of {n_points} points")
    return found


def blocks_of(
    name: str, one: Output, kind: str, values: torch.Tensor
) -> dict[Block, torch.Tensor]:
    """Irrep blocks of an output.

    :param name: of the output
    :param one: what it is
    :param kind: of its samples
    :param values: ``(n, samples, ...)``
    :raises ValueError: if the last axes do not fit what was declared
    :return: for each block ``(n, samples, 2 λ + 1, properties)``
    """
    n, samples, *rest = values.shape
    if not one.tensorial:
        flat = values.reshape(n, samples, 1, -1)
        found = {Block(name, Irrep(0), kind, one.unit): flat}
        if one.softmax:
            _check_classes(name, rest)
            share = Block(probabilities(name), Irrep(0), kind, "")
            found[share] = flat.softmax(dim=-1)
        return found
    if one.irreps is not None:
        return _spherical(name, one, kind, values)
    axes = [3] * one.rank
    if rest[len(rest) - one.rank :] != axes or len(rest) < one.rank:
        raise ValueError(
            f"output '{name}' has the shape {tuple(rest)} for each {kind}, which does not "
            f"end in {tuple(axes)}: give another rank, or return it with call="
        )
    flat = values.reshape(n * samples, -1, *axes).movedim(1, -1)
    components = ["xyz"] if one.rank == 1 else ["xyz_1", "xyz_2"]
    return {
        Block(name, irrep, kind, one.unit): part.reshape(n, samples, *part.shape[1:])
        for irrep, _, part in irrep_blocks.split(name, {}, components, flat)
    }


def probabilities(name: str) -> str:
    """Name of the block of the probabilities of an output."""
    return f"{name}, probabilities"


def _check_classes(name: str, rest: list[int]) -> None:
    if len(rest) != 1 or rest[0] < 2:
        raise ValueError(
            f"output '{name}' has the shape {tuple(rest)} for each sample, which is no "
            "axis of classes: leave out softmax"
        )


def _spherical(
    name: str, one: Output, kind: str, values: torch.Tensor
) -> dict[Block, torch.Tensor]:
    """Blocks of spherical components; an irrep that comes again is another property."""
    irreps = list(one.irreps or ())
    width = sum(irrep.dimension for irrep in irreps)
    if values.ndim < 3 or values.shape[-1] != width:
        raise ValueError(
            f"output '{name}' has the shape {tuple(values.shape[2:])} for each {kind}, and "
            f"its irreps have {width} components: give other irreps"
        )
    flat = values.reshape(*values.shape[:2], -1, width)
    found: dict[Irrep, list[torch.Tensor]] = {}
    for irrep, part in zip(
        irreps, flat.split([irrep.dimension for irrep in irreps], dim=-1), strict=True
    ):
        found.setdefault(irrep, []).append(part.transpose(2, 3))
    return {
        Block(name, irrep, kind, one.unit): torch.cat(parts, dim=-1)
        for irrep, parts in found.items()
    }


def untold(name: str, error: Untold) -> ValueError:
    """Sentence for an output whose sample axis cannot be told.

    :param name: of the output
    :param error: what was seen
    :return: to be raised
    """
    return ValueError(
        f"output '{name}' {error}: name in outputs only what has one, or return (clouds, "
        "points, ...) or (clouds, ...) with call=, a function of the module and its clouds"
    )
