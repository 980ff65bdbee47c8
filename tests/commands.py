"""Commands in processes of their own that begin with torch and metatrain imported.

Those imports cost every command some five seconds. Here a server has them once, and each
command is a fork of it: with its own folder, variables, output and exit code.
"""

import atexit
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from matplotlib.figure import Figure


# metatrain orders the losses of the targets by a set, and so by Python's hashes of names,
# which are those of the server
REPEATABLE = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "metatrain.cli.train",
        "metatrain_symmetry.cli.symmetry",
        "metatrain_symmetry.pet_ssh.trainer",
        "metatrain_symmetry.purify.run",
    ]
)


def run(module, *arguments, cwd=".", env=None):
    """What ``python -m module arguments`` says and returns.

    :param module: ``metatrain``, ``metatrain_symmetry`` or a benchmark
    :param arguments: of the command
    :param cwd: folder to work in
    :param env: environment, that of the tests if not given
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdout", "stderr")]
        command = [module, *map(str, arguments)]
        given = (command, str(cwd), dict(env or os.environ), streams, list(sys.path))
        given += (Figure.draw is not _nothing,)
        with mock.patch.dict(os.environ, REPEATABLE):
            multiprocessing.forkserver.ensure_running()
        process = SERVER.Process(target=work, args=given)
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            process.join()
        output = [path.read_text() if path.is_file() else "" for path in streams]
    return subprocess.CompletedProcess(command, process.exitcode, *output)


def blank():
    """Figures are made and saved, and nothing is drawn: it would take most of the time."""
    return mock.patch.object(Figure, "draw", _nothing)


def _nothing(figure, renderer):
    pass


def work(command, folder, environment, streams, path, draws=False):
    """Be a command, in a process of its own.

    :param command: module or script, and its arguments
    :param folder: to work in
    :param environment: its variables
    :param streams: files for what it says: output and errors
    :param path: where modules are found, beside the folder
    :param draws: whether it draws figures
    """
    for number, stream in enumerate(streams, 1):
        file = os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = ["", *path]
    sys.argv = command
    # what the server would do at its end, as removing folders of W&B, is not for us to do
    atexit._clear()
    try:
        # both as in conftest.py
        with torch.jit.optimized_execution(False), nullcontext() if draws else blank():
            if command[0].endswith(".py"):
                runpy.run_path(command[0], run_name="__main__")
            else:
                runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        # a process of multiprocessing leaves them out
        atexit._run_exitfuncs()
