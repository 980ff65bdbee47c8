"""The options ``architecture.training.symmetry_penalty``: when, and how much."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from ...options import checked


NAME = "training.symmetry_penalty"


class PenaltyHypers(TypedDict):
    """How asymmetry is penalised while a model is trained.

    A batch holds fewer structures, each in several random orientations, so that an epoch
    has as many evaluations and steps as without the penalty. The loss is the training's own
    plus ``weight`` times the variance of a structure's predictions, rotated back, in the
    same terms and with the same weights: L = L_err + weight A².
    """

    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 4.0
    """Weight of the squared equivariance error against the squared error; 0 is plain
    augmentation with copies.
    """
    copies: Annotated[int, Field(ge=2, strict=True)] = 2
    """Orientations of a structure in a batch, drawn anew each time. The batch size has to
    be as large.
    """
    start: Annotated[float, Field(ge=0, le=1)] = 0.75
    """When the penalty begins, as a share of the epochs. Until then the training is
    metatrain's: copies cost accuracy while there is still much to learn. The last epoch
    always has the penalty.
    """
    ramp: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the epochs in which the weight rises linearly to its full value, which it
    has in the last epoch at the latest.
    """


def complete(options: object) -> PenaltyHypers | None:
    """Fill the options with the defaults.

    :param options: some of the options, None for no penalty
    :raises ValueError: if one is unknown, of the wrong type or out of range
    :return: all of them, or None
    """
    return None if options is None else checked(options, PenaltyHypers, NAME)


def check_batch(options: PenaltyHypers, training: Mapping[str, Any]) -> None:
    """Make sure that a batch holds all copies of a structure.

    :param options: of the penalty
    :param training: hyperparameters of the trainer
    :raises ValueError: if it does not
    """
    size, copies = training.get("batch_size"), options["copies"]
    if training.get("max_atoms_per_batch") is None and size is not None and size < copies:
        raise ValueError(
            f"{NAME}.copies is {copies}, but a batch has {size} structures only: raise "
            "training.batch_size, or take fewer copies"
        )
