"""A study whose trainings are forks of it, as commands of tests are of their server.

Named in place of the study, whose name is the first argument.
"""

import multiprocessing
import os
import runpy
import sys

import commands

from benchmarks import _training


def fork(arguments, folder, deadline=float("inf")):
    """Do what :func:`benchmarks._training.run_python` does, without deadline or figures."""
    assert deadline == float("inf")
    # a module, or the file of a script
    command = arguments[1:] if arguments[0] == "-m" else arguments
    log = folder / _training.LOG
    log.unlink(missing_ok=True)
    given = (command, folder, dict(os.environ), [log, log], sys.path[1:])
    process = multiprocessing.get_context("fork").Process(target=commands.work, args=given)
    process.start()
    process.join()
    return process.exitcode


if __name__ == "__main__":
    _training.run_python = fork
    name = sys.argv.pop(1)
    runpy.run_module(f"benchmarks.studies.{name}", run_name="__main__", alter_sys=True)
