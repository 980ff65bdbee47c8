r"""Irreducible representations of O(3), named as the field names them.

``(o3_lambda, o3_sigma)``: dimension ``2 λ + 1``; ``σ = +1`` is proper (parity
``(-1)^λ``), ``σ = -1`` pseudo. Science: section II of arXiv:2603.24638.
"""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Irrep:
    """An irrep of O(3).

    :param o3_lambda: degree, at least 0
    :param o3_sigma: 1 (proper) or -1 (pseudo)
    :raises ValueError: for anything else

    >>> from metatrain_symmetry import Irrep
    >>> str(Irrep(2, -1)), Irrep(2, -1).dimension, Irrep(2, -1).parity
    ('(2,-)', 5, -1)
    """

    o3_lambda: int
    o3_sigma: int = 1

    def __post_init__(self) -> None:
        if self.o3_lambda < 0 or self.o3_sigma not in (-1, 1):
            raise ValueError(
                f"there is no irrep (λ={self.o3_lambda}, σ={self.o3_sigma}): "
                "λ is 0 or larger, σ is 1 or -1"
            )

    @property
    def dimension(self) -> int:
        """Number of components, ``2 λ + 1``."""
        return 2 * self.o3_lambda + 1

    @property
    def parity(self) -> int:
        """What inversion multiplies it by, ``σ (-1)^λ``."""
        return self.o3_sigma * (-1) ** self.o3_lambda

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"lambda": self.o3_lambda, "sigma": self.o3_sigma}

    @property
    def degree(self) -> int:
        """λ: how far out it lies."""
        return self.o3_lambda

    @property
    def pseudo(self) -> bool:
        """Whether σ is -1."""
        return self.o3_sigma == -1

    def __str__(self) -> str:
        return f"({self.o3_lambda},{'+' if self.o3_sigma == 1 else '-'})"


def irreps_up_to(lambda_max: int) -> tuple[Irrep, ...]:
    """All irreps of O(3) up to a degree: (0,+), (0,-), (1,+), ...

    :param lambda_max: largest degree
    :return: ``2 (lambda_max + 1)`` irreps
    """
    return tuple(
        Irrep(degree, sigma) for degree in range(lambda_max + 1) for sigma in (1, -1)
    )
