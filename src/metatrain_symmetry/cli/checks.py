"""What is looked at before ``mtt symmetry`` begins its work, one sentence each."""

import argparse
import math
from typing import TYPE_CHECKING, Any

from ..messages import of_validation, quoted


if TYPE_CHECKING:
    import torch

    from ..measure.settings import Settings

DTYPES = ("float32", "float64")

LARGEST_MEMORY = 2**20
"""GB; more is a mistake."""

OF_MODELS = (
    "targets", "probes", "lambda_max", "estimator", "degree", "tolerance", "circles",
    "max_structures", "memory", "dtype", "extensions", "seed", "budget",
)  # fmt: skip
"""Arguments that say how a model is measured: a run has been measured already."""


def settings(**values: Any) -> "Settings":
    """Check the settings of a measurement.

    :param values: settings by name; those that have their default are left out
    :raises ValueError: if one is unknown or out of range
    :return: all of them
    """
    from pydantic import ValidationError

    from ..measure.budget import parse_budget
    from ..measure.settings import Settings

    known = list(Settings.model_fields)
    if "budget" in values:
        values = {**values, "budget": parse_budget(values["budget"])}
    for name, value in values.items():
        if isinstance(value, bool):
            raise ValueError(f"'{name}' is {value}: give a number or a name")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"'{name}' is {value}: give a finite number")
    if values.get("degree") == 0:
        raise ValueError("'degree' is 0, which measures nothing: give 2 or more")
    try:
        defaults = Settings().model_dump()
        # what is not given may mean nothing for a group
        given = {n: v for n, v in values.items() if v != defaults[n]}
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(of_validation(first, place, known)) from None


def memory(gigabytes: float) -> int:
    """Memory budget of the command line.

    :param gigabytes: as given
    :raises ValueError: if it is no amount of memory that a computer has
    :return: in bytes
    """
    if not math.isfinite(gigabytes) or not 2**-10 <= gigabytes <= LARGEST_MEMORY:
        raise ValueError(
            f"--memory is {gigabytes} GB: give a number between 0.001 and "
            f"{LARGEST_MEMORY} GB, such as 2"
        )
    return int(gigabytes * 2**30)


def count(name: str, value: Any) -> int | None:
    """Number of something, at least one.

    :param name: of the argument
    :param value: as given
    :raises ValueError: if it is no whole number above zero
    :return: the number, None for no limit
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (whole and value >= 1):
        return value
    raise ValueError(
        f"{name} is {quoted(value)}: give a whole number from 1, or leave it out"
    )


def dtype(name: Any) -> "torch.dtype | None":
    """Type of numbers to evaluate a model in.

    :param name: as given
    :raises ValueError: if models are not evaluated in it
    :return: the type, None for that of the model
    """
    import torch

    if name is None:
        return None
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype is {quoted(name)}: give {' or '.join(DTYPES)}")
    return getattr(torch, name)


def only_for_models(arguments: argparse.Namespace) -> None:
    """Make sure that nothing is asked of a run that only a model can be asked.

    :param arguments: of ``mtt symmetry``, with the folder of a run for a model
    :raises ValueError: if it is
    """
    for name in OF_MODELS:
        if getattr(arguments, name, None) is not None:
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"'{arguments.model}' is a folder, of which what was measured is drawn: "
                f"leave out {flag}, or give a checkpoint and structures"
            )
