"""What can be chosen about a measurement."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of a measurement; the defaults suit a first look.

    :param lambda_max: largest λ of the spectra
    :param estimator: ``grid``: the exact grid on every structure. ``circles``: random
        circles on every structure. ``hybrid``: the grid on every structure where
        ``max_evaluations`` affords it; otherwise on a few, for the pseudo channels, and
        circles on the others
    :param degree: integration degree of the grid; None raises it until the residual of
        a pilot structure is below ``tolerance``
    :param max_degree: where raising it stops
    :param tolerance: residual share of a probe below which it counts as converged
    :param circles: circles on each structure; None takes as many as bring about 100
    :param max_evaluations: evaluations that ``hybrid`` may spend on exact grids
    :param memory: budget for one evaluation, and for the sums of one structure, each,
        in bytes
    :param seed: of circles, sketches and choices among structures
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lambda_max: int = Field(default=8, ge=0, le=32)
    estimator: Literal["grid", "circles", "hybrid"] = "hybrid"
    degree: int | None = Field(default=None, ge=0, le=131)
    max_degree: int = Field(default=20, ge=0, le=131)
    tolerance: float = Field(default=1e-3, gt=0, lt=1)
    circles: int | None = Field(default=None, ge=1)
    max_evaluations: int = Field(default=20_000, ge=0)
    memory: int = Field(default=2 * 2**30, ge=2**20)
    seed: int = Field(default=0, ge=0)
