"""From a checkpoint and an options file to a purified checkpoint and its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data.splits import read_sets
from ..versions import versions
from .checkpoint import (
    Checkpoint,
    build_model,
    distinct_states,
    read_pet,
    with_record,
    with_weights,
)
from .choose import PartResult
from .options import read_options
from .processes import Processes, joined, local_device
from .state import StateRun
from .tables import accuracy_table, curve_table


@dataclass
class Purified:
    """What a purification found.

    :param checkpoint: with the new readouts and a record of what was done
    :param curve: held-out errors along α, see :mod:`.tables`
    :param accuracy: errors before and after, likewise
    :param characters: spectra of the outputs, columns ``state``, ``when`` and those of a
        report's ``characters``; empty in a dry run
    :param summary: settings, versions, counts
    :param results: for each model state, part by part
    """

    checkpoint: Checkpoint
    curve: pd.DataFrame
    accuracy: pd.DataFrame
    characters: pd.DataFrame
    summary: dict[str, Any]
    results: dict[str, list[PartResult]]

    @property
    def changed(self) -> bool:
        """Whether any readout changed."""
        return any(r.chosen is not None for parts in self.results.values() for r in parts)


def purify(
    model: str | Path,
    options: str | Path | Mapping[str, Any],
    *,
    dry_run: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> Purified | None:
    """Purify the readouts of a checkpoint; nothing is written.

    :param model: checkpoint of a ``pet`` or ``pet_ssh``
    :param options: options file, or its content
    :param dry_run: whether to leave out what only a report needs
    :param device: where to evaluate, None for that of the options
    :param progress: whether to show a progress bar
    :raises ValueError: with one sentence, if something is wrong with the input
    :raises MemoryError: if the matrices of the solve do not fit the budget
    :return: what was found; None in all but the first of several processes
    """
    read = read_options(options)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    where = local_device(device or read["device"] or default)
    checkpoint = read_pet(model)
    with joined(where) as processes:
        return _purify(checkpoint, read, where, processes, dry_run, progress, str(model))


def _purify(
    checkpoint: Checkpoint,
    options: dict[str, Any],
    device: torch.device,
    processes: Processes,
    dry_run: bool,
    progress: bool,
    name: str,
) -> Purified | None:
    train, held_out = read_sets(options)
    settings, seed = options["purify"], options["seed"]
    train = train.limited(settings["max_structures"], seed)
    held_out = held_out.limited(settings["max_validation_structures"], seed)
    per_structure = checkpoint.get("train_hypers", {}).get("per_structure_targets", ())
    results: dict[str, list[PartResult]] = {}
    spectra: list[pd.DataFrame] = []
    changed = dict(checkpoint)
    for state, keys in distinct_states(checkpoint).items():
        net = build_model(checkpoint, keys[0]).to(device)
        if options["base_precision"] is not None:
            net = net.to(getattr(torch, f"float{options['base_precision']}"))
        run = StateRun(net, train, held_out, settings, per_structure, processes)
        run.sweep(progress, state)
        if not processes.first:
            continue
        results[state] = run.solve()
        if dry_run:
            continue
        spectra.append(run.spectra().assign(state=state, when="before"))
        names = run.apply(results[state])
        if names:
            spectra.append(run.spectra().assign(state=state, when="after"))
        for key in keys:
            changed[key] = with_weights(checkpoint[key], net, names)
    if not processes.first:
        return None
    accuracy = accuracy_table(results)
    counts = {"training": len(train), "validation": len(held_out)}
    summary = _summary(name, options, counts, accuracy, len(run.grid.matrices), run)
    characters = pd.concat(spectra, ignore_index=True) if spectra else pd.DataFrame()
    return Purified(
        with_record(changed, summary),
        curve_table(results),
        accuracy,
        characters,
        summary,
        results,
    )


def _summary(
    name: str,
    options: dict[str, Any],
    counts: dict[str, int],
    accuracy: pd.DataFrame,
    rotations: int,
    run: StateRun,
) -> dict[str, Any]:
    """What was done, as it stands in the checkpoint and in the report."""
    rows = accuracy.astype(object).where(accuracy.notna(), None).to_dict("records")
    settings = {key: _plain(value) for key, value in options["purify"].items()}
    return {
        "model": Path(name).name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": {**settings, "seed": options["seed"]},
        "grid_degree": run.grid.degree,
        "rotations": rotations,
        "dtype": str(run.engine.dtype).removeprefix("torch."),
        "structures": counts,
        "units": "as the user reads them, per atom for per-structure targets but stresses",
        "versions": versions(),
        "parts": [{str(k): _plain(v) for k, v in row.items()} for row in rows],
    }


def _plain(value: Any) -> Any:
    """Replace what JSON does not have."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
