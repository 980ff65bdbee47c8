"""metatrain's data sets, opened so that memory does not grow with their structures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metatrain.utils.data import Dataset, get_dataset, read_systems
from metatrain.utils.data.dataset import DiskDataset, MemmapDataset

from .archive import Archive
from .frame_sets import frame_set


def open_data(part: Any) -> tuple[Any, dict[str, Any]]:
    """Open one data set, as ``metatrain.utils.data.get_dataset`` does.

    Zip and memory-mapped data sets and large files of extended XYZ are read structure by
    structure, when one is asked for; what else there is, is read as a whole.

    :param part: section of an options file, as metatrain completes it
    :raises Exception: whatever metatrain raises
    :return: the data set, and ``TargetInfo`` of its targets
    """
    path = str(part["systems"]["read_from"])
    targets = part.get("targets", {})
    if path.endswith(".zip"):
        archive = open_archive(path, {**targets, **part.get("extra_data", {})})
        return archive, archive.get_target_info(targets)
    if Path(path).is_dir():
        data = MemmapDataset(path, targets, part.get("extra_data"))
        return data, data.get_target_info()
    frames = frame_set(part)
    if frames is not None:
        return frames, frames.infos
    if "targets" in part:
        data, infos, _ = get_dataset(part)
        return data, infos
    systems = read_systems(path, part["systems"]["reader"])
    return Dataset.from_dict({"system": systems}), {}


def open_archive(path: str | Path, fields: dict[str, Any]) -> DiskDataset:
    """Open a zip data set.

    :param path: of the file
    :param fields: what is wanted, as for metatrain's ``DiskDataset``
    :raises ValueError: what metatrain says, if it is none
    :return: with a small index, if nothing about it is unusual
    """
    try:
        return Archive(path, fields)
    except (LookupError, ValueError, OSError):
        return DiskDataset(path, fields)


def fields_of(data: DiskDataset) -> list[str]:
    """Names of what each structure of a zip data set has.

    :param data: of :func:`open_archive`
    """
    return [name for name in data._field_names if name != "system"]


def is_data_set(path: Path) -> bool:
    """Whether a file or folder is a zip or memory-mapped data set of metatrain.

    :param path: as given
    """
    try:
        return path.suffix == ".zip" or (path / "ns.npy").is_file()
    except OSError:
        return False  # such as a name that is too long


def atom_counts(data: Any) -> Sequence[int] | None:
    """Numbers of atoms of all structures, where no structure has to be read for them.

    :param data: of :func:`open_data`
    :return: None if they are not known
    """
    counts: Any = getattr(data, "get_all_atom_counts", None)
    try:
        return None if counts is None else counts()
    except ValueError:
        return None  # an older zip file without them
