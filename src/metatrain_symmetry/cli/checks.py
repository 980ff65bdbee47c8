"""Arguments of ``mtt symmetry`` that mean nothing to Python, one sentence each."""

import argparse
import math


LARGEST_MEMORY = 2**20
"""GB; more is a mistake."""

OF_MODELS = (
    "targets", "probes", "group", "lambda_max", "estimator", "degree", "tolerance",
    "circles", "max_structures", "memory", "dtype", "extensions", "seed", "budget", "fmax",
    "compile",
)  # fmt: skip
"""Arguments that say how a model is measured: a run has been measured already."""


def alone(what: str) -> None:
    """Refuse several processes where all of them would do the same, in the same place.

    :param what: is done
    :raises ValueError: if there are several
    """
    from ..processes import started

    if started() > 1:
        raise ValueError(
            f"{what} is work for one process: start it without torchrun, or unset "
            "WORLD_SIZE"
        )


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
