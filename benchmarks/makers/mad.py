"""Read a copy of MAD-1.5 that you have: check it, choose structures, write ``mad.xyz``.

Any extended XYZ with energies and forces will do, and stresses where cells are periodic.
Left-handed cells are refused, and a structure without a stress gets NaN there, which
metatrain leaves out of the loss::

    python -m benchmarks.makers.mad PATH/TO/mad-1.5.xyz --structures 5000
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from tqdm import tqdm

from benchmarks.makers._parts import GENERATED
from metatrain_symmetry.io import replacing


def prepared(atoms: Atoms, index: int) -> Atoms:
    """Check a structure and give it a direct stress.

    :param atoms: as ASE has read it
    :param index: of the structure in the file, for messages
    :return: the same structure
    :raises ValueError: if a label is missing or the cell is left-handed
    """
    known = atoms.calc.results if atoms.calc is not None else {}
    missing = {"energy", "forces"} - set(known)
    if missing:
        raise ValueError(f"structure {index} has no '{sorted(missing)[0]}' that ASE finds")
    stress = np.full((3, 3), np.nan)
    if atoms.pbc.all():
        volume = np.linalg.det(atoms.cell.array)
        if volume <= 0:
            raise ValueError(f"structure {index} has a left-handed or empty cell")
        # metatrain leaves NaN out
        with contextlib.suppress(PropertyNotImplementedError):
            stress = atoms.get_stress(voigt=False)
    atoms.info["non_conservative_stress"] = stress
    return atoms


def main() -> None:
    """Check, choose, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="extended XYZ with MAD-1.5")
    parser.add_argument("--structures", type=int, help="so many at random (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", type=Path, default=GENERATED)
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        raise SystemExit(f"there is no file '{arguments.file}': MAD-1.5 is not downloaded")
    frames = ase.io.read(arguments.file, ":")
    chosen = np.random.default_rng(arguments.seed).permutation(len(frames))
    chosen = chosen[: arguments.structures]
    try:
        found = [prepared(frames[i], int(i)) for i in tqdm(chosen, unit="structure")]
    except ValueError as error:
        raise SystemExit(f"'{arguments.file}': {error}") from None
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    output = arguments.output_dir / "mad.xyz"
    with replacing(output) as new:
        ase.io.write(new, found)
    print(f"{len(found)} of {len(frames)} structures written to '{output}'")


if __name__ == "__main__":
    main()
