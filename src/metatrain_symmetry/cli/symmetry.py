"""``mtt symmetry MODEL STRUCTURES -o DIR``: parsing and messages."""

import argparse
import logging
from pathlib import Path
from typing import Any

from ..api.symmetry_report import PROBES, symmetry_report
from ..report.summary_lines import lines
from . import checks


SETTINGS = (
    "lambda_max", "budget", "estimator", "degree", "tolerance", "circles", "seed",
)  # fmt: skip
"""Arguments that are settings of a measurement under the same name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    :param parser: of the sub-command
    """
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="checkpoint or exported model, or the folder of a run that was watched",
    )
    parser.add_argument(
        "structures",
        metavar="STRUCTURES",
        nargs="?",
        help="file that ASE reads, data set of metatrain (zip file or memory-mapped "
        "folder), or an options file with systems and targets",
    )
    add = parser.add_argument
    add("--calculator", metavar="MODULE:FACTORY(ARGS)",
        help="a calculator of ASE in place of MODEL, such as "
        "'ase.calculators.lj:LennardJones(sigma=3.4)'")  # fmt: skip
    add("-o", "--output", metavar="DIR",
        help="folder for the results (of a run's folder: default is its own)")  # fmt: skip
    add("--state", choices=("best", "latest"),
        help="which state of a checkpoint (default: best, as mtt export)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace DIR if it is there")
    add("--continue", action="store_true", dest="resume",
        help="go on from what a killed run has kept beside DIR")  # fmt: skip
    add("--targets", nargs="+", metavar="NAME", help="targets (default: all)")
    add(
        "--probes",
        nargs="*",
        metavar="NAME",
        help=f"module paths, of PET also groups (default: {' '.join(PROBES)}, or up to ten "
        "modules of another architecture; none: outputs only)",
    )
    add("--group", metavar="NAME",
        help="whose symmetry is measured: O(3), SO(3), SO(2), O(2), or a point group such "
        "as C3v, D6h or Oh; with an axis: SO(2):x, C4v:1,1,0 (default: O(3))")  # fmt: skip
    add("--lambda-max", type=int, help="largest λ of the spectra (default: 8)")
    add("--estimator", choices=("grid", "circles", "hybrid", "icosahedral"),
        help="how structures are rotated; icosahedral: for A of many structures (default: "
        "hybrid)")  # fmt: skip
    add("--degree", type=int, help="degree of the grid (default: chosen by a pilot)")
    add(
        "--tolerance", type=float, help="residual that counts as converged (default: 0.001)"
    )
    add("--circles", type=int, help="random circles on each structure")
    add(
        "--max-structures",
        type=int,
        help="take at most this many structures, chosen at random",
    )
    add(
        "--budget",
        metavar="TIME",
        help="time for the measurement, such as 90s, 2min, 1h or none (default: 2min)",
    )
    add("--memory", type=float, metavar="GB", help="memory budget (default: 2)")
    add("--gradients", choices=("auto", "yes", "no"), default="auto",
        help="forces and stress from energies (default: as trained)")  # fmt: skip
    add("--dtype", choices=("float32", "float64"), help="(default: that of the model)")
    add("--device", default="cpu", help="(default: cpu)")
    add("--extensions", metavar="DIR", help="folder of an exported model's extensions")
    add("--compile", action="store_true", default=None,
        help="compile a checkpoint of PET or pet_ssh first, which takes about a minute "
        "and pays in long measurements only")  # fmt: skip
    add("--fmax", type=float, metavar="F",
        help="largest force that relaxations leave, in eV/Å, for the verdict")  # fmt: skip
    add("--seed", type=int, help="of random choices (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    :param arguments: as parsed
    :raises ValueError: with one sentence for the user
    """
    model = _model(arguments)
    if model is None:
        _draw_run(arguments)
        return
    if arguments.structures is None or arguments.output is None:
        missing = "STRUCTURES" if arguments.structures is None else "-o DIR"
        raise ValueError(f"give {missing} too: mtt symmetry MODEL STRUCTURES -o DIR")
    settings = {
        name: getattr(arguments, name)
        for name in SETTINGS
        if getattr(arguments, name) is not None
    }
    if arguments.memory is not None:
        settings["memory"] = checks.memory(arguments.memory)
    report = symmetry_report(
        model,
        arguments.structures,
        arguments.output,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        distributed=True,
        targets=arguments.targets,
        probes=arguments.probes,
        gradients="auto" if arguments.gradients == "auto" else arguments.gradients == "yes",
        dtype=arguments.dtype,
        device=arguments.device,
        extensions=arguments.extensions,
        compile=bool(arguments.compile),
        max_structures=arguments.max_structures,
        state=arguments.state,
        group=arguments.group,
        fmax=arguments.fmax,
        **settings,
    )
    for line in lines(report):
        logging.info(line)
    logging.info(f"open first: {Path(arguments.output) / 'index.html'}")


def _model(arguments: argparse.Namespace) -> Any:
    """What is measured: a path, or a calculator; None for the folder of a run."""
    if arguments.calculator is None:
        if arguments.model is None:
            raise ValueError(
                "give MODEL and STRUCTURES, or --calculator and STRUCTURES: mtt symmetry "
                "MODEL STRUCTURES -o DIR"
            )
        return None if Path(arguments.model).is_dir() else arguments.model
    if arguments.structures is not None:
        raise ValueError(
            f"--calculator stands in place of MODEL: leave out '{arguments.model}'"
        )
    if arguments.model is None or arguments.output is None:
        missing = "STRUCTURES" if arguments.model is None else "-o DIR"
        raise ValueError(
            f"give {missing} too: mtt symmetry --calculator ... STRUCTURES -o DIR"
        )
    from ..models.calculator_factory import calculator_from

    # the only argument without a name is that of the structures
    arguments.model, arguments.structures = None, arguments.model
    return calculator_from(arguments.calculator)


def _draw_run(arguments: argparse.Namespace) -> None:
    """Draw the series of a run's folder."""
    from ..api.run_page import draw_run

    checks.alone(f"drawing '{arguments.model}', the folder of a run,")
    checks.only_for_models(arguments)
    if arguments.structures is not None:
        raise ValueError(
            f"'{arguments.model}' is a folder, which is drawn without STRUCTURES: leave "
            "them out, or give a checkpoint"
        )
    if arguments.state is not None:
        raise ValueError(
            f"'{arguments.model}' is the folder of a run, whose measurements are drawn as "
            "they are: leave out --state, or give a checkpoint"
        )
    if arguments.resume:
        raise ValueError(
            f"'{arguments.model}' is a folder, which is only drawn: leave out --continue"
        )
    output = None if arguments.output is None else Path(arguments.output)
    page = draw_run(Path(arguments.model), output, arguments.overwrite)
    logging.info(f"open first: {page}")
