"""Opens models and structures, and says what is wrong with them."""

import copy
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System, is_atomistic_model, systems_to_torch
from metatrain.pet import PET
from metatrain.utils.data.system_to_ase import system_to_ase

from ..messages import did_you_mean, quoted
from ..places import input_file
from . import outputs
from .engine import Engine
from .interface import atomic_types, length_unit
from .lengths import ASE, length_factor, scaled_system
from .model import ModelEngine
from .pet import PETEngine
from .states import load
from .truth import check_sizes, of_atoms


_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_DEPRECATED = {
    "features": "feature",
    "non_conservative_forces": "non_conservative_force",
    "charges": "charge",
    "masses": "mass",
    "momenta": "momentum",
    "positions": "position",
    "velocities": "velocity",
}
_BOTH = frozenset({"positions", "strain"})

FARTHEST = 1e6
"""Å: what lies beyond is a mistake, and float32 would no longer resolve bonds."""

DENSEST = 0.05
"""Å³ for each atom: in less room an atom would have 10^5 neighbours."""


def open_engine(
    model: Any,
    targets: Iterable[str] | None = None,
    probes: Iterable[str] = (),
    gradients: bool | str = "auto",
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    extensions: str | Path | None = None,
) -> Engine:
    """Engine for a model.

    :param model: path of a checkpoint or an exported model, or a module, which is left as
        it is
    :param targets: names of targets, None for all
    :param probes: layers to look at, PET only: groups, modules, paths
    :param gradients: forces and stresses from the energies: ``auto`` for those that the
        model was trained on (all of the standard energy of an exported model), True, False
    :param dtype: to evaluate in; None for that of the model. The only one that an exported
        model has is its own
    :param device: to evaluate on
    :param extensions: folder of the extensions of an exported model
    :raises ValueError: if there is no such model, target, layer or dtype
    :return: the engine
    """
    if isinstance(model, str | Path):
        model = load(Path(model), extensions).model
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"{quoted(model)} is no model: give the path of one, or a torch module"
        )
    names = _choose(_available(model), targets)
    probes = names_of(probes, "probes")
    device = _device(device)
    model, dtype = _cast(model, dtype, device)
    kinds = {name: _gradient_kinds(model, name, gradients) for name in names}
    kinds = {name: kind for name, kind in kinds.items() if kind}
    if isinstance(model, PET):
        return PETEngine(model, names, probes, kinds)
    engine = ModelEngine(model, names, kinds, dtype, device)
    for probe in probes:
        if probe != "predictions":
            raise ValueError(
                f"layer '{probe}' cannot be measured: this needs the checkpoint of a PET "
                "or pet_ssh model, not another architecture or an exported model"
            )
    return engine


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"there is no device {quoted(name)}: write cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"models are not evaluated on '{name}': write cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no GPU '{name}' on this computer: write cpu")
    return device


def _available(model: Any) -> list[str]:
    """Targets that a model knows."""
    if not is_atomistic_model(model):
        information = getattr(model, "dataset_info", None)
        if information is None:
            raise ValueError(
                f"a {type(model).__name__} is no model of metatrain: it has no dataset_info"
            )
        return list(information.targets)
    names = list(model.capabilities().outputs)
    return [name for name in names if not _is_auxiliary(name, names)]


def _is_auxiliary(name: str, names: list[str]) -> bool:
    base = outputs.base_name(name)
    current = _DEPRECATED.get(base)
    if current is not None and name.replace(base, current, 1) in names:
        return True
    ends = ("_uncertainty", "_ensemble")
    return name.startswith(("mtt::aux::", "mtt::feature", "feature")) or base.endswith(ends)


def _choose(known: list[str], targets: Iterable[str] | None) -> list[str]:
    if targets is None:
        return known
    names = names_of(targets, "targets")
    if not names:
        raise ValueError("no targets are named: name one, or leave them out for all")
    for name in names:
        if name not in known:
            raise ValueError(
                f"the model has no target '{name}': {did_you_mean(name, known)}"
            )
    return names


