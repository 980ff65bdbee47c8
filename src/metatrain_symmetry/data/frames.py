"""Files of extended XYZ, of which one structure at a time is read."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, overload

import ase
import numpy as np
from ase.io.extxyz import read_xyz
from ase.io.formats import UnknownFileTypeError, filetype, get_compression

from ..progress import progress


SHOWN = 2**28
"""Bytes from which on looking through a file shows a bar."""

STEP = 1000
"""Structures between two updates of the bar."""


class Frames(Sequence[ase.Atoms]):
    """Structures of a file of extended XYZ, each read when it is asked for.

    The file is looked through once. In memory are 12 bytes for each structure.

    :param path: of the file
    :raises ValueError: if its lines are not those of extended XYZ

    >>> from metatrain_symmetry.data.frames import Frames
    >>> frames = Frames("molecules.xyz")
    >>> len(frames), frames.sizes[:3].tolist()
    (20, [7, 7, 10])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._version = _version(self.path.stat())
        self.bounds, self.sizes = _scan(self.path)

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> ase.Atoms: ...

    @overload
    def __getitem__(self, index: slice) -> list[ase.Atoms]: ...

    def __getitem__(self, index: int | slice) -> ase.Atoms | list[ase.Atoms]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        text = self.text(index)
        try:
            atoms: ase.Atoms = next(read_xyz(StringIO(text.decode()), 0))
        except Exception as error:
            raise ValueError(
                f"structure {index} of '{self.path}' cannot be read by ASE: check that the "
                "file is whole, and of the format that its name says"
            ) from error
        return atoms

    def text(self, index: int) -> bytes:
        """The lines of one structure.

        :param index: of the structure
        :raises IndexError: if there is no such structure
        :raises ValueError: if this is no longer the file that was looked through
        :return: as they stand in the file
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no structure {index} among {len(self)}")
        index %= len(self)
        first, last = self.bounds[index : index + 2].tolist()
        with self.path.open("rb") as file:
            if _version(os.fstat(file.fileno())) != self._version:
                raise ValueError(
                    f"'{self.path}' has changed while it was being read: start again, and "
                    "write other structures to another file"
                )
            file.seek(first)
            return file.read(last - first)


def frames_of(path: Path) -> Frames | None:
    """Look through a file, if structures of it can be read one by one.

    :param path: an existing file
    :return: None for other formats, compressed files, and what is not clean XYZ
    """
    try:
        if get_compression(str(path))[1] is not None:
            return None
        if filetype(str(path), read=True) != "extxyz":
            return None
        return Frames(path)
    except (ValueError, OSError, UnknownFileTypeError):
        return None  # whoever reads all of it finds the words


def _scan(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bytes at which structures begin and end, and their numbers of atoms."""
    size = path.stat().st_size
    bounds, counts = _Grown(np.int64), _Grown(np.int32)
    with (
        path.open("rb", buffering=2**20) as file,
        progress(size, f"looking through {path.name}", "B", size < SHOWN) as bar,
    ):
        here, line = 0, file.readline()
        while line.strip():
            bounds.append(here)
            here, line, count = _next(file, here, line)
            counts.append(count)
            if len(counts) % STEP == 0:
                bar.update(here - bar.n)
        bounds.append(here)
        bar.update(here - bar.n)
        if line and any(part.strip() for part in iter(partial(file.read, 2**20), b"")):
            logging.warning(
                f"'{path}' has a blank line after {len(counts)} structures, and ASE takes "
                "nothing of what follows it: remove that line"
            )
    return bounds.array(), counts.array()


def _version(found: os.stat_result) -> tuple[int, int]:
    """What changes when a file is written anew."""
    return found.st_size, found.st_mtime_ns


def _next(file: IO[bytes], here: int, header: bytes) -> tuple[int, bytes, int]:
    """Step over one structure.

    :param file: after the line that begins the structure
    :param here: where that line begins
    :param header: that line, the number of atoms
    :return: where the structure ends, the line after it, its number of atoms
    """
    count = int(header)
    lengths = [len(line) for line in islice(file, count + 1)]
    if count < 0 or len(lengths) != count + 1:
        raise ValueError("the file ends within a structure: write it anew")
    here += len(header) + sum(lengths)
    line = file.readline()
    while line.lstrip().startswith(b"VEC"):
        here += len(line)
        line = file.readline()
    return here, line, count


class _Grown:
    """An array that grows: a list of Python's would take 36 bytes for a number."""

    def __init__(self, dtype: type) -> None:
        self.values: np.ndarray = np.zeros(1024, dtype)
        self.n = 0

    def __len__(self) -> int:
        return self.n

    def append(self, value: int) -> None:
        """Add a number."""
        if self.n == len(self.values):
            self.values = np.concatenate([self.values, np.zeros_like(self.values)])
        self.values[self.n] = value
        self.n += 1

    def array(self) -> np.ndarray:
        """What was added."""
        return self.values[: self.n].copy()
