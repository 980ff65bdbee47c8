"""How far any model is from equivariance, in one line: for scripts and test suites."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..messages import did_you_mean, quoted


if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ..groups import Group
    from ..models.engine import Block, Engine, Prepared

NAMES = ("Ii", "Oi", "Ti", "D2i")
"""Groups with inversion, as O(3) has it, the most thorough one first."""

COLUMNS = ("target", "rms", "maximum", "unit", "worst", "structures", "orientations")

MEMORY = 2 * 2**30
"""Bytes for one evaluation of many copies."""

MILLI = 1000.0


def equivariance_error(
    model: Any,
    structures: Any,
    group: "Group | str | None" = None,
    *,
    targets: Iterable[str] | None = None,
    block: "Block | None" = None,
    seed: int = 0,
    device: str = "cpu",
) -> "pd.DataFrame":
    """Measure how far the answers of a model are from equivariance.

    Every structure is rotated, and inverted, by all elements of a group. In the notation of
    e3nn, ``f(D(g) x)`` is compared with ``D(g) f(x)``. The default is the icosahedral group
    with inversion, ``Ii``, which has 120 elements. On average over frames it finds all of
    A² where deviations are of degree 5 or less, and at least 12/13 of any other degree.

    :param model: calculator of ASE, path of a checkpoint or an exported model, torch module
        of metatrain, or an :class:`Engine`; with ``block`` also a function or a torch
        module that takes points, as those of :class:`FunctionEngine`
    :param structures: path of a file that ASE reads, or structures; of a function also
        tensors ``(points, 3)``
    :param group: name of a group, in a random frame of its own for each structure:
        ``Ii`` (the default), ``Oi``, ``Ti`` or ``D2i`` with inversion, ``I``, ``O``, ``T``
        or ``D2`` without, ``i`` for inversion alone, or another name that
        :class:`SymmetrizedCalculator` knows; or a finite group, as it is. Without
        inversion, what a model does wrong under reflections is not seen
    :param targets: names of targets, None for all
    :param block: for a function: what it returns
    :param seed: of the frames
    :param device: of torch
    :raises ValueError: if the model cannot be evaluated, or an argument means nothing
    :return: one row per target. ``rms``: A, the root mean square deviation from the
        average over orientations, over structures, samples and components.
        ``maximum``: the largest component of ``D(g)⁻¹ f(D(g) x) - f(x)``. Components
        are Cartesian, of a stress all nine, and those of its irrep for others. ``unit``:
        meV/atom for energies, meV/A for forces, meV/A^3 for stresses. ``worst``: the
        structure with the maximum. ``structures``, ``orientations``: how many

    >>> from ase.build import molecule
    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import equivariance_error
    >>> table = equivariance_error(EMT(), molecule("C2H6"), "Ti", targets=["forces"])
    >>> table[["target", "unit", "orientations"]]
       target   unit  orientations
    0  forces  meV/A            24
    >>> bool(table.maximum[0] < 1e-9)
    True
    """
    import pandas as pd

    engine = _engine(model, targets, block, device)
    # a frame of its own for each structure
    found: dict[str, _Sums] = {}
    for index, structure in enumerate(_prepared(engine, structures)):
        matrices = _matrices(group, seed + index)
        parts: dict[str, dict[Block, torch.Tensor]] = {}
        for one, values in _evaluate(engine, structure, matrices).items():
            scale, unit = _unit(one, structure.n_atoms)
            found.setdefault(one.target, _Sums(unit, len(matrices)))
            parts.setdefault(one.target, {})[one] = _turned(one, values * scale, matrices)
        for target, deviations in parts.items():
            found[target].add(_components(deviations), structure.name)
    if not found:
        raise ValueError(
            "the model gives none of its targets for these structures: give others, or "
            "name other targets"
        )
    rows = [sums.row(target) for target, sums in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def assert_equivariant(
    model: Any,
    structures: Any,
    atol: float | Mapping[str, float],
    group: "Group | str | None" = None,
    **options: Any,
) -> "pd.DataFrame":
    """Assert that the answers of a model are equivariant: for test suites.

    As ``assert_equivariant`` of e3nn, it looks at the largest deviation of a component.

    :param model: see :func:`equivariance_error`
    :param structures: the same
    :param atol: largest ``maximum`` that is allowed, in meV/atom, meV/A and meV/A^3: one
        for all targets, or one for each by its name
    :param group: see :func:`equivariance_error`; ``Ii``, with inversion, by default
    :param options: ``targets``, ``block``, ``seed`` and ``device``, see
        :func:`equivariance_error`
    :raises AssertionError: with a table of what failed
    :raises ValueError: see :func:`equivariance_error`; if a tolerance is no number that
        is zero or more, or if one is missing
    :return: the table of :func:`equivariance_error`

    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from metatrain_symmetry import assert_equivariant
    >>> table = assert_equivariant(EMT(), bulk("Cu"), atol=1e-6, group="Ti")
    >>> assert_equivariant("model.ckpt", "molecules.xyz", atol=1e-6, group="D2i")
    Traceback (most recent call last):
    AssertionError: 1 of 1 target is not equivariant ...
    """
    from pandas import DataFrame

    _check_limits(atol)
    table: DataFrame = equivariance_error(model, structures, group, **options)
    limits = _limits(atol, list(table.target))
    failed = table.assign(atol=limits)[table.maximum.to_numpy() > limits]
    if len(failed):
        n = len(table)
        verb = "is" if n == 1 else "are"
        columns = ["target", "rms", "maximum", "atol", "unit", "worst"]
        shown = failed[columns].to_string(index=False, float_format="{:.4g}".format)
        raise AssertionError(
            f"{len(failed)} of {n} target{'s' * (n != 1)} {verb} not equivariant within "
            f"atol, over {table.orientations.max()} rotations and inversions of "
            f"{table.structures.max()} structure{'s' * bool(table.structures.max() > 1)}:\n"
            f"{shown}"
        )
    return table


def _check_limits(atol: Any) -> None:
    """Refuse what is no tolerance before anything is evaluated."""
    for value in atol.values() if isinstance(atol, Mapping) else [atol]:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < float("inf"):
            raise ValueError(
                f"atol is {quoted(atol)}: give a number from zero, or one for each target, "
                "in meV/atom, meV/A and meV/A^3"
            )


def _limits(atol: float | Mapping[str, float], names: list[str]) -> list[float]:
    """Tolerance of each target."""
    if not isinstance(atol, Mapping):
        return [float(atol)] * len(names)
    for name in atol:
        if name not in names:
            raise ValueError(
                f"atol names '{name}', which is not measured: {did_you_mean(name, names)}"
            )
    for name in names:
        if name not in atol:
            raise ValueError(
                f"atol says nothing of '{name}': give it a tolerance, or name the targets"
            )
    return [float(atol[name]) for name in names]


def _engine(
    model: Any, targets: Iterable[str] | None, block: "Block | None", device: str
) -> "Engine":
    """Whatever evaluates the model."""
    from ..models import Block, FunctionEngine, open_engine

    if isinstance(model, type):
        raise ValueError(
            f"{quoted(model)} is a class: give an object that was made, with its arguments"
        )
    if block is None:
        if hasattr(model, "evaluate") and hasattr(model, "prepare"):
            if targets is not None:
                raise ValueError("an engine has its targets: leave out targets")
            return model
        if callable(model) and not _known(model):
            raise ValueError(
                f"{quoted(model)} is a function or a module that we do not know: say with "
                "block=Block(...) what it returns"
            )
        return open_engine(model, targets, device=device)
    if not isinstance(block, Block) or not callable(model):
        raise ValueError(
            "block says what a function returns: give a function and a Block, such as "
            "Block('dipole', Irrep(1))"
        )
    if targets is not None:
        raise ValueError("a function has one target, its block: leave out targets")
    return FunctionEngine({block: model}, device=device)


def _known(model: Any) -> bool:
    """Whether a module has an interface of metatrain, or is exported, or a calculator."""
    from metatomic.torch import is_atomistic_model
    from torch.nn import Module

    from ..models.ase_calculator import is_calculator

    if isinstance(model, Module):
        return hasattr(model, "dataset_info") or is_atomistic_model(model)
    return is_calculator(model)


def _prepared(engine: "Engine", structures: Any) -> "Iterable[Prepared]":
    """Structures for the engine, one after the other."""
    import torch

    from ..data import read_structures

    several = structures if isinstance(structures, Sequence) else [structures]
    if isinstance(several, list | tuple) and any(
        isinstance(one, torch.Tensor) for one in several
    ):
        for index, points in enumerate(several):
            yield engine.prepare(points, f"structure {index}")
        return
    for one in read_structures(structures, engine):
        yield engine.prepare(one.system, one.name)


def _matrices(group: "Group | str | None", seed: int) -> "torch.Tensor":
    """Elements of the group."""
    from ..groups import Group, group_names, random_frame

    if isinstance(group, Group):
        return group.elements(seed)
    if group is None:
        group = NAMES[0]
    known = group_names().get(group) if isinstance(group, str) else None
    if known is None or known.size == 1:
        raise ValueError(
            f"group is {quoted(group)}: give one of {', '.join(NAMES)}, the same without "
            "the final i, a FiniteGroup, or leave it out"
        )
    return random_frame(seed)(known.elements)


def _evaluate(
    engine: "Engine", structure: "Prepared", matrices: "torch.Tensor"
) -> "dict[Block, torch.Tensor]":
    """Values for the structure as it is, and for all copies, on the CPU in float64."""
    import torch

    from ..models import sweep

    orientations = torch.cat([torch.eye(3, dtype=torch.float64)[None], matrices])
    parts: dict[Block, list[torch.Tensor]] = {}
    for _, values in sweep(engine, structure, orientations, engine.blocks, [], MEMORY):
        for block, part in values.targets.items():
            parts.setdefault(block, []).append(part.detach().cpu().to(torch.float64))
    return {block: torch.cat(several) for block, several in parts.items()}


def _unit(block: "Block", n_atoms: int) -> tuple[float, str]:
    """Factor and unit in which an error is said: milli-eV, per atom for energies."""
    from ..models.irrep_blocks import grows

    if not block.unit.startswith("eV"):
        return 1.0, block.unit
    if block.unit == "eV" and grows(block.target, block.sample_kind):
        return MILLI / n_atoms, "meV/atom"
    return MILLI, f"m{block.unit}"


def _turned(
    block: "Block", values: "torch.Tensor", matrices: "torch.Tensor"
) -> "torch.Tensor":
    """``D(g)⁻¹ f(D(g) x) - f(x)`` of ``(1 + n, samples, 2 λ + 1, properties)``."""
    import torch

    from ..groups import representation

    turn = representation(block.irrep, matrices)
    return torch.einsum("gmn,gsmp->gsnp", turn, values[1:]) - values[:1]


def _components(deviations: "dict[Block, torch.Tensor]") -> "list[torch.Tensor]":
    """Components of a target, with the elements of the group first."""
    from ..groups import Irrep
    from ..models.irrep_blocks import cartesian_matrix, is_stress

    parts = {one.irrep: part for one, part in deviations.items()}
    is_matrix = set(parts) == {Irrep(0), Irrep(2)} and len(deviations) == 2
    if is_matrix and all(is_stress(one.target) for one in deviations):
        scalar, tensor = (parts[Irrep(i)].movedim(-1, -2) for i in (0, 2))
        return [cartesian_matrix(scalar, tensor)]
    return list(deviations.values())


@dataclass
class _Sums:
    """What is known of a target.

    :param unit: of the deviations
    :param orientations: elements of the group
    """

    unit: str
    orientations: int
    squares: float = 0.0
    components: int = 0
    maximum: float = -1.0
    worst: str = ""
    names: set[str] = field(default_factory=set)

    def add(self, deviations: "list[torch.Tensor]", name: str) -> None:
        """Take one structure.

        :param deviations: of :func:`_components`, from the values as given
        :param name: of the structure
        """
        for back in deviations:
            # about the mean, from differences: large energies would cancel badly
            spread = back - back.mean(dim=0)
            self.squares += float(spread.square().mean(dim=0).sum())
            self.components += spread[0].numel()
            largest = float(back.abs().max()) if back.numel() else 0.0
            if largest > self.maximum:
                self.maximum, self.worst = largest, name
        self.names.add(name)

    def row(self, target: str) -> dict[str, Any]:
        """Row of the table.

        :param target: its name
        :return: values by column
        """
        rms = (self.squares / max(self.components, 1)) ** 0.5
        values = (target, rms, self.maximum, self.unit, self.worst, len(self.names),
                  self.orientations)  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))
