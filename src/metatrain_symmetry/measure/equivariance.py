r"""Equivariance error A of one block on one structure.

.. math::

    A^2 = \langle |f(gx)|^2 \rangle - |\langle \rho(g)^{-1} f(gx) \rangle|^2

(arXiv:2603.24638, equation for A; the second form). Where the mean is large that
difference cancels, so sums are taken about the first value rotated back, in float64.

On replicates, such as independent random circles r of means ``m_r`` and mean squared
deviations ``w_r``, the unbiased estimate is ``A² = mean_r w_r + Σ_r |m_r - m|² / (R - 1)``:
the second term is what the deviations within a replicate miss.
"""

from dataclasses import dataclass

import torch

from .errors import widening


@dataclass
class Equivariance:
    """What the orbit of one structure says about one block.

    :param squared: A² per component, float64, shape ``(samples, properties)``
    :param norm2: average of the squared values per component, same shape
    :param replicates: A² over samples and properties as each replicate says, float64,
        shape ``(replicates,)``; their mean is that of ``squared``
    :param mean: values averaged over orientations, float64, shape
        ``(samples, 2 λ + 1, properties)``
    :param variance: of the mean of ``squared``, where it is known otherwise; NaN if not
    :param shared: relative standard error of A² that all structures have in common; part
        of ``variance``
    """

    squared: torch.Tensor
    norm2: torch.Tensor
    replicates: torch.Tensor
    mean: torch.Tensor
    variance: float = float("nan")
    shared: float = 0.0

    @property
    def A(self) -> float:
        """Root mean square over samples, properties and components."""
        return float(self.squared.mean().clamp(min=0).sqrt())

    @property
    def A_stderr(self) -> float:
        """Standard error of A; NaN where it is not known."""
        n = len(self.replicates)
        variance = self.variance
        if n > 1:
            variance = float(self.replicates.var()) / n * widening(n - 1) ** 2
        if variance == 0:
            return 0.0
        return variance**0.5 / (2 * self.A) if self.A > 0 else float("nan")

    @property
    def norm(self) -> float:
        """Root mean square of the values."""
        return float(self.norm2.mean().sqrt())

    @property
    def per_sample(self) -> torch.Tensor:
        """A of each sample, shape ``(samples,)``."""
        return self.squared.mean(dim=1).clamp(min=0).sqrt()


class EquivarianceSums:
    """Accumulates the first two moments of the values rotated back.

    :param reference: about which to take them, None for the first value
    """

    def __init__(self, reference: torch.Tensor | None = None) -> None:
        self.reference = reference
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
        return pooled([self])

    def moments(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean about the reference, squared deviation from it, squared norm.

        :raises RuntimeError: if nothing was added
        :return: shapes ``(samples, 2 λ + 1, properties)`` and, per component, twice
            ``(samples, properties)``
        """
        if self.reference is None:
            raise RuntimeError("no values were added: there is no orbit to average over")
        dimension = self.reference.shape[1]
        first = torch.as_tensor(self.first) / self.weight
        second = torch.as_tensor(self.second) / self.weight
        norm2 = torch.as_tensor(self.norm2) / self.weight
        return (
            first.cpu(),
            ((second - first.square().sum(dim=1)) / dimension).cpu(),
            (norm2 / dimension).cpu(),
        )


def pooled(sums: list[EquivarianceSums]) -> Equivariance:
    """Combine replicates, or the one sum of a quadrature.

    :param sums: one for each replicate, all about the same reference
    :raises RuntimeError: if nothing was added to one of them
    :return: A² and the squared norm
    """
    parts = [part.moments() for part in sums]
    means, within, norm2 = (torch.stack(part) for part in zip(*parts, strict=True))
    if len(sums) > 1:
        between = (means - means.mean(dim=0)).square().mean(dim=2)
        within = within + between * (len(sums) / (len(sums) - 1))
    replicates = within.flatten(1).mean(dim=1)
    reference = sums[0].reference
    assert reference is not None  # moments() has looked
    mean = reference.cpu() + means.mean(dim=0)
    return Equivariance(within.mean(dim=0), norm2.mean(dim=0), replicates, mean)
