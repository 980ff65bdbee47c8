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
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from benchmarks._results import hardware, write_json
from benchmarks._timing import in_turns
from benchmarks._training import last_line, run_python


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


def options_of(symmetry: dict[str, Any] | None, epochs: int) -> DictConfig:
    """Options of one run."""
    options = OmegaConf.load(ROOT / "configs" / "quickstart.yaml")
    assert isinstance(options, DictConfig)
    data = str(ROOT / "data" / "xtb_molecules.xyz")
    OmegaConf.update(options, "training_set.systems.read_from", data)
    training = options.architecture.training
    training.num_epochs = epochs
    training.pop("symmetry", None)
    options.pop("wandb", None)
    if symmetry is not None:
        training.symmetry = symmetry
    return options


def once(symmetry: dict[str, Any] | None, epochs: int) -> dict[str, Any]:
    """One training; seconds, and what its log says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        OmegaConf.save(options_of(symmetry, epochs), folder / "options.yaml")
        if run_python(["-c", RUNNER], folder) != 0:
            raise RuntimeError(f"the training failed: {last_line(folder)}")
        found: dict[str, Any] = json.loads((folder / "spent.json").read_text())
        (log,) = folder.glob("outputs/*/*/train.log")
        last = re.search(CLOSING, log.read_text())
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
    write_json(args.output, result)
    print(table(summarise(runs)))


if __name__ == "__main__":
    main()
