"""Cost of ``pet_ssh`` against ``pet``: one training step, one evaluation.

Every repeat times all models one after the other in the same process, in an order that
rotates; what is reported is the median over repeats of the ratio to the ``pet`` of the same
repeat, with its quartiles, so that a slow minute of the machine cancels.

The training step is also timed with sphericart's harmonics in place of ours, to see
whether they would be worth their compiled extension.

A training step is energy and conservative forces of a batch, loss, backward, optimizer
step (metatrain's own functions); an evaluation is energy and forces of the same batch by
the exported model.

    python -m benchmarks.ssh_step --output benchmarks/results/ssh_step.json
    python -m benchmarks.ssh_step --table benchmarks/results/ssh_step.json
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import sphericart.torch
import torch
from ase.collections import g2
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    System,
    load_atomistic_model,
    systems_to_torch,
)
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists
from tqdm import tqdm

from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._timing import in_turns, timed
from metatrain_symmetry.pet_ssh import PetSSH


PACKAGES = ("metatrain-symmetry", "metatrain", "sphericart-torch", "torch")
L_MAX = {
    "pet_ssh l_max=1": 1,
    "pet_ssh l_max=4": 4,
    "pet_ssh l_max=8": 8,
    "l_max=4, sphericart": 4,
    "l_max=8, sphericart": 8,
}


def molecules() -> list[ase.Atoms]:
    """Sixteen organic molecules of 8 to 15 atoms."""
    names = [n for n in g2.names if len(g2[n]) >= 8 and set(g2[n].numbers) <= {1, 6, 7, 8}]
    return [g2[name] for name in names[:16]]


def solid() -> list[ase.Atoms]:
    """Two rattled supercells of rock salt MgO, 64 atoms each."""
    crystal = ase.build.bulk("MgO", "rocksalt", a=4.21, cubic=True).repeat(2)
    rattled = [crystal.copy() for _ in range(2)]
    for seed, atoms in enumerate(rattled):
        atoms.rattle(0.05, seed=seed)
    return rattled


def build(name: str, info: DatasetInfo) -> PET:
    """A model of the default size, from the same seed."""
    torch.manual_seed(0)
    if name == "pet":
        return PET(get_default_hypers("pet")["model"], info)
    hypers = get_default_hypers("pet_ssh")["model"]
    hypers["geometry_embedding"]["l_max"] = L_MAX[name]
    model = PetSSH(hypers, info)
    if "sphericart" in name:
        for layer in model.backend.gnn_layers:
            layer.edge_embedder.harmonics = sphericart.torch.SolidHarmonics(L_MAX[name])
    return model


def training_step(
    model: PET, systems: list[System], info: DatasetInfo
) -> Callable[[], None]:
    """One step of the trainer on energies and conservative forces."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        block = evaluate_model(model, systems, info.targets, is_training=True)[
            "energy"
        ].block()
        forces = block.gradient("positions").values
        loss = (block.values**2).mean() + (forces**2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def evaluation(model: PET, systems: list[System]) -> Callable[[], None]:
    """Energy and forces by the exported model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        model.export().save(str(path))
        exported = load_atomistic_model(str(path))
    options = ModelEvaluationOptions(
        length_unit="Angstrom", outputs={"energy": ModelOutput(sample_kind="system")}
    )

    def evaluate() -> None:
        for system in systems:
            system.positions.grad = None
        energy = exported(systems, options, check_consistency=False)["energy"]
        energy.block().values.sum().backward()

    return evaluate


def prepare(structures: list[ase.Atoms], model: PET) -> tuple[list[System], int]:
    """Systems with neighbour lists, and the number of directed edges."""
    systems = [system.to(torch.float32) for system in systems_to_torch(structures)]
    for system in systems:
        system.positions.requires_grad_(True)
        get_system_with_neighbor_lists(system, model.requested_neighbor_lists())
    lists = [
        s.get_neighbor_list(o) for s in systems for o in model.requested_neighbor_lists()
    ]
    return systems, sum(len(block.samples) for block in lists)


def actions_of(
    structures: list[ase.Atoms],
) -> tuple[dict[tuple[str, str], Callable[[], None]], int]:
    """What is timed, by action and name of the model, and the number of edges."""
    types = sorted({int(number) for atoms in structures for number in atoms.numbers})
    target = get_energy_target_info(
        "energy", {"quantity": "energy", "unit": "eV"}, add_position_gradients=True
    )
    info = DatasetInfo("Angstrom", types, {"energy": target})
    actions: dict[tuple[str, str], Callable[[], None]] = {}
    n_edges = 0
    for name in ["pet", *L_MAX]:
        model = build(name, info)
        systems, n_edges = prepare(structures, model)
        actions["training step", name] = training_step(model, systems, info)
        if "sphericart" not in name:  # it cannot be exported
            systems, _ = prepare(structures, model)
            actions["evaluation", name] = evaluation(build(name, info), systems)
    return actions, n_edges


def time_case(structures: list[ase.Atoms], repeats: int, label: str) -> dict[str, Any]:
    """Seconds of every model and action, repeat by repeat, interleaved."""
    actions, n_edges = actions_of(structures)
    for action in [*actions.values()] * 2:  # warm up, and let TorchScript specialise
        action()
    seconds: dict[str, dict[str, list[float]]] = {"training step": {}, "evaluation": {}}
    turns = in_turns(actions, repeats)
    for kind, name in tqdm(turns, total=repeats * len(actions), desc=label):
        seconds[kind].setdefault(name, []).append(timed(actions[kind, name]))
    return {
        "n_atoms": sum(map(len, structures)),
        "n_edges": n_edges,
        "seconds": seconds,
    }


def ratios(seconds: dict[str, list[float]], name: str) -> tuple[float, float, float]:
    """Median and quartiles of the ratio to the ``pet`` of the same repeat."""
    values = np.array(seconds[name]) / np.array(seconds["pet"])
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(median), float(low), float(high)


def table(result: dict[str, Any]) -> str:
    """Markdown table of a result file."""
    lines = [
        "| case | action | pet | " + " | ".join(L_MAX) + " |",
        "|---|---|---|" + "---|" * len(L_MAX),
    ]
    for case, values in result["cases"].items():
        if "failed" in values:
            continue
        for action, seconds in values["seconds"].items():
            cells = [
                "{:.3f} ({:.3f}-{:.3f})".format(*ratios(seconds, name))
                if name in seconds
                else ""
                for name in L_MAX
            ]
            floor = f"{1e3 * np.median(seconds['pet']):.0f} ms"
            title = f"{case}, {values['n_atoms']} atoms, {values['n_edges']} edges"
            lines.append(f"| {title} | {action} | {floor} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark or print the table of an earlier run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("ssh_step.json"))
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--table", type=Path, help="print the table of this file only")
    args = parser.parse_args()
    if args.table is not None:
        print(table(json.loads(args.table.read_text())))
        return
    # more threads than idle cores make every figure here meaningless
    torch.set_num_threads(1)
    structures = {"molecules": molecules(), "solid": solid()}
    cases = {
        name: partial(time_case, frames, args.repeats, name)
        for name, frames in structures.items()
    }
    result = start("benchmarks.ssh_step", PACKAGES)
    run_cases(cases, result, args.output)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