def names_of(given: Any, what: str) -> list[str]:
    """Names in a list, each once.

    :param given: one name, or several
    :param what: what they are, for messages
    :raises ValueError: if one is no name
    :return: the names
    """
    names = [given] if isinstance(given, str) else given
    try:
        names = list(dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(
            f"{what} are a list of names, not {quoted(given)}: write names"
        ) from error
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{what} are names, not {quoted(name)}: write names")
    return names


def _cast(
    model: Any, dtype: torch.dtype | None, device: torch.device
) -> tuple[Any, torch.dtype]:
    """The model in a dtype on a device, a copy of it where it has to change."""
    if is_atomistic_model(model):
        own = _DTYPES[model.capabilities().dtype]
        if dtype not in (None, own):
            raise ValueError(
                f"an exported model cannot be evaluated in {dtype}, it is made for {own}: "
                "give the checkpoint"
            )
        return model.to(device), own
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    own = torch.float64 if weight is None else weight.dtype
    dtype = dtype or own
    if dtype not in _DTYPES.values():
        raise ValueError(f"a model cannot be evaluated in {dtype}: float32 or float64")
    if dtype == own and (weight is None or weight.device == device):
        return model, own
    return copy.deepcopy(model).to(dtype=dtype, device=device), dtype


def _gradient_kinds(model: Any, name: str, gradients: bool | str) -> frozenset[str]:
    """Which gradients of a target are wanted."""
    if not (isinstance(gradients, bool) or gradients == "auto"):
        raise ValueError(
            f"give 'auto', true or false for gradients, not {quoted(gradients)}"
        )
    if not gradients:
        return frozenset()
    if is_atomistic_model(model):
        energy = outputs.base_name(name) == "energy"
        wanted = energy if gradients is True else name == "energy"
        return _BOTH if wanted else frozenset()
    info = model.dataset_info.targets[name]
    if info.quantity != "energy" or not info.is_scalar:
        return frozenset()
    return _BOTH if gradients is True else frozenset(info.gradients) & _BOTH


def read_systems(
    source: str | Path | ase.Atoms | Sequence[Any], engine: Engine
) -> list[tuple[ase.Atoms, System]]:
    """Read structures.

    What ASE reads or holds is in Å, and is converted to the unit of length of the model.
    Systems are in that unit already.

    :param source: a file that ASE reads, or structures
    :param engine: whose model shall evaluate them
    :raises ValueError: if there are none, or if the model cannot take one of them
    :return: each structure for ASE and for the engine, in float64 without neighbour lists
        of the model
    """
    if isinstance(source, str | Path):
        found: Sequence[Any] = _read(Path(source))
    else:
        found = _listed(source)
    if not found:
        raise ValueError("there are no structures: give at least one")
    known = _atomic_types(engine)
    unit = length_unit(getattr(engine, "model", None))
    factor = length_factor(ASE, unit)
    if factor != 1 and isinstance(source, str | Path):
        logging.warning(
            f"'{source}' is taken to be in Å, as files of ASE are, and is converted to the "
            f"unit of the model, {unit}: if it is in another unit, give an options file "
            "with systems: {read_from: ..., length_unit: ...}"
        )
    return [_prepared(i, item, engine, known, factor) for i, item in enumerate(found)]


def _listed(source: Any) -> list[Any]:
    """Structures that were given, each of which is one."""
    try:
        found = [source] if _is_structure(source) else list(source)
    except TypeError as error:
        raise ValueError(
            f"give structures as a file or as a list of ase.Atoms, not {quoted(source)}"
        ) from error
    for index, item in enumerate(found):
        if not _is_structure(item):
            raise ValueError(
                f"structure {index} is {quoted(item)}: give an ase.Atoms or a System"
            )
    return found


def _is_structure(item: Any) -> bool:
    # TorchScript's classes know no isinstance
    return isinstance(item, ase.Atoms) or hasattr(item, "known_neighbor_lists")


def _prepared(
    index: int, item: Any, engine: Engine, known: set[int] | None, factor: float
) -> tuple[ase.Atoms, System]:
    """One structure, checked, for ASE and for the engine."""
    atoms = item if isinstance(item, ase.Atoms) else system_to_ase(item)
    _check(atoms if item is atoms else _shrunk(atoms, factor), index, known)
    if not isinstance(item, ase.Atoms):
        return atoms, item
    system = scaled_system(systems_to_torch(item, dtype=torch.float64), factor)
    try:
        check_sizes(engine, of_atoms(atoms, engine.blocks))
        _add_conditions(atoms, system)
    except ValueError as error:
        raise ValueError(f"structure {index}: {error}") from error
    return atoms, system


def _shrunk(atoms: ase.Atoms, factor: float) -> ase.Atoms:
    """Structure in Å, of one in the unit of the model."""
    copy = atoms.copy()
    copy.set_positions(atoms.positions / factor)
    copy.set_cell(atoms.cell / factor)
    return copy


def _read(path: Path) -> list[ase.Atoms]:
    input_file(path, "the file of structures")
    try:
        found = ase.io.read(path, ":")
    except Exception as error:
        raise ValueError(
            f"'{path}' cannot be read by ASE as structures: check that it is whole, and of "
            "the format that its name says"
        ) from error
    if not found:
        raise ValueError(f"'{path}' holds no structures: give a file with at least one")
    return found


def _check(atoms: ase.Atoms, index: int, known: set[int] | None) -> None:
    if len(atoms) == 0:
        raise ValueError(f"structure {index} has no atoms: take it out")
    values = np.abs([*atoms.positions.flat, *atoms.cell[:].flat])
    if not np.isfinite(values).all():
        raise ValueError(
            f"structure {index} has positions or a cell that are not finite: correct it"
        )
    if values.max() > FARTHEST:
        raise ValueError(
            f"structure {index} reaches out to {values.max():.3g} Å: correct its positions "
            "or its cell"
        )
    _check_cell(atoms, index)
    for number, symbol in zip(atoms.numbers, atoms.symbols, strict=True):
        if known is not None and int(number) not in known:
            raise ValueError(
                f"structure {index} has the element {symbol}, which the model does not "
                f"know: take it out (it knows {', '.join(_symbols(known))})"
            )


def _check_cell(atoms: ase.Atoms, index: int) -> None:
    """A periodic structure has a cell, and atoms that fit into it."""
    lengths = atoms.cell.lengths()
    if (lengths[atoms.pbc] == 0).any():
        raise ValueError(
            f"structure {index} is periodic along a direction in which its cell has no "
            "length: give it a cell, or set pbc to false"
        )
    if atoms.pbc.all() and atoms.cell.volume < DENSEST * len(atoms):
        raise ValueError(
            f"structure {index} has {len(atoms)} atoms in a cell of "
            f"{atoms.cell.volume:.3g} Å³, where there is no room for them: correct its "
            "cell, which is in Å"
        )


def _symbols(numbers: set[int]) -> list[str]:
    symbols = ase.data.chemical_symbols
    return [symbols[n] if n < len(symbols) else str(n) for n in sorted(numbers)]


def _atomic_types(engine: Engine) -> set[int] | None:
    model = getattr(engine, "model", None)
    return None if model is None else set(atomic_types(model))


def _add_conditions(atoms: ase.Atoms, system: System) -> None:
    """Charge and spin, which models with system conditioning want."""
    for name in ("charge", "spin_multiplicity"):
        if name in atoms.info:
            value = torch.tensor([[_number(atoms, name)]], dtype=torch.float64)
            zero = torch.tensor([[0]])
            block = TensorBlock(value, Labels("system", zero), [], Labels(name, zero))
            system.add_data(name, TensorMap(Labels("_", zero), [block]))


def _number(atoms: ase.Atoms, name: str) -> float:
    try:
        number = float(atoms.info[name])
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise ValueError(f"'{name}' is {quoted(atoms.info[name])}: give a number")
    return number
