r"""Forms of a geometry embedding that are only studied, and ``mtt train`` with one.

A form is a sum over degrees in which vectors and every higher degree have a size of their
own, where the product has one size for all:

.. math::

    e(\mathbf r) = W_0\,[g\,\mathbf r,\ r] + b
        + \sum_{\ell \ge \ell_0} c_\ell\, \gamma_\ell\, \rho(r)\, W_\ell\,
          \hat y_\ell(\hat{\mathbf r}),
    \qquad |\hat y_\ell| = 1,

with fixed sizes :math:`c_\ell`, gates :math:`\gamma_\ell` that are learned (or one), and
:math:`\rho = 1` or :math:`r`. A model with a form is trained, exported and loaded as any
other, in processes that know the form's name::

    python benchmarks/studies/_embeddings.py NAME train options.yaml -o model.pt
"""

# no postponed annotations: TorchScript reads them
import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from metatrain_symmetry.pet_ssh.modules.harmonics import SolidHarmonics


@dataclass(frozen=True)
class Form:
    """What decides a geometry embedding.

    :param l_max: largest degree
    :param first: lowest degree of the harmonics
    :param sizes: root mean square of a feature from each degree, at the start
    :param fixed: the sizes are factors of the harmonics, which slow their learning as well;
        otherwise they are those of the weights at the start
    :param eager: factor of the harmonics by which their weights are smaller at the start:
        nothing changes then, but Adam changes their part so many times faster
    :param vectors: factor of x, y and z in PET's own map; None for no such map
    :param bare: this map starts without distance and bias
    :param gate: learned factor of each degree, its value at the start; None for none
    :param times_r: multiply harmonics with the distance, in the unit of the model
    :param layer_norm: after the sum; needs no map of PET
    """

    l_max: int = 4
    first: int = 2
    sizes: float | tuple[float, ...] = 1.0
    fixed: bool = True
    eager: float = 1.0
    vectors: float | None = 1.0
    bare: bool = False
    gate: float | None = None
    times_r: bool = False
    layer_norm: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.sizes, tuple) and len(self.sizes) != len(self.degrees):
            raise ValueError(
                f"a form with degrees {self.first} to {self.l_max} needs as many sizes, "
                f"but got {len(self.sizes)}"
            )

    @property
    def degrees(self) -> range:
        """Degrees of the harmonics."""
        return range(self.first, self.l_max + 1)

    @property
    def size(self) -> list[float]:
        """Size of each degree."""
        if isinstance(self.sizes, tuple):
            return list(self.sizes)
        return [self.sizes] * len(self.degrees)


SHARED = 1 / math.sqrt(3)
"""Size of each of three degrees whose sum has size one."""
FORMS: dict[str, Form] = {
    # as on a branch of metatrain, August 2026: a map of 25 columns as torch makes it
    "unit": Form(first=0, sizes=1 / math.sqrt(75), fixed=False, vectors=None,
                 times_r=True, layer_norm=True),
    "degrees": Form(first=1, sizes=0.5),
    "apart": Form(sizes=SHARED),
    "small": Form(sizes=0.1),
    "medium": Form(sizes=0.3),
    "falling": Form(sizes=(0.3, 0.1, 0.03)),
    "eager": Form(sizes=0.1, fixed=False, eager=5.0),
    "gates": Form(gate=0.1),
    "silent": Form(gate=0.0),
    "zeroed": Form(sizes=0.0, fixed=False),
    "silent, bare": Form(gate=0.0, bare=True),
    "strong, apart": Form(sizes=SHARED, vectors=8.0),
}  # fmt: skip
"""By name. Degrees go to 4, in all: more are not needed for λ = 8."""


