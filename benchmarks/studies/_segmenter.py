"""A compact segmenter of point clouds with tokens: the reference model of the study.

As PoLAr-MAE does: centres by farthest points, groups of the nearest neighbours of each, a
mini-PointNet that makes a token of a group, a positional embedding of its centre, a
transformer, and a head that brings the tokens back to the points. Far smaller, and without
the pre-training that masks tokens. Positions are used as they are: nothing makes the model
invariant to rotations.

Modules that can be watched by their paths: ``position``, ``tokens``, ``blocks.0``, ...,
``head.spread``, ``head.mix``, ``head.hidden``, ``head.readout``. Those before ``head``
return ``(B, tokens, channels)``, the others ``(B, points, channels)``.
"""

from __future__ import annotations

import torch
from torch import nn


CLASSES = 4


class Tokens(nn.Module):
    """Mini-PointNet: a token for each group of points.

    :param dim: channels of a token
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, dim), nn.GELU(), nn.Linear(dim, dim))
        self.second = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, groups: torch.Tensor) -> torch.Tensor:
        """Embed groups.

        :param groups: ``(B, G, k, 4)``, positions relative to the centre
        :return: ``(B, G, dim)``
        """
        x = self.first(groups)
        whole = x.amax(dim=2, keepdim=True).expand_as(x)
        found: torch.Tensor = self.second(torch.cat([x, whole], dim=-1)).amax(dim=2)
        return found


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm.

    :param dim: channels
    :param heads: of the attention
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.forth = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        :param x: ``(B, G, dim)``
        :param known: which tokens there are ``(B, G)``
        :return: ``(B, G, dim)``
        """
        B, G, dim = x.shape
        parts = self.qkv(self.norm(x)).reshape(B, G, 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=known[:, None, None, :]
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(B, G, dim))
        found: torch.Tensor = x + self.forth(x)
        return found


class Spread(nn.Module):
    """From tokens to points: means over near centres, by inverse squared distance.

    :param nearest: number of centres
    """

    def __init__(self, nearest: int = 3) -> None:
        super().__init__()
        self.nearest = nearest

    def forward(
        self,
        x: torch.Tensor,
        points: torch.Tensor,
        centres: torch.Tensor,
        known: torch.Tensor,
    ) -> torch.Tensor:
        """Interpolate.

        :param x: tokens ``(B, G, dim)``
        :param points: ``(B, N, 3)``
        :param centres: ``(B, G, 3)``
        :param known: which tokens there are ``(B, G)``
        :return: ``(B, N, dim)``
        """
        squared = squares(points, centres).masked_fill(~known[:, None], float("inf"))
        near, index = squared.topk(min(self.nearest, x.shape[1]), largest=False)
        weights = 1 / (near + 1e-4)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return (take(x, index) * weights[..., None]).sum(dim=2)


