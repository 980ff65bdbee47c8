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

from metatrain_symmetry import Settings, analyze
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.noise import noise_floor
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import open_engine


def soap(legacy=True):
    torch.manual_seed(0)
    options = get_default_hypers("soap_bpnn")["model"]
    options["legacy"] = legacy
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

# every layer is invariant, but the bases of tensors: these hold the irrep they are made for
basis = "basis_calculators.mtt::density.mtt::density_o3_lambda_2_o3_sigma_1"
expansion = f"{basis}.lambda_basis_module.spex_calculator"
irrep_of = {basis: "(2,+)"}
irrep_of |= {f"{expansion}[{degree}]": f"({degree},+)" for degree in range(3)}
# a TensorMap with a block for each species, and tensors
for legacy, named in ((True, "bpnn"), (False, "bpnn_for_tensors.0")):
    usual = open_engine(soap(legacy)).usual_probes
    assert {"soap_calculator", named, basis} <= set(usual), usual
    assert len(usual) == 10
    assert "center_encoding" not in usual  # does not depend on positions
    scalars = [p for p in usual if not p.startswith("basis")]
    engine = open_engine(soap(legacy), None, [*scalars, basis, expansion])
    ((_, system),) = read_systems(molecule(), engine)
    settings = Settings(lambda_max=3, estimator="grid", degree=6)
    data = [engine.prepare(system)]
    report = analyze(engine, data, settings=settings, progress=False)
    for row in report.characters[report.characters.kind != "output"].itertuples():
        expected = 1.0 if row.channel == irrep_of.get(row.probe, "(0,+)") else 0.0
        assert abs(row.share - expected) < 1e-10, (row.probe, row.channel, row.share)
print("equivariant")
