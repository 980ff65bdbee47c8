"""Results are written whole or not at all.

What is being written lies in a hidden folder beside its place, whose name says which
process on which computer writes it. A process that is killed leaves that folder behind;
the next one with the same place removes it, or puts back the results that were there
before.
"""

import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


SUMMARY = "summary.json"
"""File in a folder of results that lists, under ``files``, what we wrote there."""

_OLD = "old"


def files_below(folder: Path) -> set[str]:
    """Everything below a folder that is no folder, and folders that are empty.

    :param folder: an existing folder
    :return: paths relative to it
    """
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }


def ours(folder: Path) -> set[str]:
    """What we wrote into a folder, as its summary says.

    :param folder: of results
    :return: paths relative to it; none where there is no summary of ours
    """
    try:
        listed = json.loads((folder / SUMMARY).read_text())["files"]
        return {SUMMARY, *map(str, listed)}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def list_files(folder: Path) -> None:
    """Write into the summary of a folder which files belong to it.

    :param folder: of results, complete, with a ``summary.json``
    """
    path = folder / SUMMARY
    summary = json.loads(path.read_text()) if path.is_file() else {}
    summary["files"] = sorted(files_below(folder) | {SUMMARY})
    write_json(path, summary)


def write_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """Write a folder of results, all or nothing.

    :param folder: replaced if it is there
    :param fill: writes into an empty folder
    """
    with replacing(folder) as new:
        new.mkdir()
        fill(new)
        list_files(new)


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Path to write a file or a folder to, whole or not at all.

    :param place: where it is at the end; what was there is replaced
    :return: of the same name, in a hidden folder beside the place
    """
    with scratch_beside(place) as scratch:
        new = scratch / place.name
        yield new
        put(new, place)


@contextmanager
def scratch_beside(place: Path) -> Iterator[Path]:
    """Hidden folder beside a place, so that moving there is atomic.

    :param place: file or folder; its parent is made if need be
    :return: the folder, gone at the end
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = _hidden(place, uuid.uuid4().hex[:8])
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put(new: Path, place: Path) -> None:
    """Move into place; what was there comes back if that fails.

    :param new: file or folder beside the place
    :param place: where it goes, a file or folder that is replaced, or nothing yet
    """
    if not place.is_dir():
        os.replace(new, place)
        return
    # a killed process leaves it behind, and `recover` puts it back
    old = _hidden(place, _OLD)
    os.replace(place, old)
    try:
        os.replace(new, place)
    except BaseException:
        os.replace(old, place)
        raise
    shutil.rmtree(old)


def unfinished(path: Path) -> Path:
    """Name for a file while it is being written.

    :param path: what it will be called
    :return: hidden, beside it
    """
    return _hidden(path, f"{uuid.uuid4().hex[:8]}.part")


def recover(place: Path) -> None:
    """Clean up after processes that were killed while they wrote to a place.

    Results that were there before come back if their successor never arrived.

    :param place: file or folder
    """
    for path, end in _leftovers(place.parent, re.escape(place.name[:100])):
        if end == _OLD and not os.path.lexists(place):
            os.replace(path, place)
        else:
            _remove(path)


def clean(folder: Path) -> None:
    """Remove what processes that were killed have left unfinished.

    Results that :func:`recover` would put back stay.

    :param folder: what lies directly in it is looked at
    """
    for path, end in _leftovers(folder, ".+"):
        if end != _OLD:
            _remove(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    :param path: replaced if it is there
    :param text: in UTF-8
    """
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    :param path: replaced if it is there
    :param content: without numbers that are not finite, which JSON does not have
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _leftovers(folder: Path, name: str) -> list[tuple[Path, str]]:
    """Hidden files and folders of dead processes, and how their names end."""
    pattern = re.compile(rf"\.{name}-{_host()}-(\d+)-([0-9a-f]{{8}}(?:\.part)?|{_OLD})")
    try:
        matches = [pattern.fullmatch(entry) for entry in os.listdir(folder)]
    except OSError:
        return []
    dead = [match for match in matches if match and not _alive(int(match[1]))]
    return [(folder / match[0], match[2]) for match in dead]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _hidden(place: Path, end: str) -> Path:
    return place.with_name(f".{place.name[:100]}-{_host()}-{os.getpid()}-{end}")


def _host() -> str:
    """Name of this computer: others may write to the same disk."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node())[:30] or "here"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
