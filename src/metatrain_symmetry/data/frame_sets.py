"""Data sets of large files of extended XYZ, read by metatrain one structure at a time.

metatrain reads all structures of such a file, and once more for each target and gradient.
"""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.utils.data import Dataset, read_systems, read_targets
from metatrain.utils.data.readers import read_extra_data

from ..messages import reason
from ..models.tensor_maps import mapped
from .frames import Frames, frames_of


LARGE = 2**22
"""Bytes of a file from which on its structures are read one by one."""


class FrameSet:
    """Structures and targets of files of extended XYZ.

    What metatrain's readers need is written for one structure at a time, so that it is they
    who read it.

    :param part: section of an options file, as metatrain completes it
    :param files: the files that it names
    :raises ValueError: if they hold different numbers of structures, or if the first one
        cannot be read
    """

    def __init__(self, part: Any, files: dict[str, Frames]) -> None:
        counts = {path: len(frames) for path, frames in files.items()}
        if len(set(counts.values())) > 1:
            told = " and ".join(f"'{path}' has {n}" for path, n in counts.items())
            raise ValueError(f"{told} structures: give as many of each")
        self.part, self.files = part, files
        self._folder = TemporaryDirectory(prefix="metatrain-symmetry-")
        folder = Path(self._folder.name)
        self._paths = {path: str(folder / f"{n}.xyz") for n, path in enumerate(files)}
        self._section = _with_paths(part, self._paths)
        self._known: dict[str, Any] = {}
        _, self._known = self._read(0, quiet=False)

    @property
    def infos(self) -> dict[str, Any]:
        """What each target is, as metatrain's ``TargetInfo``."""
        return {name: self._known[name] for name in self.part.get("targets", {})}

    def __len__(self) -> int:
        return len(next(iter(self.files.values())))

    def get_all_atom_counts(self) -> Any:
        """Number of atoms of each structure."""
        return self.files[str(self.part["systems"]["read_from"])].sizes

    def __getitem__(self, index: int) -> Any:
        sample, infos = self._read(index)
        for name, info in infos.items():
            if info.gradients != self._known[name].gradients:
                own, first = (i[name].gradients for i in (infos, self._known))
                raise ValueError(
                    f"structure {index} of '{self.part['systems']['read_from']}' has the "
                    f"gradients {own} of '{name}', and structure 0 has {first}: write the "
                    "same for all, or switch them off in the options"
                )
        return sample

    def _read(self, index: int, quiet: bool = True) -> tuple[Any, dict[str, Any]]:
        """A sample of metatrain, and what it says of its targets."""
        for path, frames in self.files.items():
            Path(self._paths[path]).write_bytes(frames.text(index))
        section = self._section
        try:
            with _quiet(quiet):
                systems = read_systems(
                    section["systems"]["read_from"], section["systems"]["reader"]
                )
                targets, infos = read_targets(section.get("targets", {}))
                more, known = read_extra_data(section.get("extra_data", {}))
        except Exception as error:
            text = reason(error)
            for path, written in self._paths.items():
                text = text.replace(written, path)
            raise ValueError(f"structure {index} cannot be read: {text}") from error
        tensors = {
            name: [numbered(one, index) for one in several]
            for name, several in {**targets, **more}.items()
        }
        data = Dataset.from_dict({"system": systems, **tensors})
        return data[0], {**infos, **known}


def numbered(tensor: TensorMap, index: int) -> TensorMap:
    """Targets of one structure, whose labels say which one of the data set it is.

    A batch is put together by these labels, so no two structures may have the same.

    :param tensor: as metatrain reads it from a file with nothing else
    :param index: of the structure
    :return: the same values, the samples named ``system`` being ``index``
    """

    def change(block: TensorBlock, _: str | None) -> TensorBlock:
        names, values = block.samples.names, block.samples.values
        if "system" in names:
            values = values.clone()
            values[:, names.index("system")] = index
        samples = Labels(names, values)
        return TensorBlock(block.values, samples, block.components, block.properties)

    return mapped(tensor, change)


def frame_set(part: Any) -> FrameSet | None:
    """Open a section whose structures can be read one by one.

    :param part: section of an options file, as metatrain completes it
    :return: None where files are small or of another kind: metatrain reads all of them
    """
    files: dict[str, Frames] = {}
    for options in _sources(part):
        path = Path(str(options["read_from"]))
        if options.get("reader") not in (None, "ase") or not path.is_file():
            return None
        if str(options["read_from"]) in files:
            continue
        frames = frames_of(path) if path.suffix in (".xyz", ".extxyz") else None
        if frames is None or not len(frames):
            return None
        files[str(options["read_from"])] = frames
    large = any(Path(path).stat().st_size >= LARGE for path in files)
    return FrameSet(part, files) if large else None


def _sources(part: Any) -> Iterator[Any]:
    """All sub-sections that name a file."""
    yield part["systems"]
    for section in ("targets", "extra_data"):
        for options in part.get(section, {}).values():
            yield options
            for gradient in ("forces", "stress", "virial"):
                if options.get(gradient):
                    yield options[gradient]


def _with_paths(part: Any, paths: dict[str, str]) -> Any:
    """The same section for other files."""
    other = copy.deepcopy(part)
    # all before one is replaced: some refer to others
    places = [(options, paths[str(options["read_from"])]) for options in _sources(other)]
    for options, path in places:
        options["read_from"] = path
    return other


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """Without what metatrain says of every file that it reads."""
    root = logging.getLogger()
    level = root.level
    if quiet:
        root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
