"""``.. command-help:: NAME``: what ``mtt NAME --help`` prints, as of this version."""

import argparse
import os
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metatrain_symmetry.plugin.commands import COMMANDS, add_parser


COLUMNS = "80"


def help_text(name: str) -> str:
    """Ask the parser of one of our sub-commands.

    :param name: of the sub-command
    :raises KeyError: if we have no such command
    :return: its help
    """
    command = {command.name: command for command in COMMANDS}[name]
    subparsers = argparse.ArgumentParser(prog="mtt").add_subparsers()
    add_parser(subparsers, command)
    with mock.patch.dict(os.environ, {"COLUMNS": COLUMNS, "NO_COLOR": "1"}):
        return str(subparsers.choices[name].format_help())


class CommandHelp(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Show the help as it is.

        :return: a literal block
        """
        text = help_text(self.arguments[0])
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive.

    :param app: of Sphinx
    :return: what Sphinx wants to know
    """
    app.add_directive("command-help", CommandHelp)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
