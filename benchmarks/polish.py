"""What symmetry fine-tuning brings: trained models before and after, on their test sets.

- ``model``: one checkpoint. ``full``, ``heads`` and ``readout`` are what ``mtt purify``
  does; ``further`` is a training that goes on for as many epochs with the same learning
  rates and no penalty, of which metatrain's best model is taken; ``averaging`` is the
  trained model averaged over the 60 rotations of the icosahedron at inference, with and
  without inversions; ``averaging over O``, which has to be asked for, over 24.
- ``scratch``: trainings from scratch with and without ``symmetry_penalty``. Those that are
  interrupted go on.
- ``unlabelled``: one checkpoint, and ``full`` without and with structures of other
  molecules in ``purify.unlabelled``; A is compared on still other molecules too, which
  have no labels.
- ``table`` and ``draw``: all that is in the results file.

A and RMSE are means over 120 rotations and inversions of each structure. Intervals are of
95 %, from a bootstrap over structures, the same ones before and after. The results file is
rewritten after every method; several calls with other names, seeds or methods add to it.

    python -m benchmarks.polish model --name quickstart --checkpoint model.ckpt \
        --options options.yaml --output benchmarks/results/polish.json
    python -m benchmarks.polish scratch --options options.yaml --seeds 0 1 \
        --set weight=16 copies=4 --output benchmarks/results/polish.json
    python -m benchmarks.polish unlabelled --name quickstart --checkpoint model.ckpt \
        --options options.yaml --output benchmarks/results/polish.json
    python -m benchmarks.polish draw --output benchmarks/results/polish.json
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import _polish_unlabelled as unlabelled
from benchmarks._polish_cases import METHODS, Study, read_training, scratch
from benchmarks._polish_tables import OTHERS, draw, text
from benchmarks._results import hardware, write_json


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
OUTPUT = Path("benchmarks/results/polish.json")
STRUCTURES = 100
OTHER_STRUCTURES = 60
QUICK: dict[str, Any] = {
    "epochs": 1,
    "max_structures": 12,
    "max_validation_structures": 4,
    "report_structures": 0,
}
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s'\"/]+/)+")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark.

    :param arguments: of the command line, None for those of this process
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    parts = {name: commands.add_parser(name) for name in COMMANDS}
    for one in parts.values():
        _add_shared(one)
    _add_own(parts)
    for name in ("table", "draw"):
        one = commands.add_parser(name)
        one.add_argument("--output", type=Path, default=OUTPUT, help="the results file")
        one.add_argument("--set-of", default="test", choices=("test", "validation"))
    args = parser.parse_args(arguments)
    # more threads than idle cores make every time here meaningless
    torch.set_num_threads(1)
    results = Results(args.output, sys.argv[1:] if arguments is None else arguments)
    if args.what == "draw":
        draw(results.cases, args.output.with_suffix(".png"))
        return
    if args.what in COMMANDS:
        COMMANDS[args.what](args, results)
    print(text(results.cases, getattr(args, "set_of", "test")))
    results.stop_if_failed()


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--options", type=Path, required=True, help="of mtt train")
    parser.add_argument("--name", help="of the case")
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--structures", type=int,
        help="at most so many are evaluated; of other molecules so many are made",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
        help="options of purify, or of symmetry_penalty in trainings from scratch",
    )  # fmt: skip


def _add_own(parts: dict[str, argparse.ArgumentParser]) -> None:
    model, scratch = parts["model"], parts["scratch"]
    for one in (model, parts["unlabelled"]):
        one.add_argument("--checkpoint", type=Path, required=True)
        one.add_argument(
            "--seed", type=int, help="of the split, where the options have none"
        )
        one.add_argument(
            "--training-seconds", type=float, help="instead of those of its log"
        )
    model.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS[:-1]))
    scratch.add_argument("--seeds", nargs="+", type=int, default=[0])
    scratch.add_argument("--root", type=Path, default=Path("polish-trainings"))


def changes_of(pairs: list[str]) -> dict[str, Any]:
    """Read ``--set``.

    :param pairs: ``key=value``, values as in YAML
    :raises ValueError: if one has no value
    :return: values by key
    """
    found = {}
    for pair in pairs:
        key, equal, value = pair.partition("=")
        if not equal:
            raise ValueError(f"--set takes key=value, not '{pair}'")
        found[key] = _with_numbers(yaml.safe_load(value))
    return found


def _with_numbers(value: Any) -> Any:
    """YAML takes 2e-3 for a text."""
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class Results:
    """The results file, to which calls add.

    :param path: JSON file, which need not exist
    :param arguments: of the command line
    """

    def __init__(self, path: Path, arguments: list[str]) -> None:
        self.path = path
        self.content: dict[str, Any] = {"cases": {}}
        if path.is_file():
            self.content = json.loads(path.read_text())
        self.command = " ".join(["python", "-m", "benchmarks.polish", *arguments])

    @property
    def cases(self) -> dict[str, Any]:
        """Cases by ``name, seed S``."""
        found: dict[str, Any] = self.content["cases"]
        return found

    def begin(self, name: str, settings: dict[str, Any], before: dict[str, Any]) -> None:
        """Begin a case; methods of another model or other structures are forgotten.

        :param name: of the case
        :param settings: what decides ``before``
        :param before: tables of the trained model
        """
        settings = portable(settings)
        old = self.cases.get(name, {})
        methods = old.get("methods", {}) if old.get("settings") == settings else {}
        self.cases[name] = {"settings": settings, "before": before, "methods": methods}

    def add(self, name: str, entries: dict[str, dict[str, Any]]) -> None:
        """Add methods to a case, and write.

        :param name: of the case, which need not have begun where it failed
        :param entries: by method
        """
        here = {
            "command": self.command,
            "versions": {package: version(package) for package in PACKAGES},
            "hardware": hardware(),
        }
        case = self.cases.setdefault(name, {"methods": {}})
        for method, entry in entries.items():
            case["methods"][method] = {**entry, **here}
        self.content = portable(self.content)
        write_json(self.path, self.content)

    def attempt(
        self, name: str, method: str, action: Callable[[], dict[str, dict[str, Any]]]
    ) -> None:
        """Run a method; one that fails leaves the others.

        :param name: of the case
        :param method: its name
        :param action: gives the entries
        """
        print(f"{name}: {method}", flush=True)
        started = time.perf_counter()
        try:
            entries = action()
        except Exception as error:
            entries = {method: {"failed": f"{type(error).__name__}: {error}"}}
        print(f"    {time.perf_counter() - started:.0f} s", flush=True)
        self.add(name, entries)

    def stop_if_failed(self) -> None:
        """End with an exit code where a method failed.

        :raises SystemExit: if one did
        """
        failed = [
            f"{name}: {method}"
            for name, case in self.cases.items()
            for method, entry in case["methods"].items()
            if "failed" in entry
        ]
        if failed:
            raise SystemExit(f"these failed, see {self.path}: {'; '.join(failed)}")


def portable(node: Any) -> Any:
    """Leave out what JSON does not have, and folders of this machine.

    :param node: results, or a part of them
    :return: a copy; None for what is not finite, file names for absolute paths
    """
    if isinstance(node, dict):
        return {key: portable(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [portable(value) for value in node]
    if isinstance(node, float) and not math.isfinite(node):
        return None
    if isinstance(node, str | Path):
        return FOLDERS.sub("", str(node))
    return node


def open_study(args: argparse.Namespace, structures: int) -> Study:
    """Open a checkpoint and its data sets.

    :param args: of the command line
    :param structures: at most so many of a set are evaluated
    """
    options = read_training(args.options, args.seed)
    changes = {**(QUICK if args.quick else {}), **changes_of(args.changes)}
    if args.epochs is not None:
        changes["epochs"] = args.epochs
    study = Study(args.checkpoint, options, changes, structures, args.training_seconds)
    if not study.split_checked:
        print("WARNING: no indices/test.txt of the training was found to compare with")
    return study


def run_model(args: argparse.Namespace, results: Results) -> None:
    """Study one checkpoint.

    :param args: of the command line
    :param results: to add to
    """
    study = open_study(args, args.structures or (4 if args.quick else STRUCTURES))
    settings = study.settings()
    name = f"{args.name or args.checkpoint.stem}, seed {settings['seed']}"
    print(f"{name}: {settings['evaluated']} structures before", flush=True)
    results.begin(name, settings, study.tables())
    for method in args.methods:
        results.attempt(name, method, lambda method=method: study.run(method))


def run_unlabelled(args: argparse.Namespace, results: Results) -> None:
    """Fine-tune one checkpoint without and with structures of other molecules.

    :param args: of the command line; ``structures`` of other molecules are made
    :param results: to add to
    """
    structures = args.structures or (8 if args.quick else OTHER_STRUCTURES)
    study = open_study(args, structures)
    others = unlabelled.prepare(study, structures)
    settings = {**study.settings(), OTHERS: others.settings()}
    name = f"{args.name or args.checkpoint.stem} unlabelled, seed {settings['seed']}"
    print(f"{name}: {settings['evaluated']} structures before", flush=True)
    before = study.tables()
    before[OTHERS] = unlabelled.without_errors(before[OTHERS])
    results.begin(name, settings, before)
    for method in ("full", unlabelled.UNLABELLED):
        results.attempt(
            name, method, lambda method=method: unlabelled.run(study, others, method)
        )


def run_scratch(args: argparse.Namespace, results: Results) -> None:
    """Train from scratch, seed after seed.

    :param args: of the command line
    :param results: to add to
    """
    epochs = args.epochs or (1 if args.quick else None)
    structures = args.structures or (4 if args.quick else STRUCTURES)
    for seed in args.seeds:
        options = read_training(args.options, seed)
        name = f"{args.name or args.options.stem} from scratch, seed {seed}"

        def action(options: Any = options, name: str = name) -> dict[str, dict[str, Any]]:
            changes = changes_of(args.changes)
            settings, case = scratch(options, changes, epochs, args.root, structures)
            results.begin(name, settings, case["before"])
            methods: dict[str, dict[str, Any]] = case["methods"]
            return methods

        results.attempt(name, "scratch", action)


COMMANDS = {"model": run_model, "unlabelled": run_unlabelled, "scratch": run_scratch}


if __name__ == "__main__":
    main()
