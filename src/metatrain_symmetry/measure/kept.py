"""Results of single structures, kept in files as they come: a killed run goes on from them.

The name of a file is a digest of everything that its content depends on, so that a run
with other options, another model or another structure never takes it for its own.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..data.labelled import LabelledStructure
from ..data.lazy import LazyStructures
from ..io import replacing


FORMAT = 1
"""Of the files: to be raised when what they hold changes."""


def kept_folder(output: Path) -> Path:
    """Where pieces of a report are kept until it is written.

    :param output: folder or file of the results
    :return: hidden, beside it
    """
    return output.with_name(f".{output.name}-kept")


class Kept:
    """Pieces of one measurement.

    :param folder: where they are
    :param about: what all of them depend on; equal if and only if their ``repr`` is
    :param resume: whether those of an earlier run are taken
    """

    def __init__(self, folder: Path, about: object, resume: bool = False) -> None:
        self.folder, self.resume = folder, resume
        self.digest = digest(FORMAT, about)

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
        with replacing(self._path(identity)) as new:
            torch.save(piece, new)

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
        system = data.systems[index]
        targets = {} if data.targets is None else data.targets[index]
    else:
        one: LabelledStructure = data[index]
        system, targets = one.structure.system, one.targets
    found = [_of(getattr(system, name, None)) for name in ("positions", "types", "cell")]
    found.append(_of(getattr(system, "pbc", None)))
    for name in system.known_data() if hasattr(system, "known_data") else ():
        blocks = system.get_data(name).blocks()
        found += [name, *(_of(block.values) for block in blocks)]
    return digest(*found, _of_targets(targets))


def _of_targets(targets: Mapping[Any, torch.Tensor]) -> list[tuple[str, str]]:
    return [(repr(block), _of(values)) for block, values in targets.items()]


def _of(values: Any) -> str:
    """Digest of a tensor."""
    if not torch.is_tensor(values):
        return repr(values)
    array = values.detach().cpu().contiguous().numpy()
    content = hashlib.sha256(array.tobytes()).hexdigest()
    return f"{array.dtype}{array.shape}{content}"
