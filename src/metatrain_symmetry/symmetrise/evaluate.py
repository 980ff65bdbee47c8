"""Asks an ASE calculator about many structures, in batches where it can."""

from collections.abc import Sequence
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError, all_changes

from ..messages import reason
from .rotations import INVARIANT, VECTORS


KNOWN = (*INVARIANT, *VECTORS, "stress")
"""Properties that we know how to rotate."""

BATCHED = {"energy", "forces", "stress"}
"""What metatomic's calculator computes for a list of structures."""

BATCH_ATOMS = 4000
"""Atoms of one batch where nothing else is asked for."""


def supported(calculator: Any) -> list[str]:
    """Properties of a calculator that can be rotated.

    :param calculator: of ASE
    :raises TypeError: if it is none
    :return: names, as ASE calls them
    """
    if not hasattr(calculator, "calculate"):
        kind = type(calculator).__name__
        raise TypeError(f"{kind} is no calculator of ASE: give an object that is one")
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
        calculator.reset()
        calculator.calculate(atoms, list(properties), all_changes)
        # arrays of a calculator may be used again for the next structure
        rows.append({k: np.array(v, float) for k, v in calculator.results.items()
                     if k in KNOWN and v is not None})  # fmt: skip
        missing = [name for name in properties if name not in rows[-1]]
        if missing:
            raise ValueError(f"it returns no {missing[0]}")
    # nobody shall find the answer to a rotated copy there
    calculator.reset()
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: np.stack([row[name] for row in rows]) for name in names}
