"""The options ``architecture.training.symmetry``: what is watched during a training."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..options import checked


class SymmetryHypers(TypedDict):
    """How the symmetry of a model is watched while it is trained."""

    structures: Annotated[str, Field(min_length=1)] = "validation"
    """Where the structures come from: ``validation`` or ``test``, meaning the sets of the
    training, or a file: one that ASE reads, a zip file or memory-mapped folder of
    metatrain, or an options file as for ``mtt eval``.
    """
    n_structures: Annotated[int, Field(ge=1, strict=True)] = 16
    """Watch at most this many structures, chosen at random. The budget may use fewer."""
    probes: list[str] | Literal["auto"] = "auto"
    """Layers to look at, as for ``mtt symmetry``: paths of modules, and in PET and
    ``pet_ssh`` also groups (``GE``, ``CE``, ``NE``, ``EE``, ``transformer``, ``GNN``,
    ``BBF``, ``LLF``). ``auto`` is ``EE``, ``GNN``, ``BBF`` and ``LLF`` there; in other
    architectures it is up to ten modules that return features of atoms. Outputs are always
    looked at.
    """
    lambda_max: Annotated[int, Field(ge=0, le=32, strict=True)] = 8
    """Largest λ of the spectra."""
    estimator: Literal["hybrid", "circles", "grid"] = "hybrid"
    """How each structure is rotated. ``hybrid``: random circles, which resolve the proper
    irreps, and a small set of rotations in a random frame, which resolves the first pseudo
    irreps and gives A. ``circles``: random circles only. ``grid``: the exact grid.
    """
    interval: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Measure every ``interval`` epochs, whatever it costs: an explicit interval is never
    thinned, and one warning says by how much it exceeds ``max_overhead``. ``null`` spaces
    the epochs logarithmically. The model before its first step and the model after its last
    epoch are always measured. An epoch that metatrain does not log (``log_interval``) is
    measured at the next one that it logs.
    """
    points: Annotated[int, Field(ge=2, strict=True)] = 24
    """Number of epochs spaced logarithmically, where ``interval`` is ``null``. If the
    budget is too small for all of them, 16 are measured all the same.
    """
    max_overhead: Annotated[float, Field(gt=0, le=1e6, strict=True)] = 0.05
    """Time that measurements may take, as a share of the training's wall time. A training
    shorter than 400 s counts as one of 400 s, so that the default is 5 % or 20 s, whichever
    is more. A larger budget uses more structures and more rotations of each. Files and
    pictures (W&B) are not counted, nor is the page at the end (a second or two).
    """
    memory_mib: Annotated[float, Field(ge=1, le=1e9, strict=True)] = 1024
    """Memory for one evaluation, and for the sums of one structure, each, in MiB."""
    on_error: Literal["warn", "raise"] = "warn"
    """What a failure during the training does: log a warning, or end the training. A wrong
    option ends it before the first epoch in any case.
    """
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """Seed of the choice of structures and of the rotations."""


PROBES_OF_PET = ("EE", "GNN", "BBF", "LLF")
"""What ``auto`` stands for in PET and pet_ssh."""


def complete(options: object) -> SymmetryHypers | None:
    """Fill the options with the defaults.

    :param options: some of the options, None for no watching
    :raises ValueError: if one is unknown, of the wrong type or out of range
    :return: all of them, or None
    """
    if options is None:
        return None
    return checked(options, SymmetryHypers, "training.symmetry")


def check_files(options: SymmetryHypers) -> None:
    """Look for the file of structures, before data sets are read and a model is built.

    :param options: complete options ``training.symmetry``
    :raises ValueError: if it is not there
    """
    source = options["structures"]
    if source in ("validation", "test"):
        return
    if not Path(source).is_file() and not (Path(source) / "ns.npy").is_file():
        near = difflib.get_close_matches(source, ("validation", "test"), 1)
        hint = f"did you mean '{near[0]}'?" if near else "give validation, test or a file"
        raise ValueError(
            f"training.symmetry.structures: there is no file '{source}': {hint}"
        )
