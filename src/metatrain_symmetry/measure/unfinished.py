"""Files written whole or not at all, and what a killed process leaves of them.

An unfinished file says in its name which process of which machine writes it, so that the
next one can remove what nobody will finish, and nothing else.
"""

import os
import re
import shutil
import socket
from pathlib import Path
from uuid import uuid4


def unfinished(path: Path) -> Path:
    """Name a file, or a folder, that becomes another one when it is finished.

    :param path: the finished one
    :return: a hidden one beside it, not there yet
    """
    mark = f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{mark}.part")


def write_whole(path: Path, text: str) -> None:
    """Write a text; a reader never finds half of it.

    :param path: replaced if it is there
    :param text: in UTF-8
    """
    part = unfinished(path)
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes of this machine have left in a folder.

    :param folder: need not be there
    """
    for part in folder.glob(".*.part") if folder.is_dir() else []:
        found = re.fullmatch(r"\..*\.([^.]*)-(\d+)-[0-9a-f]{8}\.part", part.name)
        if not found or found[1] != _machine() or _alive(int(found[2])):
            continue
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _machine() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _alive(process: int) -> bool:
    """Whether a process runs; it may be somebody else's."""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
