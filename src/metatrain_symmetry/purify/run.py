"""From a checkpoint and an options file to a purified checkpoint and its tables."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from metatrain.pet import PET

from ..data.splits import StructureSet, read_sets
from ..measure.kept import Kept, digest_of_file, kept_folder
from ..processes import joined, local_device
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
from .options import PurifyOptions, read_options
from .purification import Purification
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

    >>> from metatrain_symmetry import purify_checkpoint
    >>> found = purify_checkpoint(
    ...     "model.ckpt", "options.yaml", dry_run=True, progress=False
    ... )
    >>> found.curve.columns[:4].tolist()
    ['state', 'target', 'o3_lambda', 'o3_sigma']
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
    place: Path | None = None,
    resume: bool = False,
) -> Purified | None:
    """Purify the readouts of a checkpoint; nothing is written.

    :param model: checkpoint of a ``pet`` or ``pet_ssh``
    :param options: options file, or its content
    :param dry_run: whether to leave out what only a report needs
    :param device: where to evaluate, None for that of the options
    :param progress: whether to show a progress bar
    :param place: of the results, beside which sums are kept until :func:`forget`; None
        keeps none
    :param resume: go on from what a run that was killed has kept
    :raises ValueError: with one sentence, if something is wrong with the input
    :raises MemoryError: if the matrices of the solve do not fit the budget
    :return: what was found; None in all but the first of several processes
    """
    read = read_options(options)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    where = local_device(device or read.device or default)
    checkpoint = read_pet(model)
    with joined(where) as processes:
        train, held_out = _limited(read)
        per_structure = checkpoint.get("train_hypers", {}).get("per_structure_targets", ())
        states: dict[str, _State] = {}
        for name, keys in distinct_states(checkpoint).items():
            net = _in_precision(build_model(checkpoint, keys[0]), read.base_precision)
            work = Purification.of(
                net.to(where), train, held_out, read.hypers, per_structure, processes
            )
            kept = _kept(work, model, name, read, place, resume)
            if kept is not None and processes.first and not states:
                kept.say()
            work.sweep(progress, name, kept)
            if processes.first:
                old = {key: checkpoint[key] for key in keys}
                states[name] = _solved(work, name, old, dry_run)
        return _collected(checkpoint, read, Path(model).name, states) if states else None


def _kept(
    work: Purification,
    model: str | Path,
    name: str,
    options: PurifyOptions,
    place: Path | None,
    resume: bool,
) -> Kept | None:
    """Where the sums of one state are kept."""
    if place is None:
        return None
    # alpha, ridge and the like come after the sweep
    about = (
        digest_of_file(Path(model)), name, options.base_precision, work.grid.degree,
        sorted(work.whole), work.engine.device.type, versions(),
        [(str(p.part), p.part.irrep, p.properties) for p in work.problems],
    )  # fmt: skip
    return Kept(kept_folder(place), about, resume)


def forget(place: Path | None) -> None:
    """Remove what was kept: all is written.

    :param place: of the results
    """
    if place is not None:
        shutil.rmtree(kept_folder(place), ignore_errors=True)


@dataclass
class _State:
    """What was found for one model state.

    :param results: part by part
    :param spectra: of the outputs, before and after
    :param weights: states of the checkpoint under their keys, with the new readouts
    :param how: what a summary says of the sweep
    """

    results: list[PartResult]
    spectra: list[pd.DataFrame]
    weights: dict[str, dict[str, Any]]
    how: dict[str, Any]


def _limited(options: PurifyOptions) -> tuple[StructureSet, StructureSet]:
    """Training and validation set, as large as was asked for."""
    train, held_out = read_sets(options.sections)
    hypers, seed = options.hypers, options.sections.seed
    return (
        train.limited(hypers["max_structures"], seed),
        held_out.limited(hypers["max_validation_structures"], seed),
    )


def _in_precision(model: PET, bits: int | None) -> PET:
    return model if bits is None else model.to(getattr(torch, f"float{bits}"))


def _solved(
    work: Purification, name: str, old: dict[str, dict[str, Any]], dry_run: bool
) -> _State:
    """Solve, and change the readouts unless nothing is to be written."""
    results, spectra = work.solve(), []
    if not dry_run:
        spectra.append(work.spectra().assign(state=name, when="before"))
        changed = work.apply(results)
        if changed:
            spectra.append(work.spectra().assign(state=name, when="after"))
        old = {key: with_weights(state, work.model, changed) for key, state in old.items()}
    how = {
        "grid_degree": work.grid.degree,
        "rotations": len(work.grid.matrices),
        "dtype": str(work.engine.dtype).removeprefix("torch."),
        "structures": {"training": len(work.train), "validation": len(work.held_out)},
    }
    return _State(results, spectra, old, how)


def _collected(
    checkpoint: Checkpoint, options: PurifyOptions, name: str, states: dict[str, _State]
) -> Purified:
    """Checkpoint and tables of all states."""
    results = {state: one.results for state, one in states.items()}
    spectra = [table for one in states.values() for table in one.spectra]
    accuracy = accuracy_table(results)
    summary = _summary(name, options, accuracy, [*states.values()][-1].how)
    weights = {key: new for one in states.values() for key, new in one.weights.items()}
    return Purified(
        with_record({**checkpoint, **weights}, summary),
        curve_table(results),
        accuracy,
        pd.concat(spectra, ignore_index=True) if spectra else pd.DataFrame(),
        summary,
        results,
    )


def _summary(
    name: str, options: PurifyOptions, accuracy: pd.DataFrame, how: dict[str, Any]
) -> dict[str, Any]:
    """What was done, as it stands in the checkpoint and in the report."""
    rows = accuracy.to_dict("records")
    settings = {key: _plain(value) for key, value in options.hypers.items()}
    return {
        "model": name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": {**settings, "seed": options.sections.seed},
        **how,
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
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return None if isinstance(value, float) and math.isnan(value) else value
