"""``mtt purify MODEL.ckpt OPTIONS.yaml -o PURIFIED.ckpt``: parsing."""

import argparse
from typing import Any

from ..api.purify_checkpoint import purify_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    :param parser: of the sub-command
    """
    add = parser.add_argument
    add("model", metavar="MODEL.ckpt", help="checkpoint of a pet or pet_ssh")
    add(
        "options",
        metavar="OPTIONS.yaml",
        help="those of mtt train, perhaps with a section purify",
    )
    add("-o", "--output", metavar="PURIFIED.ckpt", help="checkpoint to write")
    add(
        "--report",
        metavar="DIR",
        help="folder for curve and tables (default: beside the output; none in a dry run)",
    )
    add("--dry-run", action="store_true", help="show the trade-off, write no checkpoint")
    add("--overwrite", action="store_true", help="replace output and report if there")
    add(
        "-r",
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option that replaces that of the file, such as purify.method=full",
    )
    add(
        "--restart",
        action="store_true",
        help="go on with a fine-tuning (purify.method: heads or full) that was interrupted",
    )
    add("--continue", action="store_true", dest="resume",
        help="go on from what a killed run has kept beside its output (of a fine-tuning: "
        "as --restart)")  # fmt: skip
    add("--device", help="cpu or cuda (default: that of the options)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    :param arguments: as parsed
    :raises ValueError: with one sentence for the user
    """
    purify_checkpoint(
        arguments.model,
        _options(arguments.options, arguments.override),
        arguments.output,
        report=arguments.report,
        dry_run=arguments.dry_run,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
        resume=arguments.resume,
        device=arguments.device,
    )


def _options(path: str, overrides: list[str]) -> Any:
    """Content of the options file, with what the command line replaces."""
    if not overrides:
        return path
    from omegaconf import OmegaConf

    from ..data.options_files import load

    return OmegaConf.merge(load(path), OmegaConf.from_dotlist(overrides))
