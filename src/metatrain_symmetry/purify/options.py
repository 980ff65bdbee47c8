"""The options file of ``mtt purify``: sections of ``mtt train``, and one of its own.

The options file of a training will do; its ``architecture`` is not looked at, and with the
seed that stands there the validation set is that of the training::

    seed: 1
    training_set:
      systems: {read_from: molecules.xyz, length_unit: angstrom}
      targets:
        energy: {key: energy, unit: eV}
    validation_set: 0.1
    purify:
      max_rmse_increase: 0.01
      max_structures: 500
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ..data.options_files import Source, load, training
from ..data.splits import Sections
from ..messages import did_you_mean, quoted
from ..options import checked


NonNegative = Annotated[float, Field(ge=0)]

# what an options file of `mtt train` may hold: it can be used as it is
SHARED = ("training_set", "validation_set", "test_set", "seed", "device", "base_precision")
METHODS = ("readout", "heads", "full")
IGNORED = ("architecture", "final_eval", "print_stats", "wandb")


@with_config(ConfigDict(strict=True))
class PurifyHypers(TypedDict):
    """How the readouts are purified."""

    method: Literal["readout"] = "readout"
    """What is changed: ``readout`` solves for the last linear layers. ``heads`` and
    ``full`` fine-tune, and have other options.
    """
    targets: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the targets; ``null`` for all that are both in the model and in the data."""
    degree: Annotated[int, Field(ge=1, le=131)] | None = None
    """Integration degree of the grid on O(3). ``null``: 8, or twice the largest λ of the
    targets where that is more."""
    alpha: Annotated[list[NonNegative], Field(min_length=1)] = [  # noqa: RUF012
        0.0, 0.1, 0.3, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0,
        100.0, 300.0, 1e3, 1e4,
    ]  # fmt: skip
    """Weights of the squared equivariance error against the squared error; ``.inf`` for
    readouts that are equivariant on the training set."""
    ridge: Annotated[list[NonNegative], Field(min_length=1)] = [  # noqa: RUF012
        0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0,
    ]  # fmt: skip
    """Pull towards the trained weights, relative to the variance of each feature. Chosen
    among these, for each alpha, on the validation set."""
    max_rmse_increase: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Largest increase of a validation RMSE that is accepted, as a share of it."""
    max_structures: Annotated[int, Field(ge=1)] | None = None
    """Budget: take at most N structures of the training set, at random."""
    max_validation_structures: Annotated[int, Field(ge=1)] | None = None
    """Likewise, of the validation set."""
    report_structures: Annotated[int, Field(ge=0)] = 8
    """On how many validation structures the spectra of the outputs are measured, before
    and after."""
    memory_mib: Annotated[float, Field(ge=1, le=2**30, allow_inf_nan=False)] = 2048
    """Budget for the matrices of the solve, and for one evaluation, each, in MiB."""


@dataclass(frozen=True)
class PurifyOptions:
    """What an options file says.

    :param sections: data sets, and the seed of their split
    :param hypers: section ``purify``
    :param device: where to evaluate, None for a GPU if there is one
    :param base_precision: 32 or 64, None for that of the model
    """

    sections: Sections
    hypers: PurifyHypers
    device: str | None
    base_precision: int | None


@dataclass(frozen=True)
class Shared:
    """What options files of all methods have in common.

    :param options: all of it, checked by metatrain
    :param purify: the section of that name, empty if there is none
    :param sections: data sets, and the seed of their split
    :param device: where to evaluate, None for a GPU if there is one
    :param base_precision: 32 or 64, None for that of the model
    """

    options: DictConfig
    purify: dict[str, Any]
    sections: Sections
    device: str | None
    base_precision: int | None

    @property
    def method(self) -> str:
        """What is changed: ``readout``, ``heads`` or ``full``.

        :raises ValueError: if there is no such method
        """
        found = self.purify.get("method", "readout")
        if found not in METHODS:
            raise ValueError(
                f"purify.method is {quoted(found)}: {did_you_mean(str(found), METHODS)}"
            )
        return str(found)


def read_shared(source: Source) -> Shared:
    """Read an options file, but for what its section ``purify`` means.

    :param source: path of a YAML file, or its content
    :raises ValueError: if it cannot be read
    :return: its sections
    """
    options = training(_checked(source))
    section: Any = {} if options.get("purify") is None else options.purify
    if OmegaConf.is_config(section):
        section = OmegaConf.to_container(section, resolve=True)
    if not isinstance(section, dict):
        raise ValueError(
            f"purify is {quoted(section)}: give options such as method, or {{}} for the "
            "defaults"
        )
    precision = options.get("base_precision")
    if precision not in (None, 32, 64):
        raise ValueError(
            f"base_precision is {precision}: PET takes 32 and 64, so write one of them"
        )
    seed, test = options.get("seed"), options.get("test_set")
    sections = Sections(
        options.training_set,
        options.validation_set,
        0.0 if test is None else test,
        0 if seed is None else seed,
    )
    return Shared(options, section, sections, options.get("device"), precision)


def read_options(source: Source) -> PurifyOptions:
    """Read an options file of ``method: readout``.

    :param source: path of a YAML file, or its content
    :raises ValueError: if it cannot be read, or if an option is unknown or out of range
    :return: its sections, complete
    """
    shared = read_shared(source)
    hypers = complete(shared.purify)
    return PurifyOptions(shared.sections, hypers, shared.device, shared.base_precision)


def _checked(source: Source) -> DictConfig:
    """Content of an options file that has the sections that are needed."""
    options = load(source)
    if not isinstance(options, DictConfig):
        raise ValueError("the options of mtt purify are sections, not a list: name them")
    known = (*SHARED, *IGNORED, "purify")
    if options and not set(options).intersection(known):
        first = quoted(next(iter(options)))
        raise ValueError(
            f"the options begin with {first} and have no section of mtt train: give an "
            "options file with training_set and validation_set"
        )
    for name in map(str, options):
        if name not in known:
            raise ValueError(
                f"the options have no section '{name}': {did_you_mean(name, known)}"
            )
    for name in ("training_set", "validation_set"):
        if options.get(name) is None:
            raise ValueError(
                f"the options have no section '{name}': write it as for mtt train"
            )
    return options


def complete(options: object) -> PurifyHypers:
    """Check the section ``purify`` and fill in the defaults.

    :param options: some of the options
    :raises ValueError: if one is unknown or out of range
    :return: all of them
    """
    found = checked(options, PurifyHypers, "purify")
    if float("inf") in found["ridge"]:
        raise ValueError(
            "purify.ridge holds .inf: give finite numbers, or leave out the target"
        )
    return found
