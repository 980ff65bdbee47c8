"""The options ``architecture.training.symmetry``: what is watched during a training."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from metatrain.utils.hypers import init_with_defaults
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict


class SymmetryHypers(TypedDict):
    """How the symmetry of a model is watched while it is trained."""

    structures: str = "validation"
    """Where the structures come from: ``validation`` or ``test``, meaning the sets of the
    training, or a file: one that ASE reads, or an options file as for ``mtt eval``.
    """
    n_structures: Annotated[int, Field(ge=1)] = 16
    """How many structures are taken, at random. The budget may thin them."""
    probes: list[str] = ["EE", "GNN", "BBF", "LLF"]  # noqa: RUF012
    """Layers to look at: groups (``GE``, ``CE``, ``NE``, ``EE``, ``transformer``, ``GNN``,
    ``BBF``, ``LLF``) or paths of modules, as for ``mtt symmetry``. Outputs are always
    looked at. Architectures other than PET have no layers to look at.
    """
    lambda_max: Annotated[int, Field(ge=0, le=32)] = 8
    """Largest λ of the spectra."""
    estimator: Literal["hybrid", "circles", "grid"] = "hybrid"
    """``circles``: random circles on every structure. ``grid``: the exact grid on every
    structure. ``hybrid``: circles, and the grid on as many structures as can be afforded.
    """
    interval: Annotated[int, Field(ge=1)] | None = None
    """Measure every so many epochs; ``null`` for epochs spaced logarithmically. The model
    before its first step and that after its last epoch are measured in any case. Epochs
    that metatrain does not log (``log_interval``) are passed on to the next logged one.
    """
    points: Annotated[int, Field(ge=2)] = 24
    """Number of epochs spaced logarithmically, where ``interval`` is ``null``."""
    max_overhead: Annotated[float, Field(gt=0)] = 0.05
    """Share of the training's wall time that may be spent on watching it. More of it brings
    more circles, structures and epochs; what had to be left out is logged. The beginning,
    the end and the figures are never left out, which tells in very short trainings.
    """
    memory_mib: Annotated[float, Field(ge=1)] = 1024
    """Budget for one evaluation, and for the sums of one structure, each, in MiB."""
    on_error: Literal["warn", "raise"] = "warn"
    """What happens when watching fails: a warning, or the end of the training."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of structures and of the rotations."""


def complete(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Fill the options with the defaults.

    :param options: some of the options, None for no watching
    :raises ValueError: if one is unknown or out of range
    :return: all of them, or None
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise ValueError(f"training.symmetry takes options or {{}}, not {options!r}")
    defaults = init_with_defaults(SymmetryHypers)
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise ValueError(
            f"training.symmetry has no option {unknown[0]!r}, only {', '.join(defaults)}"
        )
    try:
        found = TypeAdapter(SymmetryHypers).validate_python({**defaults, **options})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"training.symmetry.{first['loc'][0]}: {first['msg']}, got {first['input']!r}"
        ) from error
    return dict(found)
