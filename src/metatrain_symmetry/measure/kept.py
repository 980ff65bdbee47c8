"""Results of single structures, kept in files as they come: a killed run goes on from them.

The name of a file is a digest of everything that its content depends on, so that a run
with other options, another model or another structure never takes it for its own.
"""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..data.labelled import LabelledStructure
from ..data.lazy import LazyStructures
from ..io import replacing


STRUCTURE = "structure"
"""First part of the identity of what was found on one structure."""

FORMAT = 1
"""Of the files: to be raised when what they hold changes."""


def kept_folder(output: Path) -> Path:
    """Where pieces of a report are kept until it is written.

    :param output: folder or file of the results
    :return: hidden, beside it
    """
    return output.with_name(f".{output.name}-kept")


def say_goodbye(folder: Path) -> None:
    """Say what there is for the next run, of one that ends before its time.

    :param folder: where pieces are kept
    """
    if any(folder.glob("*.pt")):
        logging.info(
            f"what has been found so far is kept in '{folder}': the same command with "
            "--continue goes on from there"
        )


class Kept:
    """Pieces of one measurement.

    :param folder: where they are
    :param about: what all of them depend on; equal if and only if their ``repr`` is
    :param resume: whether those of an earlier run are taken
    """

    def __init__(self, folder: Path, about: object, resume: bool = False) -> None:
        self.folder, self.resume = folder, resume
        self.digest = digest(FORMAT, about)
        self.count = 0
        self.earlier = any(folder.glob("*.pt"))

    def get(self, *identity: object) -> Any:
        """Look for a piece.

        :param identity: what it depends on beside the rest
        :return: the piece; None if it is not there, or cannot be read
        """
        path = self._path(identity)
        if not self.resume or not path.is_file():
            return None
        try:
            return torch.load(path, weights_only=False, map_location="cpu")
        except Exception:  # as a computer that crashed has left it: to be measured again
            return None

    def put(self, piece: object, *identity: object) -> None:
        """Keep a piece, whole or not at all.

        :param piece: to be kept
        :param identity: as for :meth:`get`
        """
        self.count += identity[0] == STRUCTURE
        try:
            with replacing(self._path(identity)) as new:
                torch.save(piece, new)
        except BaseException:
            with suppress(OSError):  # others may be there
                self.folder.rmdir()
            raise

    def say(self) -> None:
        """Say what is there of an earlier run."""
        if not self.earlier:
            return
        if self.resume:
            logging.info(
                f"going on from what is kept in '{self.folder}', as far as model, options "
                "and structures are the same"
            )
        else:
            logging.info(
                f"'{self.folder}' holds results of a run that did not finish: this run "
                "begins anew, with --continue it would go on from them"
            )

    def remove_if_little(self) -> None:
        """Remove them if no structure has been finished by now, and nothing was there."""
        if not self.count and not self.earlier:
            self.remove()

    def remove(self) -> None:
        """Remove all of them: they are no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, identity: tuple[object, ...]) -> Path:
        return self.folder / f"{digest(self.digest, *identity)}.pt"


def digest(*parts: object) -> str:
    """Shorten what something depends on.

    :param parts: equal if and only if their ``repr`` is
    :return: 40 hexadecimal digits
    """
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


def digest_of_file(path: Path) -> str:
    """Digest of the bytes of a file.

    :param path: of the file
    :return: 64 hexadecimal digits
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_structure(data: Any, index: int) -> str:
    """Digest of a structure and of what is known of its targets.

    :param data: structures, prepared or not
    :param index: number of the structure
    :return: hexadecimal digits
    """
    if isinstance(data, LazyStructures):
        given = data.given[index]
        system = given.system
        targets: Mapping[Any, torch.Tensor] = {}
        if data.labels:
            targets = given.targets(data.engine.blocks)
    else:
        one: LabelledStructure = data[index]
        system, targets = one.structure.system, one.targets
    # of clouds of points all columns
    names = ("positions", "types", "cell", "pbc", "columns")
    found = [digest_of_tensor(getattr(system, name, None)) for name in names]
    for name in system.known_data() if hasattr(system, "known_data") else ():
        blocks = system.get_data(name).blocks()
        found += [name, *(digest_of_tensor(block.values) for block in blocks)]
    return digest(*found, _of_targets(targets))


def _of_targets(targets: Mapping[Any, torch.Tensor]) -> list[tuple[str, str]]:
    return [(repr(block), digest_of_tensor(values)) for block, values in targets.items()]


def digest_of_tensor(values: Any) -> str:
    """Digest of the type, shape and content of a tensor.

    :param values: on any device; anything else is spelled out
    :return: short
    """
    if not torch.is_tensor(values):
        return repr(values)
    array = values.detach().cpu().contiguous().numpy()
    content = hashlib.sha256(array.tobytes()).hexdigest()
    return f"{array.dtype}{array.shape}{content}"
