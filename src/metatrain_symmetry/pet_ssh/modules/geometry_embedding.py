r"""The geometry embedding of ``pet_ssh``: solid harmonics in place of ``[x, y, z, r]``.

Stands where PET has ``gnn_layers.i.edge_embedder = Linear(4, d_pet)`` and takes the same
input, so that nothing else of PET changes:

.. math::

    e(\mathbf r) = W_0 [x, y, z, r] + b
        + W \frac{[R_{\ell m}(\mathbf r / s)]}{\mathrm{rms}_{\ell m}\,
          R_{\ell m}(\mathbf r / s)}, \qquad \ell \le \ell_\mathrm{max}

(arXiv:2603.24638, section III.4; the division is ours). By Unsoeld's theorem the root
mean square over all harmonics of an edge depends on r alone, so it mixes no irreps. The
first two terms are there with ``keep_distance``; a LayerNorm or RMSNorm may follow ``W``
instead of the division, which does mix them.

With the normalization ``"distance"`` the harmonics of every degree have the norm ``r / s``,
so that the distance is among them, and a LayerNorm follows:

.. math::

    e(\mathbf r) = \mathrm{LayerNorm}\Big(b + W\, \frac r s
        \Big[\sqrt{\tfrac{4\pi}{2\ell + 1}}\, Y_{\ell m}(\hat{\mathbf r})\Big]\Big)
"""

import math

import torch
from torch import nn

from .harmonics import SolidHarmonics


class GeometryEmbedding(nn.Module):
    """Embed edge vectors through solid harmonics up to degree ``l_max``.

    :param d_pet: number of features of an edge.
    :param l_max: largest degree of the harmonics.
    :param length_scale: length ``s``, in the length unit of the model.
    :param normalization: ``"harmonics"`` (before the linear map), ``"LayerNorm"`` or
        ``"RMSNorm"`` (after it), ``"distance"`` (of each degree before it, and a LayerNorm
        after it), or ``None``.
    :param keep_distance: also keep PET's own linear map of ``[x, y, z, r]``.
    """

    degrees: torch.Tensor

    def __init__(
        self,
        d_pet: int,
        l_max: int,
        length_scale: float,
        normalization: str | None,
        keep_distance: bool,
    ) -> None:
        super().__init__()
        self.length_scale = float(length_scale)
        self.divide = normalization == "harmonics"
        self.unit = normalization == "distance"
        self.keep_distance = keep_distance
        self.cartesian = nn.Linear(4, d_pet) if keep_distance else nn.Identity()
        self.harmonics = SolidHarmonics(l_max)
        counts = torch.arange(l_max + 1) * 2 + 1
        degrees = torch.repeat_interleave(torch.arange(l_max + 1), counts)
        self.register_buffer("degrees", degrees, persistent=False)
        # R_00 is constant unless it is multiplied by r, so its column is the bias
        self.linear = nn.Linear((l_max + 1) ** 2, d_pet, bias=self.unit)
        if not self.unit:
            with torch.no_grad():  # mean square one in, mean square one out
                self.linear.weight.mul_(math.sqrt(3))
        norms = {
            "LayerNorm": nn.LayerNorm, "RMSNorm": nn.RMSNorm, "distance": nn.LayerNorm
        }  # fmt: skip
        self.norm = norms.get(str(normalization), nn.Identity)(d_pet)

    def forward(self, edges: torch.Tensor) -> torch.Tensor:
        """Embed a batch of edges.

        :param edges: ``[x, y, z, r]`` of every edge, in the length unit of the model,
            shape ``(n_atoms, max_neighbors, 4)``; both may be zero.
        :return: shape ``(n_atoms, max_neighbors, d_pet)``.
        """
        vectors = edges[:, :, :3].reshape(-1, 3) / self.length_scale
        distances = edges[:, :, 3].reshape(-1, 1) / self.length_scale
        if self.unit:  # padded edges have no direction, and vanish with the distance
            vectors = vectors / torch.where(distances > 0, distances, 1.0)
        harmonics = self.harmonics(vectors)
        if self.unit:
            squares = 12.566370614359172 / (2 * self.degrees.to(torch.float64) + 1)
            harmonics = harmonics * torch.sqrt(squares).to(edges.dtype) * distances
        if self.divide:
            squares = (harmonics * harmonics).mean(dim=1, keepdim=True)
            harmonics = harmonics * torch.rsqrt(squares)
        features = self.norm(self.linear(harmonics))
        # not -1: with zero edges there would be nothing to infer it from
        features = features.view(edges.shape[0], edges.shape[1], features.shape[1])
        if self.keep_distance:
            features = features + self.cartesian(edges)
        return features

    @torch.no_grad()
    def silence_harmonics(self) -> None:
        """Make the harmonic part return zero, while its gradients stay alive.

        With a norm its gain and offset are zeroed, otherwise the linear map is: the
        embedding is then PET's own until the first step.
        """
        silenced = [self.linear] if isinstance(self.norm, nn.Identity) else [self.norm]
        for module in silenced:
            for parameter in module.parameters():
                parameter.zero_()