class FormEmbedding(nn.Module):
    """The embedding of a form; stands where PET has its map of ``[x, y, z, r]``.

    :param d_pet: number of features of an edge
    :param form: which one
    """

    columns: torch.Tensor
    inputs: torch.Tensor
    degree: torch.Tensor

    def __init__(self, d_pet: int, form: Form) -> None:
        super().__init__()
        self.first_column = form.first**2
        self.times_r = form.times_r
        self.has_map = form.vectors is not None
        self.has_gates = form.gate is not None
        self.harmonics = SolidHarmonics(form.l_max)
        self.cartesian = nn.Linear(4, d_pet) if self.has_map else nn.Identity()
        if form.bare:
            _start_bare(self.cartesian)
        gain = form.vectors or 1.0
        self.register_buffer("inputs", torch.tensor([gain, gain, gain, 1.0]), False)
        counts = torch.tensor([2 * l + 1 for l in form.degrees])
        degree = torch.repeat_interleave(torch.arange(len(counts)), counts)
        # a block of unit norm, and weights of mean square one: a feature of size one
        columns = form.eager * torch.sqrt(4 * math.pi / counts.float())[degree]
        sizes = torch.tensor(form.size)[degree]
        self.linear = nn.Linear(len(degree), d_pet, bias=not self.has_map)
        with torch.no_grad():
            self.linear.weight.uniform_(-math.sqrt(3), math.sqrt(3))
            self.linear.weight.div_(form.eager)
            if not form.fixed:
                self.linear.weight.mul_(sizes)
        self.register_buffer("degree", degree, False)
        self.register_buffer("columns", columns * sizes if form.fixed else columns, False)
        start = 1.0 if form.gate is None else form.gate
        self.gates = nn.Parameter(torch.full((len(counts),), start))
        self.gates.requires_grad_(self.has_gates)
        self.norm = nn.LayerNorm(d_pet) if form.layer_norm else nn.Identity()

    def forward(self, edges: torch.Tensor) -> torch.Tensor:
        """Embed a batch of edges.

        :param edges: ``[x, y, z, r]`` of every edge, in the length unit of the model,
            shape ``(n_atoms, max_neighbors, 4)``; both may be zero
        :return: shape ``(n_atoms, max_neighbors, d_pet)``
        """
        flat = edges.reshape(-1, 4)
        distances = flat[:, 3:]
        # a padded edge has no direction: zero, not NaN
        directions = flat[:, :3] / distances.clamp(min=1e-6)
        harmonics = self.harmonics(directions)[:, self.first_column :] * self.columns
        if self.times_r:
            harmonics = harmonics * distances
        if self.has_gates:
            harmonics = harmonics * self.gates[self.degree]
        features = self.linear(harmonics)
        if self.has_map:
            features = features + self.cartesian(flat * self.inputs)
        features = self.norm(features)
        return features.view(edges.shape[0], edges.shape[1], features.shape[1])


@torch.no_grad()
def _start_bare(cartesian: nn.Module) -> None:
    """Silence distance and bias of PET's map, which remain to be learned."""
    assert isinstance(cartesian, nn.Linear)
    cartesian.weight[:, 3].zero_()
    cartesian.bias.zero_()


@contextlib.contextmanager
def used(form: Form | None) -> Iterator[None]:
    """Build and load ``pet_ssh`` models with harmonics in a form.

    :param form: which one, None to change nothing
    """
    from metatrain_symmetry.pet_ssh import model

    def embedding(d_pet: int, **_: Any) -> nn.Module:
        assert form is not None
        return FormEmbedding(d_pet, form)

    before = model.GeometryEmbedding
    if form is not None:
        model.GeometryEmbedding = embedding  # type: ignore[assignment]
    try:
        yield
    finally:
        model.GeometryEmbedding = before


def definition(name: str) -> dict[str, Any]:
    """All that decides a form, to tell trainings apart.

    :param name: of the form
    """
    return asdict(FORMS[name])


def main() -> None:
    """``mtt`` with a form, whose name is the first argument."""
    from metatrain_symmetry.__main__ import main as run

    with used(FORMS[sys.argv.pop(1)]):
        run()


if __name__ == "__main__":
    main()
