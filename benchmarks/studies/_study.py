"""What the studies have in common: data, trainings within a time limit, a summary."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks._results import hardware, write_json
from benchmarks._training import Training
from benchmarks.studies._options import ROOT


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
DATA = ROOT / "data" / "generated"
RUNS = ROOT / "benchmarks" / "runs"
RESULTS = ROOT / "benchmarks" / "results" / "studies"


@dataclass(frozen=True)
class Setting:
    """Where one call of a study works, and how much it does.

    :param data: folder with the made data
    :param runs: folder for the trainings
    :param results: folder for tables and figures
    :param seeds: random seeds of every variant
    :param quick: sizes of a test
    """

    data: Path
    runs: Path
    results: Path
    seeds: list[int]
    quick: bool


@dataclass(frozen=True)
class Study:
    """A study of the paper.

    :param name: of the study and of its folders
    :param title: one sentence
    :param maker: module that makes the data, or several
    :param plan: all trainings, the most important first
    :param analyse: writes tables and figures, returns the numbers for the summary
    :param seeds: random seeds unless others are asked for
    """

    name: str
    title: str
    maker: str | tuple[str, ...]
    plan: Callable[[Setting], list[Training]]
    analyse: Callable[[list[Training], Setting], dict[str, Any]]
    seeds: tuple[int, ...] = (0, 1, 2)


def parse(study: Study, arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    :param study: the study
    :param arguments: in place of those of the process
    """
    parser = argparse.ArgumentParser(description=study.title)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a test")
    parser.add_argument("--minutes", type=float, help="stop training after so long")
    parser.add_argument("--seeds", type=int, nargs="+", help=f"(default: {study.seeds})")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    parser.add_argument("--data", type=Path, help="folder of the made data")
    parser.add_argument("--runs", type=Path, help="folder for the trainings")
    parser.add_argument("--output", type=Path, help="folder for tables and figures")
    parser.add_argument("--analyse", action="store_true", help="train nothing more")
    return parser.parse_args(arguments)


def setting(study: Study, args: argparse.Namespace) -> Setting:
    """Folders and sizes of a call.

    :param study: the study
    :param args: as parsed
    """
    runs = args.runs or RUNS / ("quick" if args.quick else "") / study.name
    # a test must not replace the numbers of the study
    results = runs / "results" if args.quick else RESULTS / study.name
    return Setting(
        data=(args.data or (DATA / "quick" if args.quick else DATA)).resolve(),
        runs=runs.resolve(),
        results=(args.output or results).resolve(),
        seeds=args.seeds or ([0] if args.quick else list(study.seeds)),
        quick=args.quick,
    )


def make_data(study: Study, chosen: Setting) -> None:
    """Make the data; the maker itself says if they are there already.

    :param study: the study
    :param chosen: where to, and how much
    """
    makers = (study.maker,) if isinstance(study.maker, str) else study.maker
    for maker in makers:
        command = [sys.executable, "-m", maker, "--output-dir", str(chosen.data)]
        command += ["--quick"] if chosen.quick else []
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            raise SystemExit(f"{maker} made no data: see its messages above")


def train_all(trainings: list[Training], minutes: float | None) -> dict[str, str]:
    """Train one after the other.

    :param trainings: the most important first
    :param minutes: time for all of them, None for no limit
    :return: what became of each
    """
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    outcome = {}
    bar = tqdm(trainings, unit="training")
    for training in bar:
        bar.set_postfix_str(training.name)
        outcome[training.name] = training.train(deadline)
    return outcome


def main(study: Study, arguments: list[str] | None = None) -> dict[str, Any]:
    """Run a study; what was finished before is not repeated.

    :param study: the study
    :param arguments: in place of those of the process
    :return: the summary
    """
    # a terminated study ends the training that it has started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = parse(study, arguments)
    chosen = setting(study, args)
    make_data(study, chosen)
    trainings = [t for t in study.plan(chosen) if args.only in t.variant]
    outcome = train_all(trainings, 0 if args.analyse else args.minutes)
    chosen.results.mkdir(parents=True, exist_ok=True)
    usable = [t for t in trainings if t.checkpoint is not None]
    given = sys.argv[1:] if arguments is None else arguments
    missing = {name: what for name, what in outcome.items() if what != "finished"}
    summary: dict[str, Any] = {
        "study": study.title,
        "command": command_of(study, given),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
        "wall_s": {t.name: t.state["wall_s"] for t in usable},
        "not_finished": missing,
        "results": study.analyse(usable, chosen) if usable else {},
    }
    write_json(chosen.results / "summary.json", _portable(summary))
    for name, what in missing.items():
        print(f"not finished: {name} ({what})")
    print(f"tables and figures are in '{chosen.results}'")
    return summary


def command_of(study: Study, arguments: list[str]) -> str:
    """The command, without folders, which are those of one computer.

    :param study: the study
    :param arguments: of the command line
    """
    left, skip = [], False
    for argument in arguments:
        folder = argument.split("=")[0] in ("--data", "--runs", "--output")
        if not skip and not folder:
            left.append(argument)
        skip = folder and "=" not in argument
    return " ".join(["python", "-m", f"benchmarks.studies.{study.name}", *left])


def _portable(value: Any) -> Any:
    """JSON has no NaN, and results are not about one machine's folders."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, str):
        return value.replace(f"{ROOT}/", "")
    if isinstance(value, float) and value != value:
        return None
    return value
