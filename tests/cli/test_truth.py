"""What is true of a structure, whichever way a file says it."""

import ase.io
import common
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.group import Irrep
from metatrain_symmetry.orbit import Block, open_engine
from metatrain_symmetry.orbit.truth import of_atoms, of_options, of_tensors


STRESS = "non_conservative_stress"
DIRECT = f"""
  {STRESS}:
    key: stress
    quantity: ""
    unit: UNIT/A^3
    type: {{cartesian: {{rank: 2}}}}
"""


def stressed():
    """Crystals, one of them left-handed, with numbers that say nothing in particular."""
    found = []
    for i in range(2):
        atoms = common.crystal()
        if i:
            atoms.set_cell(atoms.cell[[1, 0, 2]])
        random = np.random.default_rng(i)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-3.0 * i,
            forces=random.normal(size=(len(atoms), 3)),
            stress=random.normal(size=6),
        )
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def model():
    info = common.energy_info(gradients=True)
    options = {"quantity": "", "unit": "eV/A^3", "type": {"cartesian": {"rank": 2}}}
    options |= {"num_subtargets": 1, "sample_kind": "system"}
    targets = {**info.targets, STRESS: get_generic_target_info(STRESS, options)}
    return common.pet_ssh(DatasetInfo("Angstrom", common.TYPES, targets))


def write_options(folder, structures, energy="{unit: eV}", direct="eV", more=""):
    ase.io.write(folder / "structures.xyz", structures)
    path = folder / "options.yaml"
    text = f"systems: {folder / 'structures.xyz'}\n{more}targets:\n  energy: {energy}"
    path.write_text(text + DIRECT.replace("UNIT", direct))
    return path


def truths(path, engine):
    """What an options file says of each structure."""
    systems, tensors, infos = of_options(path, engine)
    blocks = engine.blocks
    return [of_tensors(s, t, infos, blocks) for s, t in zip(systems, tensors, strict=True)]


def close(found, expected):
    assert set(found) == set(expected)
    for block, values in expected.items():
        torch.testing.assert_close(found[block], values, rtol=1e-6, atol=1e-8)


def test_options_say_what_ase_says(model, tmp_path):
    path = write_options(tmp_path, stressed())
    engine = open_engine(model)
    blocks = engine.blocks
    for truth, atoms in zip(truths(path, engine), stressed(), strict=True):
        assert {b.target for b in truth} == {
            "energy", "conservative_force", "conservative_stress", STRESS,
        }  # fmt: skip
        close(truth, of_atoms(atoms, blocks))
    options = {"degree": 2, "lambda_max": 1, "probes": [], "progress": False}
    tables = [
        symmetry_report(model, source, **options).equivariance.set_index(
            ["structure", "target", "o3_lambda"]
        )
        for source in (path, tmp_path / "structures.xyz")
    ]
    assert np.isfinite(tables[0].error).all()
    assert np.allclose(tables[0].error, tables[1].error, rtol=1e-5)


def test_virials_and_units(model, tmp_path):
    structures = stressed()
    for atoms in structures:
        stress = voigt_6_to_full_3x3_stress(atoms.calc.results["stress"])
        atoms.info["virial"] = -stress * atoms.get_volume()
    energy = "{unit: meV, stress: false, virial: true}"
    path = write_options(tmp_path, structures, energy, direct="meV")
    engine = open_engine(model)
    blocks = engine.blocks
    for truth, atoms in zip(truths(path, engine), stressed(), strict=True):
        expected = {block: v / 1000 for block, v in of_atoms(atoms, blocks).items()}
        close(truth, expected)
    path = write_options(tmp_path, structures, "{unit: A}")
    with pytest.raises(ValueError, match=r"energy.*in 'A'"):
        truths(path, engine)


def test_no_stress_without_a_cell(model, tmp_path):
    atoms = stressed()[0]
    atoms.pbc = [True, True, False]
    path = write_options(tmp_path, [atoms])
    (truth,) = truths(path, open_engine(model))
    assert "conservative_stress" not in {block.target for block in truth}


def test_all_datasets_of_a_file(model, tmp_path):
    engine = open_engine(model)
    path = write_options(tmp_path, stressed(), more="indices: [1]\n")
    one = path.read_text().splitlines()
    item = "\n".join(["- " + one[0], *("  " + line for line in one[1:])])
    path.write_text(item + "\n" + item)
    _, tensors, _ = of_options(path, engine)
    energies = [part["energy"].block().values.item() for part in tensors]
    assert energies == [-3.0, -3.0]


def test_scalars_of_a_file_need_their_shape():
    atoms = common.molecule()
    per_atom = Block("mtt::charge", Irrep(0), "atom")
    whole = Block("mtt::gap", Irrep(0), "system")
    density = [Block("mtt::density", Irrep(degree), "atom") for degree in (0, 1)]
    atoms.arrays["mtt::charge"] = np.arange(2.0 * len(atoms)).reshape(-1, 2)
    atoms.info["mtt::gap"] = [1.0, 2.0, 3.0]
    truth = of_atoms(atoms, [per_atom, whole, *density])
    assert set(truth) == {per_atom, whole}
    assert truth[per_atom].shape == (len(atoms), 1, 2)
    assert truth[whole].flatten().tolist() == [1.0, 2.0, 3.0]
    assert truth[whole].shape == (1, 1, 3)
    # arrays are per atom, entries are per structure
    atoms.info["mtt::charge"] = atoms.arrays.pop("mtt::charge")
    assert set(of_atoms(atoms, [per_atom])) == set()
    atoms.arrays["mtt::density"] = np.ones(len(atoms))
    with pytest.raises(ValueError, match=r"mtt::density.*\(0,\+\) and \(1,\+\) per atom"):
        of_atoms(atoms, density)
