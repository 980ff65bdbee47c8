"""Inputs and places for results, looked at before any work."""

import os
import shutil
from pathlib import Path

from . import io
from .messages import quoted


ROOM = 20 * 2**20
"""Bytes that have to be free for a report."""


def input_file(path: object, what: str) -> Path:
    """Make sure that an input is a file.

    :param path: as given
    :param what: how messages call it, such as ``the model``
    :raises ValueError: if it is no path, not there, a folder, or cannot be opened
    :return: the path
    """
    if not isinstance(path, str | Path):
        raise ValueError(f"{what} is the path of a file, not {quoted(path)}: give a path")
    try:
        found = Path(path)
        if found.is_dir():
            raise ValueError(f"{what} '{path}' is a folder: give a file")
        if not found.exists():
            raise ValueError(f"{what} '{path}' does not exist: correct the path")
        with found.open("rb"):
            return found
    except OSError as error:
        raise ValueError(
            f"{what} '{quoted(str(path))[1:-1]}' cannot be opened ({error.strerror}): "
            "correct the path, or what may be read"
        ) from error


def check_folder(folder: str | Path, overwrite: bool, flag: str = "-o") -> Path:
    """Make sure, before any work, that a folder of results can be written.

    :param folder: where to
    :param overwrite: whether older results may be replaced
    :param flag: what the user gave it with, for messages
    :raises ValueError: if it is a file, cannot be written, or must not be replaced
    :return: the folder, with links resolved
    """
    folder = resolved(folder, flag)
    io.recover(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is a file: name a folder with {flag}")
    _check_not_standing_in(folder, flag)
    found = io.files_below(folder) if folder.is_dir() else set()
    if found and not overwrite:
        raise ValueError(
            f"the folder '{folder}' is there already: name another one with {flag}, or "
            "replace it with --overwrite"
        )
    others = sorted(found.difference(io.ours(folder)))
    if others:
        raise ValueError(
            f"the folder '{folder}' holds more than results of ours ('{others[0]}'), "
            f"which --overwrite would delete: name another one with {flag}"
        )
    check_writable(folder, ROOM)
    return folder


def check_file(
    output: str | Path, source: Path, overwrite: bool, suffix: str, why: str
) -> Path:
    """Make sure, before any work, that a model can be written.

    :param output: where to
    :param source: the input
    :param overwrite: whether an older file may be replaced, the input included
    :param suffix: what its name must end in
    :param why: the reason for this, for messages
    :raises ValueError: if it cannot
    :return: the path, with links resolved
    """
    output = resolved(output)
    io.recover(output)
    if output.suffix != suffix:
        raise ValueError(
            f"'{output.name}' must end in {suffix}, because {why}: name another file with "
            "-o"
        )
    if output.is_dir():
        raise ValueError(f"'{output}' is a folder: name a file with -o")
    if output.exists() and not overwrite:
        what = "the input" if output == source.resolve() else "there already"
        raise ValueError(
            f"'{output}' is {what}: name another file with -o, or replace it with "
            "--overwrite"
        )
    check_writable(output, 2 * source.stat().st_size if source.is_file() else 0)
    return output


def check_writable(place: Path, size: int) -> None:
    """Make sure that something can be written.

    :param place: file or folder; parents that are missing are made when it is written
    :param size: bytes that have to be free
    :raises ValueError: if they are not, or if the folder cannot be written to
    """
    parent = next(p for p in place.parents if os.path.lexists(p))
    if not parent.is_dir():
        raise ValueError(
            f"'{place}' cannot be written: '{parent}' is a file and not a folder, so name "
            "another place"
        )
    try:
        probe = io.unfinished(parent / place.name)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise ValueError(
            f"'{place}' cannot be written, because the folder '{parent}' does not take "
            f"files ({error.strerror}): name another place"
        ) from error
    free = shutil.disk_usage(parent).free
    if free < size:
        raise ValueError(
            f"'{place}' cannot be written: {size / 2**20:.0f} MiB are needed and "
            f"{free / 2**20:.0f} MiB are free there, so make room or name another place"
        )


def check_apart(places: dict[str, Path]) -> None:
    """Make sure that inputs and outputs do not lie in each other's place.

    :param places: paths by how messages call them, links resolved; folders that are
        replaced come after the files that must survive
    :raises ValueError: if two are the same, or if one lies in the other
    """
    named = list(places.items())
    for i, (name, path) in enumerate(named):
        for other, second in named[i + 1 :]:
            if path == second:
                raise ValueError(f"{name} and {other} are both '{path}': name two places")
            if second in path.parents or path in second.parents:
                raise ValueError(
                    f"{name} '{path}' and {other} '{second}' lie in each other: name two "
                    "places beside each other"
                )


def resolved(path: str | Path, flag: str = "-o") -> Path:
    """Path of an output, with links resolved.

    :param path: as given
    :param flag: what the user gave it with
    :raises ValueError: if it is no path, or one with a name too long
    :return: the path
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ValueError(f"{flag} needs the path of a place to write to, not {path!r}")
    try:
        found = Path(path).resolve()
        found.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{flag} is no path that this computer can write: {str(path)[:60]!r}"
        ) from error
    if len(os.fsencode(found.name)) > 200:
        raise ValueError(
            f"the name '{found.name[:40]}…' is too long: give one of at most 200 "
            f"characters with {flag}"
        )
    return found


def _check_not_standing_in(folder: Path, flag: str) -> None:
    here = Path.cwd()
    if folder == here or folder in here.parents:
        raise ValueError(
            f"the folder '{folder}' is the one you are in, or above it, and would be "
            f"replaced: name a new folder with {flag}"
        )
