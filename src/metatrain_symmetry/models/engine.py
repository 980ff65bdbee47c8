"""What an engine is: it evaluates a model on rotated copies of a structure.

The rooms above know this protocol only. Rotations are any orthogonal 3x3 matrices, so
that an engine serves O(3) and its finite subgroups alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

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

    >>> from metatrain_symmetry import Block, Irrep
    >>> Block("dipole", Irrep(1), "system", "e*A").irrep.dimension
    3
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

    Engines return a subclass with what they keep for themselves.

    :param name: how messages call it
    :param system: with the neighbour lists of the model, unrotated
    :param n_atoms: number of atoms
    :param n_edges: number of entries of the neighbour list

    >>> from ase.build import molecule
    >>> from metatrain_symmetry import open_engine, read_systems
    >>> engine = open_engine("model.ckpt")
    >>> ((_, system),) = read_systems(molecule("H2O"), engine)
    >>> structure = engine.prepare(system, "water")
    >>> structure.n_atoms, structure.n_edges
    (3, 6)
    """

    name: str
    system: System
    n_atoms: int
    n_edges: int


S = TypeVar("S", bound=Prepared)


def prepared_as(structure: Prepared, kind: type[S]) -> S:
    """Look at a structure as what an engine made of it.

    :param structure: as given to the engine
    :param kind: what the ``prepare`` of that engine returns
    :raises TypeError: if another engine prepared it
    :return: the same object
    """
    if not isinstance(structure, kind):
        raise TypeError(
            f"{structure.name} is a {type(structure).__name__}, and this engine takes a "
            f"{kind.__name__}: prepare the structure with the engine that evaluates it"
        )
    return structure


@dataclass
class Values:
    """What a model says about ``n`` rotated copies, in the dtype of the engine.

    :param targets: for each block ``(n, samples, 2 λ + 1, properties)``, in the frame of
        the rotated copy, spherical components ordered ``o3_mu = -λ ... λ``, in the
        target's unit, without the composition baseline
    :param layers: for each probe ``(n, samples, channels)``; the samples of a probe of
        edges are the real edges, those of a probe of nodes the atoms; probes that are
        the same tensor of the model share one here

    >>> import torch
    >>> from ase.build import molecule
    >>> from metatrain_symmetry import open_engine, read_systems
    >>> engine = open_engine("model.ckpt", probes=["EE"])
    >>> ((_, system),) = read_systems(molecule("H2O"), engine)
    >>> rotations = torch.eye(3, dtype=torch.float64).repeat(5, 1, 1)
    >>> structure = engine.prepare(system)
    >>> values = engine.evaluate(structure, rotations, engine.blocks, engine.probes)
    >>> [tuple(part.shape) for part in values.targets.values()]
    [(5, 1, 1, 1)]
    >>> {path: part.shape[:2] for path, part in values.layers.items()}
    {'gnn_layers.0.compress': torch.Size([5, 6]), ...}
    """

    targets: dict[Block, torch.Tensor]
    layers: dict[str, torch.Tensor]


class Engine(Protocol):
    """Evaluates a model on rotated copies of a structure.

    What it can be asked for is fixed when it is made. A new kind of model needs a class
    with these methods, and nothing else:

    >>> import torch
    >>> from metatrain_symmetry import Block, Irrep, Prepared, Settings, Values, analyze
    >>> class Tilted:
    ...     dtype, device = torch.float64, torch.device("cpu")
    ...     blocks, probes, bases = [Block("height", Irrep(0))], [], {}
    ...     def prepare(self, system, name="structure"):
    ...         return Prepared(name, system, len(system), 0)
    ...     def bytes_per_rotation(self, structure, probes):
    ...         return 100 * structure.n_atoms
    ...     def evaluate(self, structure, matrices, blocks, probes):
    ...         points = structure.system.positions @ matrices.transpose(1, 2)
    ...         size = points.square().sum(dim=(1, 2)) + 0.1 * points[:, 0, 2]
    ...         return Values({self.blocks[0]: size[:, None, None, None]}, {})
    ...     def predict(self, structure):
    ...         unrotated = torch.eye(3, dtype=torch.float64)[None]
    ...         values = self.evaluate(structure, unrotated, self.blocks, [])
    ...         return {block: part[0] for block, part in values.targets.items()}
    >>> from ase.build import molecule
    >>> from metatomic.torch import systems_to_torch
    >>> engine = Tilted()
    >>> water = systems_to_torch(molecule("H2O"), dtype=torch.float64)
    >>> settings = Settings(lambda_max=2, estimator="grid")
    >>> data = [engine.prepare(water)]
    >>> report = analyze(engine, data, settings=settings, progress=False)
    >>> report.characters[["channel", "share"]].query("share > 1e-9").channel.tolist()
    ['(0,+)', '(1,+)']
    """

    dtype: torch.dtype
    device: torch.device

    @property
    def blocks(self) -> list[Block]:
        """Those of the targets asked for."""

    @property
    def probes(self) -> list[str]:
        """Paths of layers, after groups such as ``EE`` have been expanded."""

    @property
    def bases(self) -> Mapping[str, torch.Tensor]:
        """Subspaces, for probes that are known to fill one of their channels only.

        An orthonormal basis of each, ``(channels, rank)``: components along it keep all
        norms and inner products.
        """

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
