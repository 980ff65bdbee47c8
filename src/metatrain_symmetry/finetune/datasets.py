"""Data sets as metatrain's trainer takes them, with labels, a teacher, or both."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from metatensor.torch import TensorMap
from metatomic.torch import System
from metatrain.utils.data import Dataset, read_systems

from ..data.agreement import check_labels
from ..data.splits import StructureSet
from ..data.systems import read_systems as read_given
from ..messages import did_you_mean, reason
from ..models.engine import Engine
from ..models.irrep_blocks import is_stress
from ..models.lengths import length_factor, scaled_system
from .teacher import Means, Teacher
from .tensors import mixture


Progress = Callable[[], object]


def labelled_sets(
    source: StructureSet,
    length_unit: str,
    teacher: Teacher | None,
    share: float,
    progress: Progress = lambda: None,
    targets: Collection[str] | None = None,
) -> list[Dataset]:
    """Structures of an options file.

    :param source: training or validation set
    :param length_unit: of the model
    :param teacher: for structures and targets without labels, and for its share; or None
    :param share: of the teacher in the targets
    :param progress: called after every structure that was taught
    :param targets: of the model, None for all; others are left out
    :raises ValueError: if a label is infinite
    :return: one for each data set of the options file that has structures
    """
    found = []
    for number, one in enumerate(source.datasets):
        rows: list[dict[str, Any]] = []
        for index in source.chosen[source.chosen[:, 0] == number, 1].tolist():
            system, tensors = one.sample(index, length_unit)
            check_labels(tensors, f"structure {index} ({source.name} set)")
            row: dict[str, Any] = {**one.sample_fields(index), "system": system, **tensors}
            wanted = one.infos if targets is None else targets
            for name in set(one.infos).difference(wanted):
                del row[name]
            if teacher is not None:
                if share or _lacking(row, teacher.targets):
                    label = _label(tensors, index)
                    row |= _taught(tensors, teacher.mean(system, index, label), share)
                progress()
            rows.append(row)
        if rows:
            found.append(_data_set(rows))
    return found


def lacks_labels(sets: list[Dataset], targets: Iterable[str]) -> bool:
    """Whether a teacher has something to add: a target without a label, which is NaN.

    Stresses do not count: what is not periodic has none.

    :param sets: of :func:`labelled_sets`
    :param targets: names of the targets
    """
    names = list(targets)
    return any(_lacking(sample._asdict(), names) for one in sets for sample in one)


def _lacking(row: Mapping[str, Any], targets: Iterable[str]) -> bool:
    """Whether a structure has no label of a target, or of a gradient of it."""
    return any(
        name not in row or _has_nan(row[name]) for name in targets if not is_stress(name)
    )


def _has_nan(tensor: TensorMap) -> bool:
    for block in tensor.blocks():
        gradients = [g for name, g in block.gradients() if name != "strain"]
        if any(bool(one.values.isnan().any()) for one in (block, *gradients)):
            return True
    return False


def unlabelled_systems(options: Mapping[str, Any], length_unit: str) -> list[System]:
    """Read structures without labels.

    :param options: section ``purify.unlabelled``
    :param length_unit: of the model
    :raises ValueError: if they cannot be read
    :return: structures in the unit of the model, float64
    """
    for name in options:
        if name not in UNLABELLED:
            raise ValueError(
                f"purify.unlabelled has no option '{name}': "
                f"{did_you_mean(name, UNLABELLED)}"
            )
    path = str(options["read_from"])
    if not Path(path).exists():
        raise ValueError(f"purify.unlabelled: there is no file '{path}': correct the path")
    unit = str(options.get("length_unit") or "")
    factor = length_factor(unit, length_unit, "purify.unlabelled")
    try:
        systems = read_systems(path, options.get("reader"))
    except Exception as error:
        raise ValueError(
            f"purify.unlabelled cannot be read from '{path}': {reason(error)}"
        ) from error
    if not systems:
        raise ValueError(
            f"purify.unlabelled: '{path}' holds no structures: give another file"
        )
    return [scaled_system(system, factor) for system in systems]


UNLABELLED = ("read_from", "reader", "length_unit")
"""What a section of structures without labels may hold."""


def check_systems(systems: list[System], engine: Engine) -> None:
    """Make sure that a model can take structures without labels.

    :param systems: in the unit of the model
    :param engine: of the model
    :raises ValueError: if it cannot take one
    """
    try:
        list(read_given(systems, engine))
    except ValueError as error:
        raise ValueError(f"purify.unlabelled, {error}") from error


def taught_set(
    systems: list[System], teacher: Teacher, progress: Progress = lambda: None
) -> Dataset:
    """Structures whose only labels are the teacher's.

    :param systems: in the unit of the model
    :param teacher: the model, averaged
    :param progress: called after every structure
    """
    rows = []
    for index, system in enumerate(systems):
        rows.append({"system": system, **teacher.mean(system, index, index)})
        progress()
    return _data_set(rows)


def _data_set(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_dict({name: [row[name] for row in rows] for name in rows[0]})


def _label(tensors: Mapping[str, TensorMap], index: int) -> int:
    """What labels call a structure."""
    for tensor in tensors.values():
        for block in tensor.blocks():
            if "system" in block.samples.names and len(block.samples):
                return int(block.samples.column("system")[0])
    return index


def _taught(tensors: Mapping[str, TensorMap], means: Means, share: float) -> Means:
    """Targets of the loss: labels and teacher mixed, or the teacher alone."""
    return {
        name: mixture(tensors[name], mean, share) if name in tensors else mean
        for name, mean in means.items()
    }
