"""What asymmetry means for relaxations: the verdict, for any model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..messages import quoted, reason
from .equivariance import NAMES, _engine, _evaluate, _matrices


if TYPE_CHECKING:
    import ase
    import torch

    from ..data.labelled import LabelledStructure
    from ..groups import Group
    from ..measure.budget import Clock
    from ..measure.preferred import Preference
    from ..measure.results import Report
    from ..measure.verdict import Subject, Verdict
    from ..models.engine import Block, Engine, Prepared

EXACT = 1e-7
"""Å to which a refined copy stands for a structure: else both are evaluated."""

ROUNDING = 1e-14
"""Of the largest force: what float64 leaves, at the least, of sums that are zero."""

IN_A_REPORT = 4
"""Structures of a report that get a verdict."""

MORE = 0.1
"""Share of the budget of a report that its verdict may take on top."""


def symmetry_verdict(
    model: Any,
    structures: Any,
    fmax: float | None = None,
    *,
    symprec: float = 1e-3,
    group: "Group | str | None" = None,
    targets: Iterable[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> "Verdict":
    """Say what the asymmetry of a model means for relaxations of some structures.

    Forces and stress, in the given orientation and on rotated copies, are compared with
    what symmetry allows: no net force, no torque on a molecule, and nothing that breaks
    the space group or point group that the structure has. Where there are labels, they say
    how much of the squared error is asymmetry. Forces that move or turn a structure as a
    whole break no symmetry and are counted once, as net force and torque. What breaks the
    symmetry is measured on a copy that has it exactly.

    :param model: calculator of ASE, path of a checkpoint or an exported model, torch module
        of metatrain, or an :class:`Engine`
    :param structures: path of a file that ASE reads or of an options file, or structures;
        what they carry as energy, forces and stress are labels
    :param fmax: largest force on an atom that your relaxations leave, in eV/Å
    :param symprec: tolerance in Å at which the symmetry of a structure is found
    :param group: orientations, see :func:`equivariance_error`; only ``Ii``, the default,
        shows which directions of the laboratory a model prefers
    :param targets: names of targets, None for all
    :param seed: of the frames
    :param device: of torch
    :raises ValueError: if the model cannot be evaluated, or an argument means nothing
    :return: tables, and one sentence per finding

    >>> from ase.build import molecule
    >>> from metatrain_symmetry import symmetry_verdict
    >>> verdict = symmetry_verdict("model.ckpt", molecule("CH4"))
    >>> verdict.directions[["target", "o3_lambda", "o3_sigma"]].head(2)
       target  o3_lambda  o3_sigma
    0  energy          1         1
    1  energy          1        -1
    """
    from ..data import read_structures

    check_fmax(fmax)
    if not _positive(symprec):
        raise ValueError(f"symprec is {quoted(symprec)}: give a positive length in Å")
    if hasattr(model, "evaluate") and hasattr(model, "prepare") and targets is not None:
        raise ValueError("an engine has its targets: leave out targets")
    _matrices(group, seed)
    engine = _engine(model, targets, None, device)
    given = read_structures(structures, engine)
    gathered = _Gathered(engine, symprec, directions=_resolves(group))
    for index, one in enumerate(given):
        gathered.add(index, one.labelled(engine), _matrices(group, seed + index), seed)
    return gathered.verdict(fmax)


def verdict_of_report(
    report: "Report",
    engine: "Engine",
    data: "Sequence[LabelledStructure]",
    group: "Group",
    fmax: float | None,
    clock: "Clock",
    seed: int,
) -> "Verdict | None":
    """Verdict for some of the structures of a report, in what is left of its time.

    :param report: what was measured
    :param engine: that measured it
    :param data: its structures
    :param group: whose symmetry was measured
    :param fmax: of relaxations, in eV/Å
    :param clock: of the report
    :param seed: of the frames
    :return: None where the model has neither forces nor stress
    """
    if not any(_factor(block) for block in engine.blocks):
        return None
    measured = sorted({int(index) for index in report.equivariance.structure})
    stride = -(-len(measured) // IN_A_REPORT)
    chosen = measured[:: max(stride, 1)]
    summary = report.summary
    each = summary["seconds"] / max(summary["evaluations"], 1)
    extra = MORE * clock.budget if clock.budget < float("inf") else clock.budget
    left = (clock.left + extra) / max(len(chosen), 1)
    # twice: a refined copy may have to be evaluated too
    fits = [name for name in NAMES if 2 * each * len(_matrices(name, 0)) <= left]
    orbit: Any = group
    if group.orientations:
        orbit = fits[0] if fits else None
    gathered = _Gathered(engine, 1e-3, directions=orbit == NAMES[0])
    for index in chosen:
        matrices = _matrices(orbit, seed + index) if orbit is not None else _none()
        one = data[index]
        one.subtract_baseline(engine)
        gathered.add(index, one, matrices, seed)
    return gathered.verdict(fmax, errors=False)


def _resolves(group: Any) -> bool:
    """Whether a group shows directions of the laboratory: ``Ii`` does."""
    from ..groups import group_names

    if group is None:
        return True
    known = group_names().get(group) if isinstance(group, str) else None
    return known is not None and known.name == NAMES[0]


def check_fmax(fmax: Any) -> None:
    """Refuse what is no force before anything is evaluated.

    :param fmax: as given
    :raises ValueError: if it is not positive and finite
    """
    if fmax is not None and not _positive(fmax):
        raise ValueError(
            f"fmax is {quoted(fmax)}: give a positive force in eV/Å, such as 0.01"
        )


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < float("inf")


def _none() -> "torch.Tensor":
    import torch

    return torch.zeros(0, 3, 3, dtype=torch.float64)


@dataclass
class _Gathered:
    """What is known of the structures so far.

    :param engine: evaluates the model
    :param symprec: tolerance in Å
    :param directions: whether the orbit shows directions of the laboratory
    """

    engine: "Engine"
    symprec: float
    directions: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    preferences: "dict[str, Preference]" = field(default_factory=dict)
    sums: dict[str, dict[str, float]] = field(default_factory=dict)
    parts: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(
        self, index: int, one: "LabelledStructure", matrices: "torch.Tensor", seed: int
    ) -> None:
        """Measure a structure.

        :param index: of the structure
        :param one: with its labels
        :param matrices: orientations, ``(n, 3, 3)``
        :param seed: of the rotations that find out what rounding does
        """
        import torch

        from ..measure.noise import noise_floor
        from ..measure.preferred import Preference

        subject, structure, refined = self._subject(index, one.structure)
        noise = noise_floor(
            self.engine, structure, self.engine.blocks, seed, orientations=2, copies=2
        )
        back = _back(self.engine, structure, matrices)
        for block, values in back.items():
            if self.directions:
                kept = self.preferences.setdefault(block.target, Preference())
                scale = _per_atom(block, structure.n_atoms)
                kept.add(values[1:] / scale, matrices, noise[block] / scale)
            self._sum(block, values, one, noise[block])
        exact = back if refined is None else _back(self.engine, refined, matrices)
        turns = torch.cat([torch.eye(3, dtype=torch.float64)[None], matrices]).numpy()
        self._compare(subject, back, exact, turns, noise)

    def _compare(
        self, subject: "Subject", back: Any, exact: Any, turns: Any, noise: Any
    ) -> None:
        """Forces and stress of one structure; ``exact`` are those of the refined one."""
        from ..measure import verdict as measure

        for target, blocks in _forces(back).items():
            given = _vectors(back, blocks)
            floor = max(noise[blocks[0]] * _factor(blocks[0]), ROUNDING * abs(given).max())
            self.rows += measure.rigid_rows(subject, target, given, floor)
            self.rows += measure.breaking_force_rows(
                subject, target, _vectors(exact, blocks), floor
            )
        for target, blocks in _stresses(back).items():
            floor = max(noise[block] for block in blocks) * _factor(blocks[0])
            self.rows += measure.breaking_stress_rows(
                subject, target, _tensors(exact, blocks), turns, floor
            )

    def _subject(
        self, index: int, structure: "Prepared"
    ) -> "tuple[Subject, Prepared, Prepared | None]":
        """Symmetry of a structure, what stands for it, and a symmetric copy beside it.

        A file has few digits, and a structure from it is not exactly symmetric.
        """
        from ..measure.verdict import Subject
        from ..symmetrise.crystal_systems import crystal_system
        from ..symmetrise.symmetry import find_symmetry

        atoms, scale = _atoms(self.engine, structure)
        try:
            symmetry = find_symmetry(atoms, self.symprec)
        except ValueError as error:
            self.unknown.append(
                f"{structure.name}: its symmetry is not known ({reason(error)})."
            )
            unknown = Subject(index, structure.name, atoms, atoms, "", None)
            return unknown, structure, None
        system = crystal_system(symmetry.rotations) if atoms.pbc.all() else ""
        name = f"{system} {symmetry.name}".strip()
        if len(symmetry) == 1:
            plain = Subject(index, structure.name, atoms, atoms, name, None)
            return plain, structure, None
        near, exact = symmetry.deviation(atoms) <= EXACT, symmetry.refined(atoms)
        system = _moved(structure.system, exact, scale)
        refined = self.engine.prepare(system, structure.name)
        given = exact if near else atoms
        subject = Subject(index, structure.name, given, exact, name, symmetry)
        return (subject, refined, None) if near else (subject, structure, refined)

    def _sum(
        self, block: "Block", values: "torch.Tensor", one: "LabelledStructure", noise: float
    ) -> None:
        """Errors of one block, where it has labels."""
        truth = one.bare_targets.get(block)
        # without orientations nothing is known of A
        if truth is None or not truth.isfinite().all() or len(values) == 1:
            return
        scale = _per_atom(block, one.structure.n_atoms)
        values, truth = values / scale, truth / scale
        rotated = values[1:]
        names = ("A", "error", "averaged", "components", "structures", "noise")
        sums = self.sums.setdefault(block.target, dict.fromkeys(names, 0.0))
        mean = rotated.mean(dim=0)
        sums["A"] += float((rotated - mean).square().mean(dim=0).sum())
        sums["error"] += float((values[0] - truth).square().sum())
        sums["averaged"] += float((mean - truth).square().sum())
        part = self.parts.setdefault(block.target, {})
        own = part.setdefault(one.structure.name, [0.0, 0.0])
        own[0] += float((rotated - mean).square().mean(dim=0).sum())
        own[1] += float((mean - truth).square().sum())
        # a 3 x 3 matrix has nine components, as metatrain counts them
        sums["noise"] = max(sums["noise"], noise / scale)
        sums["components"] += truth.numel() * (1.5 if _is_tensor(block) else 1)
        # (0,+) and (2,+) of a stress belong to one structure
        sums["structures"] += block.irrep.o3_lambda == 0 or not _is_tensor(block)
        grows = bool(_per_atom(block, 2) - 1 and block.unit)
        self.units[block.target] = block.unit + "/atom" * grows

    def verdict(self, fmax: float | None, errors: bool = True) -> "Verdict":
        """Put everything together.

        :param fmax: of relaxations, in eV/Å
        :param errors: whether the shares of the squared errors are said
        :return: tables and sentences
        """
        import numpy as np
        import pandas as pd

        from ..measure.verdict import COLUMNS, DIRECTIONS, ERRORS, Verdict, error_row
        from ..measure.verdict_text import sentences

        directions = [row for t, one in self.preferences.items() for row in one.rows(t)]
        rows = [
            error_row(t, sums, self.units[t], np.array(list(self.parts[t].values())))
            for t, sums in self.sums.items()
        ]
        found = Verdict(
            pd.DataFrame(self.rows, columns=list(COLUMNS)),
            pd.DataFrame(directions, columns=list(DIRECTIONS)),
            pd.DataFrame(rows, columns=list(ERRORS)),
            fmax=fmax,
        )
        found.sentences = sentences(found, errors) + self.unknown
        return found


def _back(
    engine: "Engine", structure: "Prepared", matrices: "torch.Tensor"
) -> "dict[Block, torch.Tensor]":
    """Values as given and on copies, rotated back, ``(1 + n, samples, 2 λ + 1, ...)``."""
    import torch

    from ..groups import representation

    turns = torch.cat([torch.eye(3, dtype=torch.float64)[None], matrices])
    return {
        block: torch.einsum("gmn,gsmp->gsnp", representation(block.irrep, turns), values)
        for block, values in _evaluate(engine, structure, matrices).items()
    }


def _factor(block: "Block") -> float:
    """From the unit of forces or a stress to eV and Å; zero for anything else."""
    from metatomic.torch import unit_conversion_factor

    from ..groups import Irrep
    from ..models.irrep_blocks import is_stress

    if is_stress(block.target):
        wanted = "eV/A^3"
    elif block.irrep == Irrep(1) and block.sample_kind == "atom":
        wanted = "eV/A"
    else:
        return 0.0
    try:
        return float(unit_conversion_factor(block.unit, wanted)) if block.unit else 0.0
    except ValueError:
        return 0.0


def _per_atom(block: "Block", n_atoms: int) -> int:
    """What the values of a block are divided by."""
    from ..models.irrep_blocks import grows

    return n_atoms if grows(block.target, block.sample_kind) else 1


def _is_tensor(block: "Block") -> bool:
    from ..models.irrep_blocks import is_stress

    return is_stress(block.target)


def _forces(values: "dict[Block, torch.Tensor]") -> "dict[str, list[Block]]":
    """Blocks of forces, by their name."""
    return {
        block.name: [block]
        for block, part in values.items()
        if _factor(block) and not _is_tensor(block) and part.shape[-1] == 1
    }


def _stresses(values: "dict[Block, torch.Tensor]") -> "dict[str, list[Block]]":
    """Blocks of stresses, (0,+) and (2,+), by their name."""
    found: dict[str, list[Block]] = {}
    for block, part in values.items():
        if _factor(block) and _is_tensor(block) and part.shape[-1] == 1:
            found.setdefault(block.name, []).append(block)
    pairs = {name: sorted(b, key=lambda x: x.irrep) for name, b in found.items()}
    return {name: blocks for name, blocks in pairs.items() if len(blocks) == 2}


def _vectors(values: Any, blocks: "list[Block]") -> Any:
    """Forces, ``(1 + n, atoms, 3)``, in eV/Å."""
    from ..models.irrep_blocks import cartesian_vector

    return cartesian_vector(values[blocks[0]][..., 0]).numpy() * _factor(blocks[0])


def _tensors(values: Any, blocks: "list[Block]") -> Any:
    """Stresses, ``(1 + n, 3, 3)``, in eV/Å³."""
    from ..models.irrep_blocks import cartesian_matrix

    scalar, tensor = (values[block][:, 0, :, 0] for block in blocks)
    return cartesian_matrix(scalar, tensor).numpy() * _factor(blocks[0])


def _atoms(engine: "Engine", structure: "Prepared") -> "tuple[ase.Atoms, float]":
    """Structure in Å, and the factor from Å to the unit of the model."""
    from ..models.lengths import ASE, length_factor
    from ..models.live_or_exported import length_unit
    from ..models.system_extras import atoms_of

    scale = length_factor(ASE, length_unit(getattr(engine, "model", None)))
    atoms = atoms_of(structure.system.to(device="cpu"))
    atoms.set_cell(atoms.cell[:] / scale)
    atoms.set_positions(atoms.positions / scale)
    return atoms, scale


def _moved(system: Any, atoms: "ase.Atoms", scale: float) -> Any:
    """Structure with other positions and another cell, without neighbour lists."""
    import torch
    from metatomic.torch import System

    moved = System(
        types=system.types,
        positions=torch.from_numpy(atoms.positions * scale).to(system.positions),
        cell=torch.from_numpy(atoms.cell[:] * atoms.pbc[:, None] * scale).to(system.cell),
        pbc=system.pbc,
    )
    for name in system.known_data():
        moved.add_data(name, system.get_data(name))
    return moved
