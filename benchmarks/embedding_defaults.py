"""Measure variants of ``geometry_embedding``, to choose its defaults.

Two tasks, cheap enough for one core: ``xtb`` (energies with conservative forces of
small molecules, where the embedding must do no harm) and ``lambda8`` (a target of
angular momentum 8, where PET predicts zero). Run from the root of the repository; the
first command makes the second target::

    python -m benchmarks.makers.densities lambda8
    python -m benchmarks.embedding_defaults --seeds 0 1 --processes 2
    python -m benchmarks.embedding_defaults --table

Finished runs are skipped, so an interrupted command can be given again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from benchmarks._results import append_entry, load_entries, matching
from benchmarks._runs import Run, Task, execute, fingerprint
from benchmarks._tables import table


class Variant(NamedTuple):
    """An architecture with its ``geometry_embedding`` options.

    :param l_max: largest degree, or ``None`` for the edge embedding of PET
    :param length_scale: length that vectors are divided by, Å
    :param normalization: of the embedding, ``None`` for none
    :param keep_distance: keep PET's own map of [x, y, z, r]
    """

    l_max: int | None
    length_scale: float = 1.0
    normalization: str | None = "harmonics"
    keep_distance: bool = True


CUTOFF = 4.5  # Å
# what --table compares first-epoch losses with
REFERENCE = "PET"
VARIANTS: dict[str, Variant | None] = {
    REFERENCE: None,  # architecture `pet`
    "l null": Variant(l_max=None),  # must agree with PET to the last digit
    "l1 harmonics 1.0": Variant(1),
    "l4 harmonics 0.5": Variant(4, 0.5),
    "l4 harmonics 1.0": Variant(4),
    "l4 harmonics 1.5": Variant(4, 1.5),
    "l4 harmonics 1.0, no r": Variant(4, keep_distance=False),
    "l4 LayerNorm 1.0": Variant(4, 1.0, "LayerNorm"),
    "l4 LayerNorm 1.5": Variant(4, 1.5, "LayerNorm"),
    "l4 none 1.0": Variant(4, 1.0, None),
    "l8 harmonics 1.0": Variant(8),
    "l8 harmonics 1.5": Variant(8, 1.5),
    "l8 harmonics cutoff": Variant(8, CUTOFF),
    "l8 LayerNorm 1.0": Variant(8, 1.0, "LayerNorm"),
    "l8 none 1.0": Variant(8, 1.0, None),
}

MODEL = {
    "cutoff": CUTOFF,
    "d_pet": 48,
    "d_head": 48,
    "d_node": 96,
    "d_feedforward": 96,
    "num_heads": 4,
    "num_gnn_layers": 2,
    "num_attention_layers": 1,
}
TRAINING = {"batch_size": 16, "warmup_fraction": 0.05, "num_workers": 0}
TASKS = {
    "xtb": Task(
        systems=Path("data/xtb_molecules.xyz"),
        targets={
            "energy": {
                "key": "energy",
                "unit": "eV",
                "forces": {"key": "forces"},
                "stress": False,
            }
        },
        model={**MODEL, "d_pet": 32, "d_head": 32, "d_node": 64, "d_feedforward": 64},
        training={
            **TRAINING,
            "batch_size": 8,
            "learning_rate": 2e-3,
            # with equal weights the forces leave the energies at their baseline
            "loss": {
                "energy": {
                    "type": "mse",
                    "weight": 1.0,
                    "gradients": {"positions": {"type": "mse", "weight": 0.05}},
                }
            },
        },
        epochs=30,
    ),
    "lambda8": Task(
        systems=Path("data/generated/lambda8.xyz"),
        targets={
            "mtt::density_l8": {
                "read_from": "data/generated/lambda8.mts",
                "sample_kind": "atom",
                "type": {"spherical": {"irreps": [{"o3_lambda": 8, "o3_sigma": 1}]}},
            }
        },
        model=MODEL,
        # a checkpoint every five epochs shows when the predictions grow
        training={**TRAINING, "learning_rate": 3e-3, "checkpoint_interval": 5},
        epochs=60,
    ),
}


def make_run(task: str, variant: str, seed: int, epochs: int | None, data: str) -> Run:
    """Collect the settings of a run.

    :param task: name of the task
    :param variant: name of the variant
    :param seed: random seed
    :param epochs: number of epochs, ``None`` for that of the task
    :param data: hash of the data files
    """
    about, embedding = TASKS[task], VARIANTS[variant]
    model = dict(about.model)
    if embedding is not None:
        model["geometry_embedding"] = embedding._asdict()
    return Run(
        task=task,
        variant=variant,
        architecture="pet" if embedding is None else "pet_ssh",
        model=model,
        training={**about.training, "num_epochs": epochs or about.epochs},
        seed=seed,
        data=data,
    )


def hash_of(task: Task) -> str:
    """Hash of the data files of a task.

    :param task: what is learned
    :raises SystemExit: if one is missing
    """
    for file in task.files():
        if not file.exists():
            sys.exit(f"'{file}' is missing: see the first lines of this module")
    return fingerprint(task.files())


def execute_all(runs: list[Run], output: Path, processes: int) -> int:
    """Execute runs and append each to the results file as soon as it ends.

    :param runs: the runs
    :param output: the results file
    :param processes: number of runs at a time
    :return: number of runs that failed
    """
    failed = 0
    context = multiprocessing.get_context("spawn")  # torch and fork do not mix
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {pool.submit(execute, run, TASKS[run.task]): run for run in runs}
        for future in tqdm(as_completed(futures), total=len(futures), unit="run"):
            run = futures[future]
            try:
                append_entry(output, future.result())
            except Exception as error:  # the other runs go on
                failed += 1
                name = f"{run.task}, {run.variant}, seed {run.seed}"
                tqdm.write(f"{name}: {type(error).__name__} {error}")
    return failed


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, help="other than the tasks' own")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("benchmarks/results/embedding_defaults.json"),
    )
    parser.add_argument("--table", action="store_true", help="only print the results")
    return parser.parse_args()


def main() -> int:
    """Execute what is missing, or print the tables."""
    arguments = parse_arguments()
    data = dict.fromkeys(arguments.tasks, "")
    if not arguments.table:
        data = {task: hash_of(TASKS[task]) for task in arguments.tasks}
    runs = [
        make_run(task, variant, seed, arguments.epochs, data[task])
        for seed in arguments.seeds
        for task in arguments.tasks
        for variant in arguments.variants
    ]
    failed = 0
    if not arguments.table:
        entries = load_entries(arguments.output)
        missing = [run for run in runs if matching(entries, asdict(run)) is None]
        print(f"{len(runs) - len(missing)} of {len(runs)} runs are done already")
        failed = execute_all(missing, arguments.output, arguments.processes)
    entries = load_entries(arguments.output)
    for task in arguments.tasks:
        print(f"\n{table(entries, [r for r in runs if r.task == task], REFERENCE)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
