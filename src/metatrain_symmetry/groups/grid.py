r"""The product grid on O(3) or SO(3), and its fast transform.

A Lebedev rule on the sphere (α, β) times ``K`` equispaced angles γ (the construction
of ``metatomic.torch.o3.SymmetrizedModel``). With both of degree t, products of Wigner
matrix elements of total degree t are integrated exactly, so coefficients up to
``λ = t / 2`` are those of an orthonormal system: ``Σ B <= <|h|²>``, with equality for a
function of that band.

The transform uses ``D^λ_mn = e^{-imα} d^λ_mn(β) e^{-inγ}``: a Fourier transform along γ,
one along the fourfold axis that every Lebedev rule has, then one product per frequency.
The coefficients of the two cosets {R} and {-R} combine into irreps of O(3).
"""

from .fast_transform import FastTransform
from .orbit import TransformedOrbit
from .product_rule import ProductRule


class O3Grid(ProductRule, TransformedOrbit):
    """Quadrature over O(3), or over SO(3): an orbit.

    :param degree: integration degree t, 0 to 131
    :param lambda_max: largest degree resolved, t // 2 at most and by default
    :param improper: O(3) if true, SO(3) if false
    :param frame: in which the elements are taken, None for that of the rule
    :raises ValueError: if the degree or ``lambda_max`` is out of range
    """

    transform_type = FastTransform

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        n = self.lambda_max + 1
        coefficients = len(self.signs) * n * (4 * n * n - 1) // 3
        largest = max(sum(len(r.alpha) for r in batch) for batch in self.batches)
        return 8 * (coefficients + largest * (2 * self.lambda_max + 1))
