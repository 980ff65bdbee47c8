"""Large data sets of small structures, written quickly in every format."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import systems_to_torch
from metatrain.utils.data.writers import DiskDatasetWriter, MemmapWriter

from benchmarks._orbit_parts import ethanol


DISTINCT = 16
"""Structures that are repeated."""

OPTIONS = """systems: {read_from: PATH, length_unit: angstrom}
targets:
  energy: {read_from: PATH, unit: eV, forces: FORCES, stress: false}
"""


def molecules() -> list[ase.Atoms]:
    """Rattled molecules with an energy and forces that mean nothing."""
    found = []
    for seed in range(DISTINCT):
        atoms, random = ethanol(seed), np.random.default_rng(seed)
        forces = random.normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-float(seed), forces=forces)
        found.append(atoms)
    return found


def write_set(kind: str, count: int, folder: Path) -> Path:
    """Write a data set and an options file that reads it.

    :param kind: ``xyz``, ``zip`` or ``memmap``
    :param count: number of structures
    :param folder: an empty folder
    :return: the options file
    """
    path = {"xyz": "set.xyz", "zip": "set.zip", "memmap": "set"}[kind]
    WRITERS[kind](folder / path, count)
    forces = "{key: energy_forces}" if kind == "memmap" else "{key: forces}"
    text = OPTIONS.replace("PATH", str(folder / path)).replace("FORCES", forces)
    options = folder / "options.yaml"
    options.write_text(text)
    return options


def _write_xyz(path: Path, count: int) -> None:
    text = io.StringIO()
    ase.io.write(text, molecules(), format="extxyz")
    size, lines = 2 + len(ethanol()), text.getvalue().splitlines(keepends=True)
    with path.open("w") as file:
        for start in range(0, count, DISTINCT):
            file.writelines(lines[: min(DISTINCT, count - start) * size])


def _write_zip(path: Path, count: int) -> None:
    few = path.with_suffix(".few.zip")
    _write(DiskDatasetWriter(few))
    with zipfile.ZipFile(few) as old, zipfile.ZipFile(path, "w") as new:
        known = [
            {name: old.read(f"{i}/{name}") for name in ("system.mta", "energy.mts")}
            for i in range(DISTINCT)
        ]
        for index in range(count):
            for name, content in known[index % DISTINCT].items():
                new.writestr(zipfile.ZipInfo(f"{index}/{name}"), content)
        counts = io.BytesIO()
        np.save(counts, np.full(count, len(ethanol()), dtype=np.int64))
        new.writestr("metadata/atom_counts.npy", counts.getvalue())
    few.unlink()


def _write_memmap(path: Path, count: int) -> None:
    _write(MemmapWriter(path))
    whole, rest = divmod(count, DISTINCT)
    for name in path.glob("*.bin"):
        content = name.read_bytes()
        with name.open("wb") as file:
            for _ in range(whole):
                file.write(content)
            file.write(content[: rest * len(content) // DISTINCT])
    np.save(path / "ns.npy", count)
    np.save(path / "na.npy", np.arange(count + 1, dtype=np.int64) * len(ethanol()))


def _write(writer: DiskDatasetWriter | MemmapWriter) -> None:
    """The distinct structures, as metatrain writes them."""
    for atoms in molecules():
        system = systems_to_torch(atoms, dtype=torch.float64)
        writer.write([system], {"energy": _energy(atoms)})
    writer.finish()


def _energy(atoms: ase.Atoms) -> TensorMap:
    zero = torch.tensor([[0]])
    block = TensorBlock(
        torch.tensor([[atoms.get_potential_energy()]], dtype=torch.float64),
        Labels(["system"], zero), [], Labels(["energy"], zero),
    )  # fmt: skip
    rows = torch.tensor([[0, atom] for atom in range(len(atoms))])
    components = [Labels(["xyz"], torch.arange(3)[:, None])]
    gradient = TensorBlock(
        -torch.from_numpy(atoms.get_forces())[..., None],
        Labels(["sample", "atom"], rows), components, block.properties,
    )  # fmt: skip
    block.add_gradient("positions", gradient)
    return TensorMap(Labels(["_"], zero), [block])


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "xyz": _write_xyz,
    "zip": _write_zip,
    "memmap": _write_memmap,
}