class Head(nn.Module):
    """Scores of points from tokens.

    :param dim: channels of the tokens
    :param classes: number of classes
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.spread = Spread()
        self.mix = nn.Sequential(nn.Linear(dim + 4, dim), nn.LayerNorm(dim), nn.GELU())
        self.hidden = nn.Sequential(nn.Linear(dim, dim), nn.GELU())
        self.readout = nn.Linear(dim, classes)

    def forward(
        self,
        x: torch.Tensor,
        points: torch.Tensor,
        centres: torch.Tensor,
        known: torch.Tensor,
    ) -> torch.Tensor:
        """Score points.

        :param x: tokens ``(B, G, dim)``
        :param points: ``(B, N, 4)``, scaled
        :param centres: ``(B, G, 3)``
        :param known: which tokens there are ``(B, G)``
        :return: ``(B, N, classes)``
        """
        whole = self.spread(x, points[..., :3], centres, known)
        found: torch.Tensor = self.readout(
            self.hidden(self.mix(torch.cat([whole, points], dim=-1)))
        )
        return found


class Segmenter(nn.Module):
    """Scores of four classes for each point of a cloud.

    :param dim: channels
    :param depth: transformer blocks
    :param heads: of the attention
    :param groups: tokens of a cloud
    :param size: points in a group
    :param length: of the box, from its centre; positions are divided by it
    :param seed: chooses the point at which the farthest points begin; None draws it anew
        at each call, as the published model does
    """

    def __init__(
        self,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
        groups: int = 64,
        size: int = 16,
        length: float = 15.0,
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        self.groups, self.size, self.length, self.seed = groups, size, length, seed
        self.tokens = Tokens(dim)
        self.position = nn.Sequential(nn.Linear(3, dim), nn.GELU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.head = Head(dim, CLASSES)

    def forward(
        self, points: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score points.

        :param points: ``(B, N, 4)``: positions in cm and energies in MeV, points that are
            none at the end
        :param lengths: how many points each cloud has ``(B,)``, None for N
        :return: scores before the softmax ``(B, N, 4)``
        """
        if lengths is None:
            lengths = torch.full(points.shape[:1], points.shape[1], device=points.device)
        real = torch.arange(points.shape[1], device=points.device) < lengths[:, None]
        scaled = self._scaled(points)
        places = scaled[..., :3]
        index = farthest_points(places, lengths, self._starts(lengths), self.groups)
        centres = take(places, index)
        # a cloud of fewer points than tokens has none at the end
        known = torch.arange(self.groups, device=points.device) < lengths[:, None]
        x = self.tokens(self._grouped(scaled, centres, real))
        place = self.position(centres)
        for block in self.blocks:
            x = block(x + place, known)
        found: torch.Tensor = self.head(x, scaled, centres, known)
        return found

    def _scaled(self, points: torch.Tensor) -> torch.Tensor:
        energy = (points[..., 3:].clamp(min=0.01) / 0.5).log()
        return torch.cat([points[..., :3] / self.length, energy], dim=-1)

    def _starts(self, lengths: torch.Tensor) -> torch.Tensor:
        """Points at which to begin, the same for clouds of the same length."""
        if self.seed is None:
            share = torch.rand(len(lengths), device=lengths.device)
        else:
            own = torch.Generator().manual_seed(self.seed)
            share = torch.rand(1, generator=own).to(lengths.device)
        return (share * lengths).long()

    def _grouped(
        self, scaled: torch.Tensor, centres: torch.Tensor, real: torch.Tensor
    ) -> torch.Tensor:
        """Nearest points of each centre, relative to it ``(B, G, k, 4)``."""
        squared = squares(centres, scaled[..., :3])
        squared = squared.masked_fill(~real[:, None], float("inf"))
        near, index = squared.topk(min(self.size, scaled.shape[1]), largest=False)
        # where a cloud has fewer points, the nearest one again
        index = torch.where(near.isinf(), index[..., :1], index)
        groups = take(scaled, index)
        # neighbours are a tenth of the box away: numbers of order one
        relative = 10 * (groups[..., :3] - centres[:, :, None])
        return torch.cat([relative, groups[..., 3:]], dim=-1)


def squares(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared distances.

    :param a: ``(B, N, 3)``
    :param b: ``(B, M, 3)``
    :return: ``(B, N, M)``
    """
    return (a[:, :, None] - b[:, None]).square().sum(dim=-1)


def take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of each cloud.

    :param values: ``(B, N, c)``
    :param index: ``(B, ...)``
    :return: ``(B, ..., c)``
    """
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).reshape(*index.shape, values.shape[-1])


@torch.no_grad()
def farthest_points(
    points: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor, count: int
) -> torch.Tensor:
    """Points that are each the farthest from all before it.

    :param points: ``(B, N, 3)``
    :param lengths: how many of them there are ``(B,)``
    :param starts: index of the first point ``(B,)``
    :param count: how many to find; a cloud of fewer repeats some
    :return: indices ``(B, count)``
    """
    rows = torch.arange(len(points), device=points.device)
    real = torch.arange(points.shape[1], device=points.device) < lengths[:, None]
    distance = torch.where(real, torch.inf, -1.0).to(points.dtype)
    current, found = starts, [starts]
    for _ in range(count - 1):
        squared = (points - points[rows, current][:, None]).square().sum(dim=-1)
        distance = torch.minimum(distance, squared)
        current = distance.argmax(dim=1)
        found.append(current)
    return torch.stack(found, dim=1)
