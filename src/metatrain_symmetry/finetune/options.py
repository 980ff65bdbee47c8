"""The options file of ``mtt purify`` with ``method: heads`` or ``method: full``.

Sections of ``mtt train``, whose ``architecture`` is not looked at, and one of our own::

    training_set: ...
    validation_set: 0.1
    purify:
      method: full
      epochs: 35
      unlabelled:
        read_from: more_molecules.xyz
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ..data.options_files import Source
from ..data.splits import Sections
from ..options import checked
from ..purify.options import PurifyHypers, read_shared
from ..training.options import SymmetryHypers, complete


def in_list(given: Any) -> Any:
    """One number is a list of one.

    :param given: as the user has written it
    """
    return given if isinstance(given, list) else [given]


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
WEIGHTS = [4.0, 8.0]
Share = Annotated[float, Field(ge=0, le=1)]


@with_config(ConfigDict(strict=True))
class FinetuneHypers(TypedDict):
    """How a model is fine-tuned to symmetry."""

    method: Literal["heads", "full"] = "full"
    """What is trained: ``heads`` the heads and last layers of all targets, ``full`` all
    weights. (``readout`` is the closed form, which has other options.)
    """
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs, each with as many evaluations as one of the training. ``null``: four fifths
    of those of the training, so that with everything else it takes no longer than that did.
    """
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak of the learning rate, which rises for a twentieth of every stage and then falls
    to zero as a cosine. ``null``: half of that of the training.
    """
    batch_size: Annotated[int, Field(ge=2)] | None = None
    """Evaluations in a batch, also where the training has filled its batches by atoms.
    ``null``: as in the training.
    """
    weight: Annotated[list[Weight], Field(min_length=1), BeforeValidator(in_list)] = WEIGHTS
    """Weights of the squared equivariance error against the squared error, in stages of
    equal length; one number for one stage. Labels of targets whose validation RMSE has
    risen at the end of a stage count twice as much in the next.
    """
    copies: Annotated[int, Field(ge=2)] = 2
    """Orientations of a structure in a batch, which holds fewer structures accordingly."""
    teacher: Share = 0.0
    """Share of the model's own mean over orientations in the targets of the loss; the rest
    are the labels. Where there are no labels it is 1.
    """
    unlabelled: dict[str, Any] | None = None
    """Structures without labels, used beside the training set: a section such as
    ``systems`` of a training set, with ``read_from``.
    """
    max_rmse_increase: Weight = 0.01
    """Largest increase that is accepted of the orientation-averaged RMSE of any target or
    gradient on the validation set, as a share of it. All irreps of a target count together.
    """
    max_structures: Annotated[int, Field(ge=1)] | None = None
    """Budget: take at most N structures of the training set, at random."""
    max_validation_structures: Annotated[int, Field(ge=1)] | None = 200
    """Likewise, of the validation set."""
    report_structures: Annotated[int, Field(ge=0)] = 8
    """On how many validation structures the spectra of the outputs are measured, before
    and after."""
    memory_mib: Annotated[float, Field(ge=1, le=2**30, allow_inf_nan=False)] = 2048
    """Budget for one evaluation along an orbit, in MiB."""
    symmetry: Annotated[SymmetryHypers | None, BeforeValidator(complete)] = None
    """Watch the fine-tuning as a training is watched; ``{}`` is a good choice."""


@dataclass(frozen=True)
class FinetuneOptions:
    """What an options file says.

    :param sections: data sets, and the seed of their split
    :param hypers: section ``purify``
    :param device: where to train, None for a GPU if there is one
    :param base_precision: 32 or 64, None for that of the model
    :param wandb: arguments of ``wandb.init``, None for no record there
    """

    sections: Sections
    hypers: FinetuneHypers
    device: str | None
    base_precision: int | None
    wandb: dict[str, Any] | None


def read_options(source: Source) -> FinetuneOptions:
    """Read an options file.

    :param source: path of a YAML file, or its content
    :raises ValueError: if it cannot be read, or if an option is unknown or out of range
    :return: its sections, complete
    """
    shared = read_shared(source)
    wandb = shared.options.get("wandb")
    return FinetuneOptions(
        shared.sections,
        complete_hypers(shared.purify),
        shared.device,
        shared.base_precision,
        _plain(wandb),
    )


def complete_hypers(options: dict[str, Any]) -> FinetuneHypers:
    """Check the section ``purify`` and fill in the defaults.

    :param options: some of the options
    :raises ValueError: if one is unknown, of another method, or out of range
    :return: all of them
    """
    method = options.get("method")
    for name in options:
        own = FinetuneHypers.__annotations__
        if name not in own and name in PurifyHypers.__annotations__:
            raise ValueError(
                f"purify.{name} is an option of method: readout, not of method: {method}: "
                "leave one of them out"
            )
    found = checked(options, FinetuneHypers, "purify")
    unlabelled = found["unlabelled"]
    if unlabelled is not None and unlabelled.get("read_from") is None:
        raise ValueError(
            "purify.unlabelled has no read_from: give it as systems of a training set"
        )
    return found


def _plain(section: Any) -> dict[str, Any] | None:
    if not isinstance(section, DictConfig):
        return None
    found: Any = OmegaConf.to_container(section, resolve=True)
    return found
