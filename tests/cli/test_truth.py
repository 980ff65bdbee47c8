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
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.data.read import of_options
from metatrain_symmetry.data.targets_of_atoms import of_atoms
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.models import Block, open_engine


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
    return [one.targets(engine.blocks) for one in of_options(path, engine)]


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
    (block,) = [block for block in engine.blocks if block.target == "energy"]
    energies = [part[block].item() for part in truths(path, engine)]
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


def test_an_own_array_comes_before_forces():
    atoms = stressed()[0]
    own = np.random.default_rng(9).normal(size=(len(atoms), 3))
    blocks = [
        Block(name, Irrep(1), "atom", "eV/A")
        for name in ("non_conservative_force", "conservative_force")
    ]
    by_forces = of_atoms(atoms, blocks)
    assert torch.equal(by_forces[blocks[0]], by_forces[blocks[1]])
    atoms.arrays["non_conservative_force"] = own
    truth = of_atoms(atoms, blocks)
    assert np.array_equal(truth[blocks[0]][:, :, 0].roll(1, 1), own)
    assert torch.equal(truth[blocks[1]], by_forces[blocks[1]])


@pytest.mark.parametrize("spelling", ["sample_kind: atom", "per_atom: true"])
def test_names_with_colons_and_old_spellings(tmp_path, spelling):
    """`mtt train` reads both; samples of metatensor have no attribute `mtt::f`."""
    options = {"quantity": "", "unit": "eV/A", "type": {"cartesian": {"rank": 1}}}
    options |= {"num_subtargets": 1, "sample_kind": "atom"}
    info = {"mtt::f": get_generic_target_info("mtt::f", options)}
    model = common.pet_ssh(DatasetInfo("Angstrom", common.TYPES, info))
    ase.io.write(tmp_path / "structures.xyz", stressed())
    path = tmp_path / "options.yaml"
    path.write_text(
        f"systems: {tmp_path / 'structures.xyz'}\ntargets:\n  mtt::f: {{key: forces, "
        f"unit: eV/A, {spelling}, type: {{cartesian: {{rank: 1}}}}}}\n"
    )
    (first, _) = truths(path, open_engine(model))
    forces = torch.from_numpy(stressed()[0].calc.results["forces"])
    torch.testing.assert_close(first[Block("mtt::f", Irrep(1), "atom", "eV/A")][:, :, 0],
                               forces.roll(-1, 1), atol=1e-7, rtol=0)  # fmt: skip
    table = symmetry_report(
        model, path, degree=2, lambda_max=1, probes=[], progress=False
    ).equivariance
    assert np.isfinite(table.error).all()


BOHR = 0.529177210903


def in_bohr(model):
    """The same network, whose structures are in Bohr: cutoffs and weights are as before."""
    info = model.dataset_info
    copy = common.pet_ssh(DatasetInfo("bohr", common.TYPES, info.targets))
    copy.load_state_dict(model.state_dict())
    return copy


def test_lengths_are_those_of_the_model(model, tmp_path, caplog):
    """Structures of a model in Bohr: from ASE, in Å; from options, in any unit."""
    other = in_bohr(model)
    engine = open_engine(other, dtype=torch.float64)
    # the same numbers in Bohr are the same structures for the network
    small = [atoms.copy() for atoms in stressed()]
    for atoms, original in zip(small, stressed(), strict=True):
        atoms.set_cell(atoms.cell[:] * BOHR, scale_atoms=True)
        atoms.calc = SinglePointCalculator(atoms, **original.calc.results)
    ((_, system),) = read_systems(small[:1], engine)
    positions = torch.from_numpy(stressed()[0].positions)
    torch.testing.assert_close(system.positions, positions, rtol=1e-7, atol=1e-7)

    ase.io.write(tmp_path / "small.xyz", small)
    read_systems(tmp_path / "small.xyz", engine)
    assert "is taken to be in Å" in caplog.text
    options = {"degree": 2, "lambda_max": 1, "probes": [], "progress": False}
    reports = [
        symmetry_report(model, stressed(), dtype="float64", **options),
        symmetry_report(other, small, dtype="float64", **options),
    ]
    tables = [report.equivariance for report in reports]
    assert np.allclose(tables[0].A, tables[1].A, rtol=1e-4)
    unit = dict(zip(tables[1].target, tables[1].unit, strict=True))
    assert unit["conservative_force"] == "eV/bohr"
    assert unit["conservative_stress"] == "eV/bohr^3"

    # an options file that says that its numbers are in Bohr, or in nanometer
    wanted = truths(write_options(tmp_path, stressed(), more=""), open_engine(model))
    for unit, factor in (("bohr", 1.0), ("nanometer", BOHR / 10)):
        scaled = [atoms.copy() for atoms in stressed()]
        for atoms, original in zip(scaled, stressed(), strict=True):
            atoms.set_cell(atoms.cell[:] * factor, scale_atoms=True)
            results = dict(original.calc.results)
            results["forces"] = results["forces"] / factor
            results["stress"] = results["stress"] / factor**3
            atoms.calc = SinglePointCalculator(atoms, **results)
        ase.io.write(tmp_path / "s.xyz", scaled)
        path = tmp_path / "bohr.yaml"
        path.write_text(
            f"systems: {{read_from: {tmp_path / 's.xyz'}, length_unit: {unit}}}\n"
            "targets: {energy: {unit: eV}}\n"
        )
        found = truths(path, engine)
        for one, expected in zip(found, wanted, strict=True):
            named = {(b.target, b.irrep): v for b, v in expected.items()}
            assert {b.target for b in one} >= {"conservative_force", "conservative_stress"}
            for block, values in one.items():
                target = named[block.target, block.irrep]
                torch.testing.assert_close(values, target, rtol=1e-5, atol=1e-6)
    path.write_text(path.read_text().replace("nanometer", "parsec"))
    with pytest.raises(ValueError, match="length unit 'parsec'"):
        truths(path, engine)


def test_forces_per_angstrom_become_those_per_bohr(model):
    (atoms, _) = stressed()
    engine = open_engine(in_bohr(model))
    truth = {b.target: v for b, v in of_atoms(atoms, engine.blocks).items()}
    forces = torch.from_numpy(atoms.calc.results["forces"]) * BOHR
    torch.testing.assert_close(truth["conservative_force"][:, :, 0], forces.roll(-1, 1))


def test_a_target_of_another_type_is_refused(model, tmp_path):
    path = write_options(tmp_path, stressed())
    for old, new in (
        ("rank: 2", "rank: 1"),
        ("{unit: eV}", "{unit: eV, num_subtargets: 2}"),
    ):
        other = tmp_path / "other.yaml"
        other.write_text(path.read_text().replace(old, new))
        with pytest.raises(ValueError, match=r"num(bers|_subtargets)|properties"):
            truths(other, open_engine(model))
    atoms = stressed()[0]
    atoms.arrays["spin"] = np.ones(len(atoms))
    path = write_options(tmp_path, [atoms])
    path.write_text(
        path.read_text().split("targets:")[0]
        + "targets: {energy: {key: spin, unit: eV, sample_kind: atom}}\n"
    )
    with pytest.raises(ValueError, match=r"energy.*per atom.*in the data.*per structure"):
        truths(path, open_engine(model))
