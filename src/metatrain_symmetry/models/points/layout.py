"""Which axis of a tensor counts clouds, points and everything else: told from sizes."""

from dataclasses import dataclass
from math import prod

import torch


Shape = tuple[int, ...]


class Untold(Exception):
    """Sizes do not tell which axis is which; the text says what was seen."""


@dataclass(frozen=True)
class Layout:
    """Axes of what a module returns for ``n`` copies of one cloud.

    :param batch: axis of the copies; None if one copy comes without such an axis
    :param flat: whether that axis holds the points or tokens of all copies behind each
        other
    :param points: axis of the points, if apart
    :param of_points: whether there is a value for each point
    """

    batch: int | None
    flat: bool = False
    points: int | None = None

    def split(self, values: torch.Tensor, n: int) -> torch.Tensor:
        """Bring copies and points to the front.

        :param values: as returned for ``n`` copies
        :param n: number of copies
        :raises Untold: if the copies have different sizes
        :return: ``(n, points or tokens, ...)`` where these are apart or flat, else
            ``(n, ...)``
        """
        if self.batch is None:
            values = values[None]
            return values if self.points is None else values.movedim(self.points + 1, 1)
        values = values.movedim(self.batch, 0)
        if self.flat:
            if len(values) % n:
                raise Untold(f"has {len(values)} rows for {n} copies")
            return values.reshape(n, len(values) // n, *values.shape[1:])
        if len(values) != n:
            raise Untold(f"has {len(values)} rows for {n} copies")
        if self.points is None:
            return values
        # where the axis is once the copies are in front
        return values.movedim(self.points + (self.points < self.batch), 1)


def tell(n_points: int, one: Shape, two: Shape | None, more: Shape | None) -> Layout:
    """Tell the axes from sizes.

    :param n_points: of the cloud
    :param one: shape for one copy
    :param two: shape for two copies; None if copies come one by one
    :param more: shape for one copy of the cloud with one point more; None if unknown
    :raises Untold: if no axis grows with the clouds, or if several axes may count the
        points
    :return: the layout
    """
    batch, flat = _copies(n_points, one, two, more)
    candidates = [
        axis
        for axis, size in enumerate(one)
        if size == n_points and axis != batch and _grows(axis, one, more)
    ]
    if flat or not candidates:
        return Layout(batch, flat)
    if len(candidates) > 1:
        raise Untold(
            f"has the shape {one} for a cloud of {n_points} points, where axes "
            f"{' and '.join(map(str, candidates))} may count the points"
        )
    return Layout(batch, False, candidates[0])


def _copies(
    n_points: int, one: Shape, two: Shape | None, more: Shape | None
) -> tuple[int | None, bool]:
    """Axis of the copies, and whether something else lies in it too."""
    if two is None:
        if one and one[0] == 1 and (more is None or more[:1] == one[:1]):
            return 0, False
        return None, False
    if len(two) == len(one):
        growing = [axis for axis, size in enumerate(one) if two[axis] == 2 * size > 0]
        if len(growing) == 1:
            (axis,) = growing
            longer = more is not None and len(more) == len(one) and more[axis] > one[axis]
            return axis, one[axis] > 1 or longer
    raise Untold(
        f"has the shape {one} for one cloud and {two} for two, so that no axis counts them"
    )


def _grows(axis: int, one: Shape, more: Shape | None) -> bool:
    """Whether an axis has one entry more where the cloud has one point more."""
    return more is None or (len(more) == len(one) and more[axis] == one[axis] + 1)


def as_layer(
    values: torch.Tensor, layout: Layout, n: int, channels_first: bool
) -> torch.Tensor:
    """Features of a layer: points or tokens as samples, everything else as channels.

    :param values: as returned for ``n`` copies
    :param layout: of the layer
    :param n: number of copies
    :param channels_first: whether the first axis after the copies holds channels, as in
        convolutions
    :raises Untold: if the copies have different sizes
    :return: ``(n, samples, channels)``
    """
    found = layout.split(values, n)
    if layout.flat or layout.points is not None:
        return found.reshape(n, found.shape[1], -1)
    if found.ndim < 3:
        return found.reshape(n, 1, -1)
    if channels_first:
        found = found.movedim(1, -1)
        return found.reshape(n, prod(found.shape[1:-1]), found.shape[-1])
    return found.reshape(n, found.shape[1], -1)
