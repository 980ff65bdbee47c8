"""Data sets of an options file: structures and targets, read by metatrain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from metatensor.torch import TensorMap
from metatomic.torch import System, unit_conversion_factor
from metatrain.utils.data import load_indices
from metatrain.utils.omegaconf import expand_dataset_config
from omegaconf import OmegaConf

from ..messages import did_you_mean, quoted, reason
from ..models.lengths import length_factor, scaled_gradients, scaled_system
from .opened import atom_counts, open_data
from .options_files import said_by_metatrain


Infos = Mapping[str, Any]

_UNKNOWN = object()


@dataclass
class DataSet:
    """One data set of a section.

    :param data: of metatrain
    :param infos: its ``TargetInfo`` of each target
    :param indices: of the structures that are taken
    :param length_unit: of the structures; empty if the options do not say
    """

    data: Any
    infos: Infos
    indices: Sequence[int]
    length_unit: str
    _counts: Any = field(default=_UNKNOWN, init=False, repr=False)

    def sample(
        self, index: int, length_unit: str = ""
    ) -> tuple[System, dict[str, TensorMap]]:
        """Read a structure.

        :param index: in the file
        :param length_unit: of the model, in which structure and gradients are wanted;
            empty for the unit in which they are
        :return: the structure and its targets
        """
        sample = self.data[index]
        factor = length_factor(self.length_unit, length_unit, "the options")
        # samples of names such as mtt::x have no attribute of that name
        tensors = {name: scaled_gradients(sample[name], factor) for name in self.infos}
        return scaled_system(sample["system"], factor), tensors

    def n_atoms(self, index: int) -> int:
        """Number of atoms of a structure, which mostly needs not be read for it.

        :param index: in the file
        """
        if self._counts is _UNKNOWN:
            self._counts = atom_counts(self.data)
        counts: Any = self._counts
        return len(self.data[index]["system"]) if counts is None else int(counts[index])

    def sample_fields(self, index: int) -> dict[str, Any]:
        """All that metatrain has read of a structure: targets, masks, inputs.

        :param index: in the file
        :return: as it stands in the file, by name
        """
        fields: dict[str, Any] = self.data[index]._asdict()
        return fields


def open_sets(section: Any, name: str) -> tuple[list[DataSet], Any]:
    """Open the data sets of a section of an options file.

    :param section: checked by :mod:`.options_files`; in any form that metatrain takes
    :param name: of the section, for messages
    :raises ValueError: with one sentence, if one cannot be read
    :return: the data sets, and the section as metatrain completes it
    """
    _check_sources(section, name)
    try:
        parts = expand_dataset_config(section)
    except Exception as error:
        raise ValueError(_because(error, name)) from error
    return [_open(part, f"{name}[{i}]" if len(parts) > 1 else name)
            for i, part in enumerate(parts)], parts  # fmt: skip


def _check_sources(section: Any, name: str) -> None:
    """What metatrain does not check before it completes a section."""
    parts = section if OmegaConf.is_list(section) else [section]
    if not parts:
        raise ValueError(f"{name} is an empty list: give at least one data set")
    for part in parts:
        systems: Any = part.get("systems") if OmegaConf.is_dict(part) else None
        if OmegaConf.is_dict(systems) and systems.get("read_from") is None:
            raise ValueError(f"the option '{name}.systems.read_from' is missing: give it")


def _open(part: Any, name: str) -> DataSet:
    unit = str(part["systems"]["length_unit"] or "")
    length_factor(unit, "", name)
    try:
        data, infos = open_data(part)
        size = len(data)
    except Exception as error:
        raise ValueError(_fault(part, name) or _because(error, name)) from error
    indices: Sequence[int] = range(size)
    if "indices" in part:
        indices = read_indices(part["indices"], size, name)
    return DataSet(data, infos, indices, unit)


def read_indices(given: Any, size: int, name: str) -> list[int]:
    """Indices of a list or file, checked.

    :param given: list of whole numbers, or path of a file with one per line
    :param size: number of structures
    :param name: of the section, for messages
    :raises ValueError: if they cannot be read, or if there is no such structure
    :return: the indices
    """
    try:
        found = [int(i) for i in load_indices(given)]
    except Exception as error:
        raise ValueError(
            f"the indices of {name} are {quoted(given)}: give whole numbers from 0, in a "
            "list or one per line of a file"
        ) from error
    if found and max(found) >= size:
        raise ValueError(
            f"the indices of {name} name structure {max(found)}, and there are {size}, "
            f"counted from 0: leave out those above {size - 1}"
        )
    return found


def _because(error: Exception, name: str) -> str:
    """What metatrain says, or that it says nothing that one would understand."""
    if said_by_metatrain(error):
        return f"{name} cannot be read: {reason(error)}"
    return (
        f"{name} cannot be read ({type(error).__name__}: {reason(error)}): compare it with "
        "the options that mtt train takes"
    )


def _fault(part: Any, name: str) -> str | None:
    """Look for what is wrong in the files that a section names."""
    sources = {f"{name}.systems": part["systems"], **{
        f"{name}.targets.{key}": target for key, target in part.get("targets", {}).items()
    }}  # fmt: skip
    for place, options in sources.items():
        unit = str(options.get("unit", ""))
        if not _known(unit):
            return f"'{place}.unit' is '{unit}', which is no known unit: correct it"
        path = Path(str(options["read_from"]))
        if not path.exists():
            return f"there is no file '{path}', which {place} reads: correct the path"
        if options["reader"] == "metatensor" or path.suffix in (".mts", ".zip"):
            continue
        if path.is_dir():
            if (path / "ns.npy").is_file():
                return None
            return f"'{path}', which {place} reads, holds no data set: give a file"
        fault = _fault_of_ase(path, options if ".targets." in place else None)
        if fault is not None:
            return f"{place} cannot be read: {fault}"
    return None


def _known(unit: str) -> bool:
    try:
        unit_conversion_factor(unit, unit)
    except ValueError:
        return False
    return True


def _fault_of_ase(path: Path, target: Any | None) -> str | None:
    """What is wrong with a file of structures, or with a target in it."""
    several = ase.io.iread(path, ":")
    for index in count():  # one after the other: a large file does not fit into memory
        try:
            atoms = next(several, None)
        except Exception:
            return f"ASE cannot read '{path}', so check that it is whole and of its format"
        if atoms is None:
            return None if index else f"'{path}' holds no structures"
        if target is not None:
            fault = _fault_of_atoms(atoms, target, f"structure {index} of '{path}'")
            if fault is not None:
                return fault
    return None


def _fault_of_atoms(atoms: ase.Atoms, target: Any, where: str) -> str | None:
    """What is wrong with a target of one structure."""
    key, atomic = target["key"], target["sample_kind"] == "atom"
    known = dict(atoms.arrays if atomic else atoms.info)
    results = {} if atoms.calc is None else atoms.calc.results
    special = ("energy", "forces", "stress")
    known |= {name: results[name] for name in special if name in results}
    if key not in known:
        what = "per-atom array" if atomic else "entry"
        return f"{where} has no {what} '{key}': {did_you_mean(key, known)}"
    try:
        np.asarray(known[key], dtype=float)
    except (TypeError, ValueError):
        text = quoted(np.asarray(known[key]).flatten()[:3].tolist())
        return f"'{key}' of {where} is not made of numbers but of {text}"
    if atomic and len(np.atleast_1d(known[key])) != len(atoms):
        return f"'{key}' of {where} has not one row for each of {len(atoms)} atoms"
    fault = _fault_of_shape(np.asarray(known[key], dtype=float), target, len(atoms))
    return None if fault is None else f"'{key}' of {where} {fault}"


def _fault_of_shape(values: np.ndarray, target: Any, n_atoms: int) -> str | None:
    """Whether the numbers of a target fit its type."""
    from metatrain.utils.data.target_info import get_generic_target_info

    layout = get_generic_target_info(str(target["key"]), target).layout
    if len(layout.keys) > 1:
        return "is of several irreps, which ASE cannot read: give a metatensor file"
    wanted = int(np.prod(layout.block(0).shape[1:]))
    wanted *= n_atoms if target["sample_kind"] == "atom" else 1
    if values.size != wanted:
        return (
            f"has {values.size} numbers, and its type, sample_kind and num_subtargets need "
            f"{wanted}: correct them"
        )
    return None
