"""What we add to the sub-commands of ``mtt``.

Standard library only, as :mod:`metatrain_symmetry.plugin.patches`: the work of a command
is imported when it is asked for.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """A sub-command of ``mtt``.

    :param name: as typed after ``mtt``
    :param help: one line for ``mtt --help``
    :param add_arguments: adds the arguments to the command's own parser
    :param run: does the work; what it raises ends in ``error.log`` and exit code 1
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def _add_symmetry_arguments(parser: argparse.ArgumentParser) -> None:
    from metatrain_symmetry.cli import symmetry

    symmetry.add_arguments(parser)


def _run_symmetry(arguments: argparse.Namespace) -> None:
    from metatrain_symmetry.cli import symmetry

    symmetry.run(arguments)


def _add_purify_arguments(parser: argparse.ArgumentParser) -> None:
    from metatrain_symmetry.cli import purify

    purify.add_arguments(parser)


def _run_purify(arguments: argparse.Namespace) -> None:
    from metatrain_symmetry.cli import purify

    purify.run(arguments)


COMMANDS: list[Command] = [
    Command(
        "symmetry",
        "measure how far a model is from O(3) equivariance, and what its layers hold",
        _add_symmetry_arguments,
        _run_symmetry,
    ),
    Command(
        "purify",
        "solve for readouts of a checkpoint that break the symmetry less, at a known cost",
        _add_purify_arguments,
        _run_purify,
    ),
]
"""What we add to the sub-commands of ``mtt``."""


def add_parser(subparser: Any, command: Command) -> None:
    """Add one of our sub-commands; should that fail, ``mtt`` lives without it.

    :param subparser: what ``add_subparsers`` of metatrain's parser has returned
    :param command: to be added
    """
    try:
        parser = subparser.add_parser(
            command.name, help=command.help, description=command.help
        )
        parser.set_defaults(callable="export_model", _command=command)
        command.add_arguments(parser)
    except Exception as error:
        warnings.warn(
            f"'mtt {command.name}' of metatrain_symmetry is not available "
            f"({type(error).__name__}: {error})",
            RuntimeWarning,
            stacklevel=2,
        )
