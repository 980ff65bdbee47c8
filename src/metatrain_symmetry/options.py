"""Options against their schema: checked, completed, complained about in one sentence.

A schema is a ``TypedDict`` with defaults, which is metatrain's way of writing
hyperparameters, or a model of pydantic. Rooms keep theirs; what is done with it is here.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from .messages import did_you_mean, of_validation, quoted


Schema = TypeVar("Schema")

_UNION_PARTS = ("list[str]", "constrained-int", "constrained-str", "function-wrap")
"""What pydantic says of alternatives, between the names of options."""


def checked(given: object, schema: type[Schema], section: str = "") -> Schema:
    """Check options and fill in the defaults.

    :param given: some of the options
    :param schema: of all of them
    :param section: how messages call the section that holds them; empty for arguments
    :raises ValueError: if they are no options, or if one is unknown, of the wrong type or
        out of range
    :return: all options
    """
    defaults, names = _of_schema(schema)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{section} is {quoted(given)}: give options such as "
            f"{', '.join(names[:3])}, or {{}} for the defaults"
        )
    for name in given:
        if name not in names:
            whose = f"{section} has" if section else "there is"
            raise ValueError(f"{whose} no option {name!r}: {did_you_mean(name, names)}")
    try:
        return TypeAdapter(schema).validate_python({**defaults, **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            of_validation(dict(first), _place(section, first["loc"]), names)
        ) from None


def _of_schema(schema: type) -> tuple[dict[str, Any], list[str]]:
    """Defaults that have to be filled in, and names of all options."""
    if issubclass(schema, BaseModel):
        # pydantic fills in the defaults of its own models
        return {}, list(schema.model_fields)
    # imported late: `mtt` reads this module before it knows whether it is needed
    from metatrain.utils.hypers import init_with_defaults

    defaults = cast("dict[str, Any]", init_with_defaults(schema))
    return defaults, list(defaults)


def _place(section: str, location: Iterable[str | int]) -> str:
    """Path of an option, such as ``training.symmetry.probes[0]``."""
    path = section
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _UNION_PARTS:
            path += f".{part}" if path else part
    return path
