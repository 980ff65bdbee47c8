"""Measure the symmetry of a model from Python: what ``mtt symmetry`` calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..report.folder import check_folder
from ..versions import versions
from . import checks
from .measurement import Measurement, check_resume, pieces_of
from .verdict import check_fmax, verdict_of_report


if TYPE_CHECKING:
    import torch
    from ase import Atoms
    from ase.calculators.calculator import BaseCalculator
    from metatomic.torch import System
    from torch import Tensor

    from ..data import LazyStructures
    from ..groups import Group
    from ..measure.advice import ModelFacts
    from ..measure.budget import Clock
    from ..measure.results import Report
    from ..models.engine import Engine
    from ..models.point_cloud import Output, PointCloud
    from ..models.points.calls import Call
    from ..models.states import Loaded
    from ..processes import Processes

PROBES = ("GE", "EE", "transformer", "GNN", "BBF", "LLF")
"""What is probed inside PET and pet_ssh unless asked otherwise; see ``usual_probes``."""


def symmetry_report(
    model: "str | Path | torch.nn.Module | BaseCalculator",
    structures: "str | Path | Atoms | System | Tensor | PointCloud | Sequence[Any]",
    output: str | Path | None = None,
    *,
    group: "Group | str | None" = None,
    targets: Iterable[str] | None = None,
    probes: Iterable[str] | None = None,
    lambda_max: int = 8,
    budget: str | float | None = "2min",
    max_structures: int | None = None,
    state: Literal["best", "latest"] | None = None,
    gradients: bool | Literal["auto"] = "auto",
    dtype: "str | torch.dtype | None" = None,
    device: str = "cpu",
    extensions: str | Path | None = None,
    compile: bool = False,
    estimator: Literal["hybrid", "grid", "circles", "icosahedral"] = "hybrid",
    degree: int | None = None,
    max_degree: int = 20,
    circles: int | None = None,
    tolerance: float = 1e-3,
    max_evaluations: int = 20_000,
    memory: int = 2 * 2**30,
    seed: int = 0,
    fmax: float | None = None,
    outputs: "Mapping[str, Output | str | None] | None" = None,
    call: "Call | str | None" = None,
    freeze: Any = (),
    vectors: Sequence[int] = (),
    overwrite: bool = False,
    resume: bool = False,
    distributed: bool = False,
    progress: bool = True,
) -> "Report":
    """Measure the symmetry of a model.

    :param model: path of a checkpoint or exported model, or a module, or a calculator of
        ASE, whose ``energy``, ``forces``, ``stress`` and ``dipole`` are the targets. Any
        other torch module is one of point clouds
    :param structures: path of a file that ASE reads, of a zip or memory-mapped data set of
        metatrain, or of an options file, or structures; up to 2000 are all looked at before
        one is measured, of more each when it is read. For a module of point clouds
        tensors ``(points, 3 + c)`` or :class:`PointCloud`
    :param output: folder for tables, figures and page; None writes nothing
    :param group: whose symmetry is measured: a :class:`Group`, or a name such as ``C3v``,
        ``Oh`` or ``SO(2):x`` (:func:`group_by_name`); None for O(3), all rotations and
        inversions
    :param targets: names of targets, None for all
    :param probes: paths of modules, of PET also groups such as ``EE``; None for the usual
        ones: of PET all groups, otherwise up to ten modules that return features of atoms
    :param lambda_max: largest λ of the spectra
    :param budget: time for the measurement: seconds, or such as ``2min``; None for no limit
    :param max_structures: take at most this many structures, chosen at random
    :param state: ``best`` or ``latest`` of a checkpoint; None for the best one, which
        metatrain exports and evaluates
    :param gradients: whether energies are differentiated; ``auto`` as trained
    :param dtype: ``float32`` or ``float64``; None for that of the model
    :param device: of torch
    :param extensions: folder of an exported model's extensions
    :param compile: whether a checkpoint of PET or pet_ssh is compiled by ``torch.compile``
        before it is measured, which takes about a minute of the budget and pays in long
        measurements only
    :param estimator: how structures are rotated, see
        :class:`~metatrain_symmetry.measure.settings.Settings`, also for the next ones
    :param degree: of the grid; None for what a pilot finds to be enough
    :param max_degree: largest degree that is chosen
    :param circles: random circles on each structure; None takes about 100 in all
    :param tolerance: share of the squared norm beyond ``lambda_max`` that counts as none
    :param max_evaluations: that may be spent on exact grids
    :param memory: for one evaluation, and for the sums of one structure, each, in bytes
    :param seed: of random choices
    :param fmax: largest force on an atom that your relaxations leave, in eV/Å, for the
        verdict: see :func:`symmetry_verdict`. In a report it is on up to four structures
    :param outputs: of a module of point clouds, as for :class:`PointCloudEngine`, like the
        next three: what it returns, by name; None for all real tensors, as scalars
    :param call: how it is called; None for what the names of its arguments say
    :param freeze: layers and functions whose outputs are the same in all orientations
    :param vectors: first columns of further vectors
    :param overwrite: replace the folder if it is there
    :param resume: go on from what a run that was killed has kept beside the folder; only
        for a model that is a file
    :param distributed: share the structures with the other processes that ``torchrun`` has
        started, all of which have to call this: the first one writes, all get the report
    :param progress: whether to show a progress bar
    :raises ValueError: if something asked for is not there, or out of range
    :return: the report

    >>> from ase.build import molecule
    >>> from metatrain_symmetry import symmetry_report
    >>> report = symmetry_report(
    ...     "model.ckpt", molecule("CH3CHO"), probes=["EE"], lambda_max=3, progress=False
    ... )
    >>> report.equivariance[["target", "o3_lambda", "o3_sigma", "unit"]]
       target  o3_lambda  o3_sigma unit
    0  energy          0         1   eV
    >>> bool(report.equivariance.A[0] > 0), report.diagnosis[0]["status"]
    (True, 'unknown')
    """
    from ..measure.budget import Clock
    from ..measure.settings import checked_group
    from ..models.loading import compilable
    from ..processes import Processes, joined, own_device

    checked = checks.settings(
        lambda_max=lambda_max, budget=budget, estimator=estimator, degree=degree,
        max_degree=max_degree, circles=circles, tolerance=tolerance,
        max_evaluations=max_evaluations, memory=memory, seed=seed,
    )  # fmt: skip
    measured = checked_group(group, checked)
    clock = Clock(checked.budget)
    check_fmax(fmax)
    max_structures = checks.count("max_structures", max_structures)
    check_resume(resume, model, output)
    checks.flag("compile", compile)
    device = own_device(device) if distributed else device
    options = (gradients, checks.dtype(dtype), device, extensions)
    clouds = {"outputs": outputs, "call": call, "freeze": freeze, "vectors": vectors}
    with joined(device) if distributed else nullcontext(Processes()) as processes:
        place = None if output is None else _place(output, overwrite, resume, processes)
        loaded = _load(model, extensions, state)
        engine = _engine(loaded.model, targets, probes, options, clouds)
        compiled = compilable(engine) if compile else None
        data = _read(engine, structures, max_structures, checked.seed, fmax)
        # each of several processes has its own GPU
        kind = str(device).partition(":")[0]
        about = (gradients, kind, extensions, loaded.state, loaded.epochs, compile)
        kept = pieces_of(model, place, resume, engine, measured, about)
        job = Measurement(engine, data, measured, checked, fmax, processes, kept, compiled)
        named = (model, structures, loaded)
        return job.report(
            place, overwrite, clock, _group_of(engine),
            lambda report: _finish(report, job, named, clock), progress,
        )  # fmt: skip


def _place(output: Any, overwrite: bool, resume: bool, processes: "Processes") -> Path:
    """Folder for the results, looked at by the process that writes them."""
    from ..io import SUMMARY
    from ..places import resolved

    place = resolved(output)
    if not processes.first:
        return place
    # what was finished there may be what is asked for
    return check_folder(place, overwrite or (resume and (place / SUMMARY).is_file()))


def _finish(
    report: "Report", job: Measurement, named: "tuple[Any, Any, Loaded]", clock: "Clock"
) -> None:
    """Add what the tables do not say: model, averages, verdict and diagnosis."""
    from ..measure.diagnosis import diagnose

    model, structures, loaded = named
    engine = job.engine
    report.summary |= _about(engine, model, structures)
    report.summary |= {"state": loaded.state or None, "epochs": loaded.epochs}
    report.summary["state_text"] = loaded.text
    _average(report)
    verdict = verdict_of_report(
        report, engine, job.data, job.group, job.fmax, clock, job.settings.seed
    )
    report.summary["verdict"] = None if verdict is None else verdict.content()
    facts = _facts(engine, model, report.summary["architecture"])
    report.diagnosis = diagnose(
        report.equivariance, report.characters, facts, job.group, report.rotations
    )


def _load(model: Any, extensions: str | Path | None, state: str | None) -> "Loaded":
    """Read the model, in one state; a module is what it is."""
    from ..models.states import Loaded, load

    if isinstance(model, str | Path):
        return load(Path(model), extensions, state)
    if state is not None:
        raise ValueError(
            "state: a model that is loaded already has one state only: give the path of "
            "its checkpoint, or leave the state out"
        )
    return Loaded(model)


def _engine(
    model: Any,
    targets: Iterable[str] | None,
    probes: Iterable[str] | None,
    options: tuple[Any, ...],
    clouds: dict[str, Any],
) -> "Engine":
    """Open the model, with the usual probes of its kind unless others are asked for."""
    from ..models import open_engine, usual_probes
    from ..models.loading import is_of_clouds

    if probes is not None or is_of_clouds(model):
        return open_engine(model, targets, probes, *options, **clouds)
    engine = open_engine(model, targets, (), *options, **clouds)
    probes = usual_probes(engine, PROBES)
    # a module that is open already is taken as it is
    module = getattr(engine, "model", None)
    return open_engine(module, targets, probes, *options) if probes else engine


def _read(
    engine: "Engine", structures: Any, limit: int | None, seed: int, fmax: Any
) -> "LazyStructures":
    """Read the structures and what is known of their targets."""
    from ..data import LazyStructures, read_structures
    from ..data.clouds import read_clouds
    from ..models import PointCloudEngine

    if isinstance(engine, PointCloudEngine):
        if fmax is not None:
            raise ValueError("fmax: point clouds are not relaxed: leave it out")
        clouds = read_clouds(structures, engine).some(limit, seed)
        return LazyStructures(engine, clouds, labels=False)
    return LazyStructures(engine, read_structures(structures, engine, limit, seed))


def _average(report: "Report") -> None:
    """Write averages over the structures into the summary, and what they are."""
    from ..measure.averages import AVERAGES_TEXT, MEDIANS_TEXT, averages
    from ..measure.words import worded

    report.summary["averages"] = averages(report.equivariance)
    texts = {"averages_text": AVERAGES_TEXT, "medians_text": MEDIANS_TEXT}
    report.summary |= {name: worded(t, report.summary) for name, t in texts.items()}


def _group_of(engine: "Engine") -> "Callable[[str], str]":
    """Groups of probes: places in PET, or else what layers are parts of."""
    from ..models import PointCloudEngine, group_of

    if isinstance(engine, PointCloudEngine):
        return lambda path: path.partition(".")[0]
    return group_of


def _facts(engine: Any, model: Any, architecture: str) -> "ModelFacts":
    """What advice depends on."""
    from metatomic.torch import is_atomistic_model

    from ..measure.advice import ModelFacts
    from ..models import PointCloudEngine

    module = getattr(engine, "model", None)
    hypers = getattr(module, "hypers", None) or {}
    l_max = None
    if architecture in ("pet", "pet_ssh"):
        # without harmonics, [x, y, z, r]: vectors and scalars
        l_max = hypers.get("geometry_embedding", {}).get("l_max") or 1
    path = str(model) if isinstance(model, str | Path) else "MODEL.ckpt"
    # a calculator has no weights that we know
    trainable = module is not None and not is_atomistic_model(module)
    calculator = hasattr(engine, "calculator")
    clouds = isinstance(engine, PointCloudEngine)
    return ModelFacts(architecture, l_max, trainable, path, calculator, clouds)


def _about(engine: Any, model: Any, structures: Any) -> dict[str, Any]:
    """What was measured, with what."""
    module = getattr(engine, "model", None)
    of_ase = getattr(engine, "calculator", None)
    module = of_ase if module is None else module
    compiled = getattr(engine, "compiled", None)
    architecture = {"PET": "pet", "PetSSH": "pet_ssh"}.get(
        type(module).__name__, type(module).__name__
    )
    return {
        "model": str(model) if isinstance(model, str | Path) else type(model).__name__,
        "structures": str(structures) if isinstance(structures, str | Path) else "given",
        "architecture": architecture,
        "baseline": getattr(engine, "baseline", "none"),
        "compiled": compiled is not None,
        "compile_s": None if compiled is None else round(compiled.seconds, 2),
        **({} if of_ase is None else {"dtype": "that of the calculator"}),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
    }
