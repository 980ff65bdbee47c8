"""Make ``chbrclf.xyz``: 1000 rattled CHBrClF with a pseudo-scalar of their geometry.

The target is the triple product r_F · (r_Cl × r_Br) of bonds from the carbon, in Å³: it
keeps its value under rotations and changes its sign under inversion, irrep (0, -). Half of
the molecules are mirror images of the others: without them a constant would do.

The sum over all atoms and all triplets of bonds, ordered by atomic number, vanishes
identically, since each triplet comes back with the other sign about another atom.

    python -m benchmarks.makers.chbrclf
"""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from benchmarks.makers._parts import (
    DIGITS,
    Record,
    finish,
    in_parts,
    is_made,
    parser_of,
    parts_of,
)
from metatrain_symmetry.io import replacing


SYMBOLS = "CHFClBr"
BONDS = (1.09, 1.36, 1.77, 1.94)  # of C to H, F, Cl, Br, in Å
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
RATTLE = 0.1  # standard deviation of the displacements, Å


def triple_product(positions: np.ndarray) -> float:
    """Triple product of the bonds from C to F, Cl and Br.

    :param positions: of C, H, F, Cl, Br, in Å, shape ``(5, 3)``
    :return: in Å³
    """
    carbon, _, fluorine, chlorine, bromine = positions
    cross = np.cross(chlorine - carbon, bromine - carbon)
    return float(np.dot(fluorine - carbon, cross))


def make(index: int, seed: int) -> Record:
    """Make one molecule; odd ones are of the other hand.

    :param index: which one
    :param seed: seed of the data set
    :return: positions in Å, and the target
    """
    rng = np.random.default_rng([seed, index])
    bonds = CORNERS * np.array(BONDS)[:, None]
    positions = np.concatenate([np.zeros((1, 3)), bonds])
    positions += rng.normal(scale=RATTLE, size=positions.shape)
    if index % 2:
        positions = -positions
    positions = Rotation.random(None, rng).apply(positions).round(DIGITS)
    return {"positions": positions, "target": np.array(triple_product(positions))}


def check(records: list[Record], seed: int) -> dict[str, float]:
    """Check the symmetry of the target, and that both hands are there.

    :param records: the molecules
    :param seed: seed of the rotation
    :return: largest deviations, and the balance of the two hands
    :raises RuntimeError: if something is wrong
    """
    turn = Rotation.random(None, np.random.default_rng(seed))
    pairs = [(record["positions"], float(record["target"])) for record in records[:50]]
    errors = {
        "rotated": max(abs(triple_product(turn.apply(x)) - y) for x, y in pairs),
        "inverted": max(abs(triple_product(-x) + y) for x, y in pairs),
    }
    targets = np.array([float(record["target"]) for record in records])
    balance = float(targets.mean() / np.sqrt((targets**2).mean()))
    if max(errors.values()) > 1e-10 or abs(balance) > 0.2:
        raise RuntimeError(f"the pseudo-scalar is none: {errors}, mean / RMS {balance:.2f}")
    return {**errors, "mean / RMS": balance}


def main() -> None:
    """Make, check and write the data set."""
    arguments = parser_of(__doc__, "1000", "60 structures").parse_args()
    count = 60 if arguments.quick else arguments.structures or 1000
    settings = {"structures": count, "seed": arguments.seed, "rattle": RATTLE}
    folder: Path = arguments.output_dir
    if is_made(folder / "chbrclf.json", settings):
        print(f"{folder / 'chbrclf.xyz'} is there already")
        return
    records = in_parts(
        parts_of(folder, settings), count, lambda i: make(i, arguments.seed), size=200
    )
    checks = check(records, arguments.seed)
    order = np.random.default_rng(arguments.seed).permutation(count)
    frames = []
    for i in order:
        frames.append(Atoms(SYMBOLS, records[i]["positions"]))
        frames[-1].info["triple_product"] = float(records[i]["target"])
    with replacing(folder / "chbrclf.xyz") as new:
        ase.io.write(new, frames)
    finish(folder / "chbrclf.json", settings, {"checks": checks}, ("ase", "numpy"))
    print(f"{count} structures in '{folder}': {checks}")


if __name__ == "__main__":
    main()
