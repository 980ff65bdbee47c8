"""Pages of the documentation, cut into the blocks that a reader would type."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training_common import mtt


ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIALS = DOCS / "tutorials"

FENCE = re.compile(r"^```(?P<kind>\{[\w-]+\})? *(?P<argument>\S*) *$")
CAPTION = re.compile(r"^:caption: *(.*)$")
OPTION = re.compile(r"^:[\w-]+:")

# a test has less time than a reader: added where the page does not say otherwise
SMALLER = {"symmetry": {"--degree": "6", "--lambda-max": "3", "--max-structures": "2"}}


@dataclass
class Block:
    """What stands between two fences.

    :param language: of the code, or the name of another directive
    :param text: the code
    :param caption: name of the file that the block is, ``Files`` for a list of files
    :param line: of the page, of the first line of the text
    """

    language: str
    text: str
    caption: str
    line: int


def blocks(page):
    """All fenced blocks of a page, in order."""
    found, start = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if start is None:
            start = FENCE.match(line)
            body, caption, first = [], "", number + 1
        elif line.rstrip() == "```":
            kind = start["kind"]
            language = kind if kind not in (None, "{code-block}") else start["argument"]
            found.append(Block(language, "\n".join(body), caption, first))
            start = None
        elif start["kind"] and not body and (OPTION.match(line) or not line.strip()):
            caption = (CAPTION.match(line) or ["", caption])[1]
            first = number + 1
        else:
            body.append(line)
    assert start is None, f"{page} ends inside a block"
    return found


def commands(block):
    """Lines of a block as typed, continued ones joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@contextmanager
def inside(folder):
    """Work in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def follow(page, folder):
    """Do what a tutorial says, in a folder; its Python blocks share their names."""
    names = {"__name__": page.stem}
    with inside(folder):
        for block in blocks(page):
            if block.language == "bash":
                for line in commands(block):
                    program, *arguments = shlex.split(line)
                    if program == "torchrun":
                        shared(arguments)
                        continue
                    assert program == "mtt", f"{page}:{block.line}: what is {program}?"
                    mtt(*arguments, *smaller(arguments))
            elif block.language == "python":
                # lines of tracebacks are those of the page
                code = "\n" * (block.line - 1) + block.text
                exec(compile(code, str(page), "exec"), names)
            elif block.language == "yaml" and block.caption:
                Path(block.caption).write_text(block.text + "\n")
            elif block.caption == "Files":
                for path in files(block):
                    assert list(Path().glob(path)), f"{page}:{block.line}: no {path}"
    return names


def smaller(arguments):
    """What makes a command faster, unless it is the drawing of a run's folder.

    A finite group is averaged over exactly, and takes no grid.
    """
    added = SMALLER.get(arguments[0], {})
    if Path(arguments[1]).is_dir() or "--group" in arguments:
        return []
    return [x for key, value in added.items() if key not in arguments for x in (key, value)]


def shared(arguments):
    """Run a command by two processes, however many the page has."""
    option, _, module, name, *rest = arguments
    assert (option, module, name) == ("--nproc-per-node", "-m", "metatrain_symmetry")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", option, "2"]
    command = [*launch, module, name, *rest, *smaller(rest)]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def files(block):
    """Patterns of the files that a block lists, one on each line before its meaning."""
    first = [line.split()[0] for line in block.text.splitlines() if line.strip()]
    return [name.replace("DATE", "*").replace("TIME", "*") for name in first]
