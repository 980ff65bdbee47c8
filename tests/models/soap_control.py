"""The equivariant control: SOAP-BPNN on the generic engine, run by a test as a script."""

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent / "pet_ssh"))

import torch
from common import TYPES, crystal, energy_info, molecule
from metatrain.soap_bpnn import SoapBpnn
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from models_common import generic, irreps

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.noise import noise_floor
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import open_engine


def soap():
    torch.manual_seed(0)
    options = get_default_hypers("soap_bpnn")["model"]
    options["bpnn"] |= {"num_neurons_per_layer": 8}
    options["soap"] |= {"max_angular": 3, "max_radial": 3}
    info = energy_info(gradients=True)
    target = get_generic_target_info("mtt::density", generic(irreps((0, 1), (2, 1))))
    targets = dict(info.targets) | {"mtt::density": target}
    return SoapBpnn(options, DatasetInfo("Angstrom", TYPES, targets)).to(torch.float64)


torch.set_num_threads(1)
engine = open_engine(soap())
names = {block.target for block in engine.blocks}
assert names == {"energy", "conservative_force", "conservative_stress", "mtt::density"}
for structure in (molecule(), crystal()):
    ((_, system),) = read_systems(structure, engine)
    ready = engine.prepare(system)
    found = measure_structure(engine, ready, O3Grid(4), engine.blocks, [], spectra=False)
    floor = noise_floor(engine, ready, list(found.equivariance))
    for block, equivariance in found.equivariance.items():
        assert equivariance.norm > 0
        assert equivariance.A <= 30 * floor[block] + 1e-15, (block, equivariance.A)
print("equivariant")
