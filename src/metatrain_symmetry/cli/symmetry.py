"""``mtt symmetry MODEL STRUCTURES -o DIR``: parsing and messages, and the Python door."""

import argparse
import logging
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import check_folder, write


if TYPE_CHECKING:
    from ..measure.report import Report

PROBES = ("GE", "EE", "transformer", "GNN", "BBF", "LLF")
"""What is probed inside PET and pet_ssh unless asked otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    :param parser: of the sub-command
    """
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="checkpoint or exported model, or the folder of a run that was watched",
    )
    parser.add_argument(
        "structures",
        metavar="STRUCTURES",
        nargs="?",
        help="file that ASE reads, or an options file with systems and targets",
    )
    add = parser.add_argument
    add("-o", "--output", metavar="DIR",
        help="folder for the results (of a run's folder: default is its own)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace DIR if it is there")
    add("--targets", nargs="+", metavar="NAME", help="targets (default: all)")
    add(
        "--probes",
        nargs="*",
        metavar="NAME",
        help=f"groups or module paths (default: {' '.join(PROBES)}; none: outputs only)",
    )
    add("--lambda-max", type=int, help="largest λ of the spectra (default: 8)")
    add("--estimator", choices=("grid", "circles", "hybrid"), help="(default: hybrid)")
    add("--degree", type=int, help="degree of the grid (default: raised until it suffices)")
    add(
        "--tolerance", type=float, help="residual that counts as converged (default: 0.001)"
    )
    add("--circles", type=int, help="random circles on each structure")
    add("--max-structures", type=int, help="take so many structures, at random")
    add("--memory", type=float, metavar="GB", help="memory budget (default: 2)")
    add("--gradients", choices=("auto", "yes", "no"), default="auto",
        help="forces and stress from energies (default: as trained)")  # fmt: skip
    add("--dtype", choices=("float32", "float64"), help="(default: that of the model)")
    add("--device", default="cpu", help="(default: cpu)")
    add("--extensions", metavar="DIR", help="folder of an exported model's extensions")
    add("--seed", type=int, help="of random choices (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    :param arguments: as parsed
    :raises ValueError: with one sentence for the user
    """
    if Path(arguments.model).is_dir():
        _draw_run(arguments)
        return
    if arguments.structures is None or arguments.output is None:
        missing = "STRUCTURES" if arguments.structures is None else "-o DIR"
        raise ValueError(f"give {missing} too: mtt symmetry MODEL STRUCTURES -o DIR")
    settings = {
        name: getattr(arguments, name)
        for name in ("lambda_max", "estimator", "degree", "tolerance", "circles", "seed")
        if getattr(arguments, name) is not None
    }
    if arguments.memory is not None:
        settings["memory"] = int(arguments.memory * 2**30)
    report = symmetry_report(
        arguments.model,
        arguments.structures,
        arguments.output,
        overwrite=arguments.overwrite,
        targets=arguments.targets,
        probes=arguments.probes,
        gradients="auto" if arguments.gradients == "auto" else arguments.gradients == "yes",
        dtype=arguments.dtype,
        device=arguments.device,
        extensions=arguments.extensions,
        max_structures=arguments.max_structures,
        **settings,
    )
    for line in lines(report):
        logging.info(line)
    logging.info(f"page: {Path(arguments.output) / 'index.html'}")


def _draw_run(arguments: argparse.Namespace) -> None:
    """Draw the series of a run's folder."""
    from .series import draw_run

    if arguments.structures is not None:
        raise ValueError(
            f"'{arguments.model}' is a folder, which is drawn without STRUCTURES: leave "
            "them out, or give a checkpoint"
        )
    output = None if arguments.output is None else Path(arguments.output)
    page = draw_run(Path(arguments.model), output, arguments.overwrite)
    logging.info(f"page: {page}")


def lines(report: "Report") -> list[str]:
    """Say the findings in a few lines.

    :param report: what was measured
    :return: medians, diagnosis, convergence
    """
    found = []
    for entry in report.summary["medians"]:
        sigma = "+" if entry["o3_sigma"] == 1 else "-"
        text = f"{entry['target']} ({entry['o3_lambda']},{sigma}): median A "
        text += f"{entry['A']:.3g} {entry['unit']} (rounding {entry['noise']:.1g})"
        if entry["ratio"] is not None:
            text += f", {100 * entry['ratio']:.3g} % of the error"
        found.append(text)
    found += [f"{entry['status']}: {entry['text']}" for entry in report.diagnosis]
    return [*found, report.summary["convergence_text"]]


def symmetry_report(
    model: Any,
    structures: Any,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    targets: Iterable[str] | None = None,
    probes: Iterable[str] | None = None,
    gradients: bool | str = "auto",
    dtype: str | None = None,
    device: str = "cpu",
    extensions: str | None = None,
    max_structures: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> "Report":
    """Measure the symmetry of a model.

    :param model: path of a checkpoint or exported model, or a module
    :param structures: path of a file that ASE reads or of an options file, or structures
    :param output: folder for tables, figures and page; None writes nothing
    :param overwrite: replace the folder if it is there
    :param targets: names of targets, None for all
    :param probes: groups such as ``EE`` or module paths; None for the usual ones
    :param gradients: whether energies are differentiated; ``auto`` as trained
    :param dtype: ``float32`` or ``float64``; None for that of the model
    :param device: of torch
    :param extensions: folder of an exported model's extensions
    :param max_structures: take so many structures at random
    :param progress: whether to show a progress bar
    :param settings: see :class:`metatrain_symmetry.measure.settings.Settings`
    :raises ValueError: if something asked for is not there
    :return: the report
    """
    from ..measure.analysis import analyze
    from ..measure.diagnosis import diagnose
    from ..orbit import group_of

    checked = _checked_settings(settings)
    if max_structures is not None and max_structures < 1:
        raise ValueError(f"max_structures: take one or more, not {max_structures}")
    folder = None if output is None else check_folder(Path(output), overwrite)
    engine = _engine(model, targets, probes, gradients, dtype, device, extensions)
    prepared, truths = _prepare(engine, structures, max_structures, checked.seed)
    report = analyze(engine, prepared, checked, truths, group_of, progress)
    report.summary |= _about(engine, model, structures)
    report.diagnosis = diagnose(report.characters, report.summary["architecture"])
    if folder is not None:
        write(report, folder)
    return report


def _checked_settings(settings: dict[str, Any]) -> Any:
    """Check the settings, with one sentence where they are wrong."""
    from pydantic import ValidationError

    from ..measure.settings import Settings

    try:
        return Settings(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"setting '{name}': {first['msg']}, not {first['input']!r}"
        ) from None


def _engine(
    model: Any,
    targets: Iterable[str] | None,
    probes: Iterable[str] | None,
    gradients: bool | str,
    dtype: str | None,
    device: str,
    extensions: str | None,
) -> Any:
    """Open the model; the usual probes only where it has layers that we know."""
    import torch

    from ..orbit import PETEngine, open_engine

    chosen = getattr(torch, dtype) if dtype else None
    options = (gradients, chosen, device, extensions)
    if probes is not None:
        return open_engine(model, targets, probes, *options)
    engine = open_engine(model, targets, (), *options)
    if not isinstance(engine, PETEngine):
        return engine
    # the model that is open already: reading a checkpoint takes a while
    return open_engine(engine.model, targets, PROBES, *options)


def _prepare(
    engine: Any, structures: Any, limit: int | None, seed: int
) -> tuple[list[Any], list[Any]]:
    """Read the structures and what is known of their targets."""
    import numpy as np

    from ..orbit import read_systems, truth

    options = isinstance(structures, str | Path) and str(structures).endswith(
        (".yaml", ".yml")
    )
    if options:
        systems, tensors, infos = truth.of_options(Path(structures))
        pairs = read_systems(systems, engine)
        truths = [
            truth.of_tensors(system, parts, infos, engine.blocks)
            for system, parts in zip(systems, tensors, strict=True)
        ]
    else:
        pairs = read_systems(structures, engine)
        truths = [truth.of_atoms(atoms, engine.blocks) for atoms, _ in pairs]
    chosen = np.arange(len(pairs))
    if limit is not None and limit < len(pairs):
        random = np.random.default_rng(seed)
        chosen = np.sort(random.choice(len(pairs), limit, replace=False))
    prepared = [engine.prepare(pairs[i][1], f"structure {i}") for i in chosen]
    return prepared, [truths[i] for i in chosen]


def _about(engine: Any, model: Any, structures: Any) -> dict[str, Any]:
    """What was measured, with what."""
    packages = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch", "scipy")
    module = getattr(engine, "model", None)
    architecture = {"PET": "pet", "PetSSH": "pet_ssh"}.get(
        type(module).__name__, type(module).__name__
    )
    return {
        "model": str(model) if isinstance(model, str | Path) else type(model).__name__,
        "structures": str(structures) if isinstance(structures, str | Path) else "given",
        "architecture": architecture,
        "baseline": getattr(engine, "baseline", "none"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {package: version(package) for package in packages},
    }
