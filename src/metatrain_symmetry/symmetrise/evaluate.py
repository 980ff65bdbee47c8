"""Asks an ASE calculator about many structures, in batches where it can."""

from collections.abc import Sequence
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError

from ..messages import reason
from ..models.ase_calculator import compute, forget, is_calculator
from .rotations import INVARIANT, VECTORS


KNOWN = (*INVARIANT, *VECTORS, "stress")
"""Properties that we know how to rotate."""

BATCHED = {"energy", "forces", "stress"}
"""What metatomic's calculator computes for a list of structures."""

BATCH_ATOMS = 4000
"""Atoms of one batch where nothing else is asked for."""


def check_calculator(calculator: Any) -> None:
    """Refuse what is no calculator.

    :param calculator: anything
    :raises TypeError: if it is none
    """
    if isinstance(calculator, type):
        raise TypeError(
            f"{calculator.__name__} is a class: give an object that was made, such as "
            f"{calculator.__name__}()"
        )
    if not is_calculator(calculator):
        kind = type(calculator).__name__
        raise TypeError(f"{kind} is no calculator of ASE: give an object that is one")


def checked(name: str, value: Any, n_atoms: int) -> np.ndarray:
    """Bring an answer of a calculator into the form that ASE wants.

    :param name: of the property
    :param value: number, array or list
    :param n_atoms: of the structure
    :raises ValueError: if it has another shape
    :return: float64, a copy
    """
    shapes: dict[str, list[tuple[int, ...]]] = {
        "energy": [()], "forces": [(n_atoms, 3)], "stress": [(6,), (3, 3)], "dipole": [(3,)]
    }  # fmt: skip
    found = np.array(value, dtype=np.float64)
    if name == "energy" and found.size == 1:
        found = found.reshape(())
    if name in shapes and found.shape not in shapes[name]:
        raise ValueError(
            f"it returns {name} of the shape {found.shape}, not {shapes[name][0]}"
        )
    return found


def supported(calculator: Any) -> list[str]:
    """Properties of a calculator that can be rotated.

    :param calculator: of ASE
    :raises TypeError: if it is none
    :return: names, as ASE calls them
    """
    check_calculator(calculator)
    return [name for name in calculator.implemented_properties if name in KNOWN]


def wanted(calculator: Any, atoms: ase.Atoms, asked: Sequence[str]) -> list[str]:
    """What to compute: all that belongs together, in one go.

    :param calculator: of ASE
    :param atoms: a structure
    :param asked: properties that somebody needs now
    :return: these, with energy and forces, and the stress of a periodic structure
    """
    together = ["energy", "forces", *(["stress"] if atoms.pbc.all() else [])]
    there = supported(calculator)
    return list(dict.fromkeys([*asked, *(name for name in together if name in there)]))


def evaluate(
    calculator: Any,
    structures: Sequence[ase.Atoms],
    properties: Sequence[str],
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    """Evaluate structures of the same atoms.

    :param calculator: of ASE
    :param structures: rotated copies, at least one
    :param properties: that are needed; others that come along are returned too
    :param batch_size: structures evaluated at once where the calculator can; None to let
        the number of atoms decide
    :raises PropertyNotImplementedError: if the calculator has no such property after all
    :raises ValueError: if the calculator fails, leaves something out, or is not finite
    :return: for each property the answers, float64, shape ``(n, ...)``
    """
    try:
        if _can_batch(calculator, structures[0], properties):
            found = _in_batches(calculator, structures, properties, batch_size)
        else:
            found = _one_by_one(calculator, structures, properties)
    except PropertyNotImplementedError:
        # optimizers of ASE try the free energy, and go on without it
        raise
    except Exception as error:
        raise ValueError(
            f"{_name(calculator)} fails on a rotated copy of the structure, check that it "
            f"takes any orientation of cell and atoms: {reason(error)}"
        ) from error
    if not np.isfinite(found.get("stress", 0.0)).all() and not structures[0].pbc.all():
        # some divide by the volume of a molecule
        del found["stress"]
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{_name(calculator)} returns {name} that are not finite for a rotated "
                "copy, check the structure and the calculator"
            )
    return found


def _name(calculator: Any) -> str:
    return type(calculator).__name__


def _can_batch(calculator: Any, atoms: ase.Atoms, properties: Sequence[str]) -> bool:
    # the interface of metatomic-ase: a list of structures, without inputs beside them
    if not (hasattr(calculator, "compute_energy") and hasattr(calculator, "run_model")):
        return False
    if "stress" in properties and not atoms.pbc.all():
        return False
    inputs = calculator.model().requested_inputs(use_new_names=True)
    return set(properties) <= BATCHED and not inputs


def _in_batches(
    calculator: Any,
    structures: Sequence[ase.Atoms],
    properties: Sequence[str],
    batch_size: int | None,
) -> dict[str, np.ndarray]:
    size = batch_size or max(1, BATCH_ATOMS // max(1, len(structures[0])))
    gradients = bool({"forces", "stress"} & set(properties))
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(structures), size):
        batch = list(structures[start : start + size])
        for name, values in calculator.compute_energy(batch, gradients).items():
            parts.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    found["energy"] = found["energy"].reshape(len(structures))
    return found


def _one_by_one(
    calculator: Any, structures: Sequence[ase.Atoms], properties: Sequence[str]
) -> dict[str, np.ndarray]:
    rows = []
    for atoms in structures:
        results = compute(calculator, atoms, properties)
        # arrays of a calculator may be used again for the next structure
        rows.append({k: checked(k, v, len(atoms)) for k, v in results.items()
                     if k in KNOWN and v is not None})  # fmt: skip
        missing = [name for name in properties if name not in rows[-1]]
        if missing:
            raise ValueError(f"it returns no {missing[0]}")
    # nobody shall find the answer to a rotated copy there
    forget(calculator)
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: np.stack([row[name] for row in rows]) for name in names}
