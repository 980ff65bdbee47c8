"""What watching a training costs: wall and processor time of ``train``, with and without.

Every run is a process of its own: ``mtt train`` on the options of the quickstart with
another number of epochs, on one thread. Unwatched and watched runs take turns, in an
order that rotates; medians over repeats are reported. Timed is ``Trainer.train``, from the
first line to the last, the page of the watched runs included. ``asked`` is
``max_overhead``, ``allowed`` the seconds that it stands for: a training shorter than 400 s
counts as one of 400 s. ``spent`` is what the log of the run reports for its measurements,
``page`` the seconds that drawing the page took.

    python -m benchmarks.monitor --output benchmarks/results/monitor.json
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from benchmarks._results import hardware, write_atomically
from benchmarks._timing import in_turns


ROOT = Path(__file__).parent.parent
CLOSING = r"Symmetry: (\d+) measurements, ([\d.]+) s, .*\(drawn in ([\d.]+) s\)"
PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch")
SETTINGS: dict[str, dict[str, Any] | None] = {
    "unwatched": None,
    "default": {},
    "outputs, 3 %": {"probes": [], "max_overhead": 0.03},
    "all layers, 20 %": {
        "probes": ["GE", "EE", "transformer", "GNN", "BBF", "LLF"],
        "max_overhead": 0.2,
    },
}
RUNNER = """
import json, sys, time
import torch
torch.set_num_threads(1)
import metatrain.__main__
from metatrain_symmetry.pet_ssh import Trainer

original = Trainer.train

def train(self, *arguments, **keywords):
    wall, cpu = time.perf_counter(), time.process_time()
    original(self, *arguments, **keywords)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    with open("spent.json", "w") as file:
        json.dump(spent, file)

Trainer.train = train
sys.argv = ["mtt", "train", "options.yaml"]
metatrain.__main__.main()
"""


def write_options(symmetry: dict[str, Any] | None, epochs: int) -> None:
    """Options of one run, into the working folder."""
    options = OmegaConf.load(ROOT / "configs" / "quickstart.yaml")
    data = str(ROOT / "data" / "xtb_molecules.xyz")
    OmegaConf.update(options, "training_set.systems.read_from", data)
    training = options.architecture.training
    training.num_epochs = epochs
    training.pop("symmetry", None)
    options.pop("wandb", None)
    if symmetry is not None:
        training.symmetry = symmetry
    OmegaConf.save(options, "options.yaml")


def once(symmetry: dict[str, Any] | None, epochs: int) -> dict[str, Any]:
    """One training; seconds, and what its log says."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_options(symmetry, epochs)
            subprocess.run(
                [sys.executable, "-c", RUNNER],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=True,
                capture_output=True,
            )
            found: dict[str, Any] = json.loads(Path("spent.json").read_text())
            (log,) = Path("outputs").glob("*/*/train.log")
            text = log.read_text()
        finally:
            os.chdir(before)
    last = re.search(CLOSING, text)
    if last:
        found |= {"measurements": int(last[1]), "spent": float(last[2])}
        found["page"] = float(last[3])
    return found


def compare(epochs: int, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """All settings, taking turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for name in in_turns(SETTINGS, repeats):
        started = time.perf_counter()
        found[name].append(once(SETTINGS[name], epochs))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return found


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Overheads of the medians."""
    median = {
        name: {
            kind: float(np.median([one[kind] for one in many])) for kind in ("wall", "cpu")
        }
        for name, many in runs.items()
    }
    bare = median["unwatched"]
    found: dict[str, dict[str, Any]] = {}
    for name, settings in SETTINGS.items():
        found[name] = dict(median[name])
        if settings is not None:
            asked = settings.get("max_overhead", 0.05)
            found[name] |= {
                "asked": asked,
                "overhead_wall": median[name]["wall"] / bare["wall"] - 1,
                "overhead_cpu": median[name]["cpu"] / bare["cpu"] - 1,
                "allowed": asked * max(bare["wall"], 400.0),
                "spent": float(np.median([one["spent"] for one in runs[name]])),
                "page": float(np.median([one["page"] for one in runs[name]])),
                "measurements": int(np.median([one["measurements"] for one in runs[name]])),
            }
    return found


def table(summary: dict[str, dict[str, Any]]) -> str:
    """Markdown table of the overheads."""
    lines = [
        "| setting | asked | overhead, wall | overhead, processor | allowed (s) "
        "| spent (s) | page (s) | measurements |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in summary.items():
        if "asked" in row:
            shares = [row[k] for k in ("asked", "overhead_wall", "overhead_cpu")]
            seconds = [row[k] for k in ("allowed", "spent", "page")]
            cells = [f"{100 * share:.1f} %" for share in shares]
            cells += [f"{second:.1f}" for second in seconds]
            lines.append(f"| {name} | {' | '.join(cells)} | {row['measurements']} |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("monitor.json"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    runs = compare(args.epochs, args.repeats)
    result = {
        "command": " ".join(["python", "-m", "benchmarks.monitor", *sys.argv[1:]]),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
        "epochs": args.epochs,
        "runs": runs,
        "summary": summarise(runs),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_atomically(args.output, lambda path: Path(path).write_text(text))
    print(table(summarise(runs)))


if __name__ == "__main__":
    main()
