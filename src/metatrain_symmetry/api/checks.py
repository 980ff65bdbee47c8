"""What is looked at before a model is read, one sentence each."""

from typing import TYPE_CHECKING, Any

from ..messages import quoted
from ..options import checked


if TYPE_CHECKING:
    import torch

    from ..measure.settings import Settings

DTYPES = ("float32", "float64")


def settings(**values: object) -> "Settings":
    """Check the settings of a measurement.

    :param values: settings by name; ``budget`` may be written as ``2min``
    :raises ValueError: if one is unknown or out of range
    :return: all of them; those that have their default count as not given, since a finite
        group knows some of them only
    """
    from ..measure.budget import parse_budget
    from ..measure.settings import Settings

    if "budget" in values:
        values = {**values, "budget": parse_budget(values["budget"])}
    defaults = Settings().model_dump()
    given = {
        name: value
        for name, value in values.items()
        if name not in defaults
        or type(value) is not type(defaults[name])
        or value != defaults[name]
    }
    return checked(given, Settings)


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


def flag(name: str, value: Any) -> None:
    """Make sure that something is switched on or off.

    :param name: of the argument
    :param value: as given
    :raises ValueError: if it is neither True nor False
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {quoted(value)}: give True or False")


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
