r"""Equivariance error A of one block on one structure.

.. math::

    A^2 = \langle |f(gx)|^2 \rangle - |\langle \rho(g)^{-1} f(gx) \rangle|^2

(arXiv:2603.24638, equation for A; the second form). Where the mean is large that
difference cancels, so sums are taken about the first value turned back, in float64.
"""

from dataclasses import dataclass

import torch


@dataclass
class Equivariance:
    """What the orbit of one structure says about one block.

    :param squared: A² per component, float64, shape ``(samples, properties)``
    :param norm2: average of the squared values per component, same shape
    """

    squared: torch.Tensor
    norm2: torch.Tensor

    @property
    def A(self) -> float:
        """Root mean square over samples, properties and components."""
        return float(self.squared.mean().clamp(min=0).sqrt())

    @property
    def norm(self) -> float:
        """Root mean square of the values."""
        return float(self.norm2.mean().sqrt())

    @property
    def per_sample(self) -> torch.Tensor:
        """A of each sample, shape ``(samples,)``."""
        return self.squared.mean(dim=1).clamp(min=0).sqrt()


class EquivarianceSums:
    """Accumulates the first two moments of the values turned back."""

    def __init__(self) -> None:
        self.reference: torch.Tensor | None = None
        self.weight = 0.0
        self.first: torch.Tensor | float = 0.0
        self.second: torch.Tensor | float = 0.0
        self.norm2: torch.Tensor | float = 0.0

    def add(
        self, values: torch.Tensor, matrices: torch.Tensor, weights: torch.Tensor
    ) -> None:
        """Take values at some group elements.

        :param values: any float dtype, shape ``(n, samples, 2 λ + 1, properties)``
        :param matrices: ``ρ(g)``, orthogonal, float64, shape ``(n, 2 λ + 1, 2 λ + 1)``
        :param weights: float64, shape ``(n,)``
        """
        values = values.to(torch.float64)
        back = torch.einsum("gmn,gsmp->gsnp", matrices, values)
        if self.reference is None:
            self.reference = back[0].clone()
        centred = back - self.reference
        self.weight += float(weights.sum())
        self.first = self.first + torch.einsum("g,gsmp->smp", weights, centred)
        self.second = self.second + torch.einsum("g,gsmp->sp", weights, centred.square())
        self.norm2 = self.norm2 + torch.einsum("g,gsmp->sp", weights, values.square())

    def finish(self) -> Equivariance:
        """Combine the moments.

        :raises RuntimeError: if nothing was added
        :return: A² and the squared norm
        """
        if self.reference is None:
            raise RuntimeError("no values were added: there is no orbit to average over")
        first = torch.as_tensor(self.first) / self.weight
        second = torch.as_tensor(self.second) / self.weight
        norm2 = torch.as_tensor(self.norm2) / self.weight
        dimension = self.reference.shape[1]
        squared = (second - first.square().sum(dim=1)) / dimension
        return Equivariance(squared.cpu(), (norm2 / dimension).cpu())
