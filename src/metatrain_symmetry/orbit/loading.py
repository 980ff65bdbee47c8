"""Opens models and structures: everything that a user can get wrong is told here."""

import copy
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System, is_atomistic_model, systems_to_torch
from metatrain.pet import PET
from metatrain.utils.data.system_to_ase import system_to_ase

from . import outputs
from .engine import Engine
from .interface import atomic_types
from .model import ModelEngine
from .pet import PETEngine
from .states import load


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
            f"a {type(model).__name__} is no model: give a path or a torch module"
        )
    names = _choose(_available(model), targets)
    model, dtype = _cast(model, dtype, torch.device(device))
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
    names = [targets] if isinstance(targets, str) else list(dict.fromkeys(targets))
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.5) or known
            raise ValueError(
                f"the model has no target '{name}': did you mean {', '.join(near)}?"
            )
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
    if gradients not in (True, False, "auto"):
        raise ValueError(f"gradients are 'auto', true or false, not '{gradients}'")
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

    :param source: a file that ASE reads, or structures
    :param engine: whose model shall evaluate them
    :raises ValueError: if there are none, or if the model cannot take one of them
    :return: each structure for ASE and for the engine, in float64 without neighbour lists
        of the model
    """
    found: list[Any]
    if isinstance(source, str | Path):
        found = _read(Path(source))
    else:
        found = [source] if isinstance(source, ase.Atoms) else list(source)
    if not found:
        raise ValueError("there are no structures: give at least one")
    known = _atomic_types(engine)
    pairs = []
    for index, item in enumerate(found):
        atoms = item if isinstance(item, ase.Atoms) else system_to_ase(item)
        _check(atoms, index, known)
        if isinstance(item, ase.Atoms):
            item = systems_to_torch(item, dtype=torch.float64)
            _add_conditions(atoms, item)
        pairs.append((atoms, item))
    return pairs


def _read(path: Path) -> list[ase.Atoms]:
    if not path.is_file():
        raise ValueError(f"there is no file of structures '{path}'")
    try:
        found = ase.io.read(path, ":")
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"'{path}' cannot be read by ASE: {reason}") from error
    if not found:
        raise ValueError(f"'{path}' holds no structures")
    return found


def _check(atoms: ase.Atoms, index: int, known: set[int] | None) -> None:
    if len(atoms) == 0:
        raise ValueError(f"structure {index} has no atoms")
    values = [*atoms.positions.flat, *atoms.cell[:].flat]
    if not all(abs(value) < float("inf") for value in values):
        raise ValueError(f"structure {index} has positions or a cell that are not finite")
    for number, symbol in zip(atoms.numbers, atoms.symbols, strict=True):
        if known is not None and int(number) not in known:
            raise ValueError(
                f"structure {index} has the element {symbol}, which the model does not "
                f"know: it knows {', '.join(_symbols(known))}"
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
            value = torch.tensor([[float(atoms.info[name])]], dtype=torch.float64)
            zero = torch.tensor([[0]])
            block = TensorBlock(value, Labels("system", zero), [], Labels(name, zero))
            system.add_data(name, TensorMap(Labels("_", zero), [block]))
