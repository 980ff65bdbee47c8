"""``mtt symmetrize MODEL -o AVERAGED.pt``: parsing."""

import argparse

from ..api.symmetrize_model import symmetrize_model
from . import checks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    :param parser: of the sub-command
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help="checkpoint or exported model")
    add(
        "-o",
        "--output",
        metavar="AVERAGED.pt",
        required=True,
        help="exported model to write",
    )
    add(
        "--group",
        default="icosahedral",
        metavar="NAME",
        help="tetrahedral (12 rotations), octahedral (24) or icosahedral (60), or T, O, I; "
        "also D2 (4) and i (inversion); Ti, Oi, Ii and D2i with inversion "
        "(default: icosahedral)",
    )
    add(
        "--inversion",
        action="store_true",
        help="take each rotation with and without inversion: twice as many evaluations",
    )
    add(
        "--batch-atoms",
        type=int,
        metavar="N",
        help="rotated copies share an evaluation up to this many atoms: more is faster on "
        "a GPU, and takes memory (default: 64)",
    )
    add("--state", choices=("best", "latest"),
        help="which state of a checkpoint (default: best, as mtt export)")  # fmt: skip
    add("--extensions", metavar="DIR", help="folder of an exported model's extensions")
    add("--overwrite", action="store_true", help="replace the output if it is there")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    :param arguments: as parsed
    :raises ValueError: with one sentence for the user
    """
    checks.alone("exporting an averaged model")
    symmetrize_model(
        arguments.model,
        arguments.output,
        arguments.group,
        inversion=arguments.inversion,
        batch_atoms=arguments.batch_atoms,
        state=arguments.state,
        extensions=arguments.extensions,
        overwrite=arguments.overwrite,
    )
