r"""Matrices of an irrep of a finite group, from its characters alone.

The regular representation holds every irrep as often as it has components. The projector
``P = d/|G| Σ_g χ(g)^* L(g)`` cuts out all copies of one; a random Hermitian matrix that
commutes with the group tells the copies apart, and its eigenvectors span one of them.
"""

import torch


def irrep_matrices(
    products: torch.Tensor, characters: torch.Tensor, dimension: int
) -> torch.Tensor:
    """Compute unitary matrices of an irrep, orthogonal ones where characters are real.

    :param products: index of ``g⁻¹ g'`` for each pair of elements, shape ``(n, n)``
    :param characters: of the irrep, shape ``(n,)``
    :param dimension: d
    :return: dtype of the characters, shape ``(n, d, d)``
    """
    if dimension == 1:
        return characters[:, None, None]
    n, dtype = len(products), characters.dtype
    # (L(g) v)(h) = v(g⁻¹ h)
    regular = torch.nn.functional.one_hot(products, n).to(dtype)
    project = dimension / n * torch.einsum("g,gab->ab", characters.conj(), regular)
    random = torch.randn(n, n, dtype=dtype, generator=torch.Generator().manual_seed(0))
    shuffled = regular @ (random + random.mH) @ regular.transpose(1, 2)
    # the largest eigenvalues are those of the copies: elsewhere it is zero
    inside = project @ (shuffled.mean(dim=0)) @ project
    values, vectors = torch.linalg.eigh((inside + inside.mH) / 2)
    copy = vectors[:, values.abs().argsort(descending=True)[:1]]
    # all images of one vector span its copy
    images = torch.einsum("gab,b->ag", regular, copy[:, 0])
    basis = torch.linalg.svd(images, full_matrices=False).U[:, :dimension]
    return torch.einsum("am,gab,bn->gmn", basis.conj(), regular, basis)
