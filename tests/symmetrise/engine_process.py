"""Runs an averaged export through ASE where this package cannot be imported.

    python engine_process.py MODEL.pt STRUCTURE.xyz OUTPUT.npz

Several times, because TorchScript optimises what it has seen twice.
"""

import sys


class Refuse:
    """Stands for a computer without the package."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("metatrain_symmetry", "metatrain"):
            raise ImportError(f"{name} is not to be imported here")


sys.meta_path.insert(0, Refuse())

import ase.io  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from metatomic_ase import MetatomicCalculator  # noqa: E402


torch.set_num_threads(1)
model, structure, output = sys.argv[1:]
atoms = ase.io.read(structure)
atoms.calc = MetatomicCalculator(model)
found = []
for _ in range(4):
    atoms.calc.reset()
    forces, stress = atoms.get_forces(), atoms.get_stress()
    found.append((atoms.get_potential_energy(), forces, stress))
    per_atom = atoms.get_potential_energies()
energies, forces, stresses = map(np.array, zip(*found, strict=True))
assert not {"metatrain_symmetry", "metatrain"} & {n.split(".")[0] for n in sys.modules}
np.savez(output, energies=energies, forces=forces, stresses=stresses, per_atom=per_atom)
