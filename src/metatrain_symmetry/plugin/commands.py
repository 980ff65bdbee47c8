"""What we add to the sub-commands of ``mtt``.

Standard library only, as :mod:`metatrain_symmetry.plugin.patches`: the work of a command
is imported when it is asked for.
"""

import argparse
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..cli.quiet import WARNINGS


GRACE = 15.0
"""Seconds that the first of several processes has to say what is wrong."""


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


def _add_symmetrize_arguments(parser: argparse.ArgumentParser) -> None:
    from metatrain_symmetry.cli import symmetrize

    symmetrize.add_arguments(parser)


def _run_symmetrize(arguments: argparse.Namespace) -> None:
    from metatrain_symmetry.cli import symmetrize

    symmetrize.run(arguments)


COMMANDS: list[Command] = [
    Command(
        "symmetry",
        "measure how far a model is from O(3) equivariance, and what its layers hold",
        _add_symmetry_arguments,
        _run_symmetry,
    ),
    Command(
        "purify",
        "make a checkpoint break the symmetry less, at a known cost in accuracy",
        _add_purify_arguments,
        _run_purify,
    ),
    Command(
        "symmetrize",
        "export a model that averages over a group of rotations inside",
        _add_symmetrize_arguments,
        _run_symmetrize,
    ),
]
"""What we add to the sub-commands of ``mtt``."""


class Terminated(BaseException):
    """SIGTERM has arrived; no ``except Exception`` may swallow it."""


def run(command: Command, arguments: argparse.Namespace) -> None:
    """Run one of our sub-commands; interruptions are one line and an exit code.

    :param command: to be run
    :param arguments: as parsed
    :raises SystemExit: with 130 after Ctrl-C, 143 after SIGTERM
    """
    name = f"mtt {command.name}"
    try:
        with _terminable(), _one_voice(), warnings.catch_warnings():
            for message, category in WARNINGS:
                warnings.filterwarnings("ignore", message, category)
            command.run(arguments)
    except KeyboardInterrupt:
        logging.error(f"{name} was interrupted: it leaves nothing half-written")
        raise SystemExit(128 + signal.SIGINT) from None
    except Terminated:
        logging.error(f"{name} was terminated{_why()}: it leaves nothing half-written")
        raise SystemExit(128 + signal.SIGTERM) from None


def _place() -> tuple[int, int]:
    """Number of this process, and of all that ``torchrun`` has started."""
    try:
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    except ValueError:
        return 0, 1


def _why() -> str:
    """What ends one of several processes, mostly."""
    size = _place()[1]
    return f", as all of {size} processes are when one of them is lost" * (size > 1)


@contextmanager
def _one_voice() -> Iterator[None]:
    """Let the first of several processes speak for all of them.

    What is wrong for one is wrong for all of them, or is told to the first one, and all of
    them are ended then.
    """
    rank, size = _place()
    if size == 1 or rank == 0:
        yield
        return
    logging.disable(logging.WARNING)
    try:
        yield
    except Exception:
        time.sleep(GRACE)
        raise
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise, so that what is being written is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


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
