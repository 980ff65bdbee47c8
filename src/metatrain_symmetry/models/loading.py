"""Opens models as engines, and says what is wrong with what was asked for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import is_atomistic_model
from metatrain.pet import PET

from ..messages import did_you_mean, quoted
from . import irrep_blocks
from .ase_calculator import CalculatorEngine, is_calculator
from .copies import copied, first_weight
from .engine import Engine
from .metatomic import MetatomicEngine
from .pet.compiled import LEAVE_OUT
from .pet.engine import PETEngine
from .point_cloud import PointCloudEngine
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
    probes: Iterable[str] | None = (),
    gradients: bool | str = "auto",
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    extensions: str | Path | None = None,
    **of_clouds: Any,
) -> Engine:
    """Engine for a model.

    :param model: path of a checkpoint or an exported model, or a module, which is left as
        it is, or a calculator of ASE. A torch module that is no model of metatrain is one
        of point clouds
    :param targets: names of targets, None for all
    :param probes: layers to look at, of a live model: paths of modules, and for PET groups;
        of point clouds None for the usual ones
    :param gradients: forces and stresses from the energies: ``auto`` for those that the
        model was trained on (all of the standard energy of an exported model), True, False
    :param dtype: to evaluate in; None for that of the model. The only one that an exported
        model has is its own
    :param device: to evaluate on
    :param extensions: folder of the extensions of an exported model
    :param of_clouds: ``call``, ``outputs``, ``freeze``, ``vectors`` and ``seed`` of a
        :class:`PointCloudEngine`, for modules of point clouds
    :raises ValueError: if there is no such model, target, layer or dtype
    :return: the engine

    >>> from metatrain_symmetry import open_engine
    >>> engine = open_engine("model.ckpt", probes=["EE"])
    >>> [str(block.irrep) for block in engine.blocks], len(engine.probes)
    (['(0,+)'], 2)
    """
    if is_of_clouds(model):
        given: dict[str, Any] = {"targets": targets, "extensions": extensions}
        if gradients != "auto":
            given["gradients"] = gradients
        return _of_clouds(model, probes, dtype, device, given, of_clouds)
    probes = () if probes is None else probes
    for name, value in of_clouds.items():
        if value is not None and value != ():
            raise ValueError(
                f"{name} is for torch modules of point clouds, and the model is none: "
                "leave it out"
            )
    if is_calculator(model):
        return _of_calculator(model, targets, probes, gradients, dtype, device, extensions)
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
        return _checked(PETEngine(model, names, probes, kinds))
    return _checked(MetatomicEngine(model, names, kinds, dtype, device, probes))


def compilable(engine: Engine) -> PETEngine:
    """Make sure that the model of an engine can be compiled, as far as is seen at once.

    :param engine: of any model
    :raises ValueError: if it cannot, or not on this computer
    :return: the same engine, which has :meth:`PETEngine.compile`
    """
    if isinstance(engine, PETEngine):
        engine.check_compile()
        return engine
    model = getattr(engine, "model", None)
    what = f"a {type(model).__name__}"
    if model is None:
        what = "a calculator of ASE"
    elif is_atomistic_model(model):
        what = "an exported model"
    raise ValueError(
        f"compile: this is {what}, and only checkpoints of PET and pet_ssh are compiled: "
        f"{LEAVE_OUT}"
    )


def usual_probes(engine: Engine, of_pet: Iterable[str]) -> list[str]:
    """Layers to look at unless asked otherwise.

    :param engine: of any model
    :param of_pet: groups that are looked at in a PET
    :return: these, or what :attr:`MetatomicEngine.usual_probes` says; none of a model that
        hides its modules
    """
    if isinstance(engine, PETEngine):
        return list(of_pet)
    return engine.usual_probes if isinstance(engine, MetatomicEngine) else []


def is_of_clouds(model: Any) -> bool:
    """Whether something is a torch module, but no model of metatrain or metatomic.

    :param model: anything
    :return: true for modules that are taken to evaluate clouds of points
    """
    if not isinstance(model, torch.nn.Module) or is_calculator(model):
        return False
    return not (is_atomistic_model(model) or hasattr(model, "dataset_info"))


def _of_clouds(
    model: torch.nn.Module,
    probes: Any,
    dtype: torch.dtype | None,
    device: str | torch.device,
    of_atoms: dict[str, Any],
    options: dict[str, Any],
) -> Engine:
    """Engine of a module of point clouds."""
    for name, value in of_atoms.items():
        if value is not None:
            raise ValueError(
                f"{name}: a {type(model).__name__} is no model of metatrain, so that it is "
                "taken as a module of point clouds: name what it returns in outputs, and "
                f"leave out {name}"
            )
    module, _ = _cast(model, dtype, _device(device))
    given = {name: value for name, value in options.items() if value is not None}
    return PointCloudEngine(module, probes=probes, **given)


def _of_calculator(
    calculator: Any,
    targets: Iterable[str] | None,
    probes: Iterable[str],
    gradients: bool | str,
    dtype: torch.dtype | None,
    device: str | torch.device,
    extensions: str | Path | None,
) -> Engine:
    """Engine of a calculator, which has been made with all that it needs."""
    names = names_of(probes, "probes")
    if names:
        raise ValueError(
            f"layer '{names[0]}' cannot be measured in a calculator of ASE, which hides "
            "its modules: give the checkpoint, or leave out the probes"
        )
    if gradients != "auto":
        raise ValueError(
            "gradients: a calculator of ASE says itself what its forces are: name targets "
            "instead, such as energy and forces"
        )
    if dtype is not None or str(device) != "cpu" or extensions is not None:
        raise ValueError(
            "dtype, device and extensions are those that the calculator was made with: "
            "give them where it is made"
        )
    return CalculatorEngine(
        calculator, None if targets is None else names_of(targets, "targets")
    )


def _checked(engine: Engine) -> Engine:
    """An engine whose outputs and layers were looked for: now is the time to complain."""
    _ = engine.blocks, engine.probes
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
    return [name for name in names if not is_auxiliary(name, names)]


def is_auxiliary(name: str, names: list[str]) -> bool:
    """Whether an output only accompanies a target, or is another spelling of one.

    :param name: of the output
    :param names: of all outputs
    """
    base = irrep_blocks.base_name(name)
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


def _check_supported(model: Any, device: torch.device) -> None:
    """Refuse a device that an exported model was not made for."""
    supported = list(model.capabilities().supported_devices)
    if device.type not in supported:
        raise ValueError(
            f"the exported model runs on {' and '.join(supported)}, not on {device.type}: "
            f"choose one of these with device, or export the model for {device.type}"
        )


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
        _check_supported(model, device)
        return model.to(device), own
    weight = first_weight(model)
    if weight is not None and weight.is_meta:
        raise ValueError("the parameters of the model have no values: load them first")
    own = torch.float64 if weight is None else weight.dtype
    dtype = dtype or own
    if dtype not in _DTYPES.values():
        raise ValueError(
            f"a model cannot be evaluated in {dtype}: give dtype='float32' or 'float64', "
            "in which a copy of it is evaluated"
        )
    if dtype == own and (weight is None or weight.device == device):
        return model, own
    return copied(model).to(dtype=dtype, device=device), dtype


def _gradient_kinds(model: Any, name: str, gradients: bool | str) -> frozenset[str]:
    """Which gradients of a target are wanted."""
    if not (isinstance(gradients, bool) or gradients == "auto"):
        raise ValueError(
            f"give 'auto', true or false for gradients, not {quoted(gradients)}"
        )
    if not gradients:
        return frozenset()
    if is_atomistic_model(model):
        energy = irrep_blocks.base_name(name) == "energy"
        wanted = energy if gradients is True else name == "energy"
        return _BOTH if wanted else frozenset()
    info = model.dataset_info.targets[name]
    if info.quantity != "energy" or not info.is_scalar:
        return frozenset()
    return _BOTH if gradients is True else frozenset(info.gradients) & _BOTH
