"""What an engine is: it evaluates a model on rotated copies of a structure.

The rooms above know this protocol only. Rotations are any orthogonal 3x3 matrices, so
that an engine serves O(3) and its finite subgroups alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from metatomic.torch import System

from ..groups.irreps import Irrep


@dataclass(frozen=True)
class Block:
    """One irrep block of one target.

    :param target: name of the target, such as ``energy``
    :param irrep: how the block transforms
    :param sample_kind: ``system`` or ``atom``
    :param unit: unit of the values, empty if unknown
    :param detail: what distinguishes blocks of the same target and irrep, such as
        ``center_type=6``; empty where there is nothing to distinguish
    """

    target: str
    irrep: Irrep
    sample_kind: str = "system"
    unit: str = ""
    detail: str = ""

    @property
    def name(self) -> str:
        """Target with the detail, for tables and figures."""
        return f"{self.target}[{self.detail}]" if self.detail else self.target


@dataclass
class Prepared:
    """A structure, ready to be rotated.

    :param name: how messages call it
    :param system: with the neighbour lists of the model, unrotated
    :param n_atoms: number of atoms
    :param n_edges: number of entries of the neighbour list
    :param data: what the engine keeps for itself
    """

    name: str
    system: System
    n_atoms: int
    n_edges: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Values:
    """What a model says about ``n`` rotated copies, in the dtype of the engine.

    :param targets: for each block ``(n, samples, 2 λ + 1, properties)``, in the frame of
        the rotated copy, spherical components ordered ``o3_mu = -λ ... λ``, in the
        target's unit, without the composition baseline
    :param layers: for each probe ``(n, samples, channels)``; the samples of a probe of
        edges are the real edges, those of a probe of nodes the atoms; probes that are
        the same tensor of the model share one here
    """

    targets: dict[Block, torch.Tensor]
    layers: dict[str, torch.Tensor]


class Engine(Protocol):
    """Evaluates a model on rotated copies of a structure.

    ``blocks`` are those of the targets asked for, ``probes`` the module paths, after
    groups such as ``EE`` have been expanded; both are fixed when the engine is made.
    ``bases`` holds, for probes that are known to fill a subspace of their channels only,
    an orthonormal basis of it, ``(channels, rank)``: components along it keep all norms
    and inner products.
    """

    blocks: list[Block]
    probes: list[str]
    dtype: torch.dtype
    device: torch.device
    bases: Mapping[str, torch.Tensor]

    def prepare(self, system: System, name: str = "structure") -> Prepared:
        """Do once what does not depend on the orientation."""

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory that one rotated copy takes, in bytes."""

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate copies rotated by ``matrices`` (``(n, 3, 3)``, float64)."""

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Full prediction in the given frame: with composition, as ``mtt eval`` has it.

        ``(samples, 2 λ + 1, properties)`` for each of ``blocks``.
        """
