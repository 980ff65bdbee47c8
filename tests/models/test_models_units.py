"""One spelling of a unit, and names of the parts of a stress."""

import math

import pytest
import torch
from common import TYPES, molecule, pet
from metatomic.torch import unit_conversion_factor
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from models_common import generic

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.models.irrep_blocks import gradient_blocks, grows, part_name, split
from metatrain_symmetry.models.units import SPELLINGS, normal_unit


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("eV", "eV"),
        ("EV", "eV"),
        ("eV/Angstrom", "eV/A"),
        ("eV/angstrom", "eV/A"),
        ("eV/Ang", "eV/A"),
        ("eV/Å", "eV/A"),
        ("eV/\u212b", "eV/A"),  # the sign of the unit, not the letter
        ("eV*A^-1", "eV/A"),
        ("eV/Angstrom^3", "eV/A^3"),
        ("eV/Å³", "eV/A^3"),
        ("eV/A3", "eV/A^3"),
        ("eV/Angstrom**3", "eV/A^3"),
        ("Angstrom", "A"),
        (" eV ", "eV"),
        ("", ""),
    ],
)
def test_one_spelling(given, expected):
    assert normal_unit(given) == expected


@pytest.mark.parametrize("unit", ["meV", "GPa", "kcal/mol", "Hartree/Bohr", "Debye", "e"])
def test_other_units_stay(unit):
    assert normal_unit(unit) == unit


@pytest.mark.parametrize("unit", ["eV/atom", "foo", "foo/Ang", "mu_B", "100 %"])
def test_unknown_units_are_left_as_given(unit):
    assert normal_unit(unit) == unit


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_metatomic_knows_the_spellings(spelling):
    assert unit_conversion_factor(spelling, normal_unit(spelling)) == 1.0


def test_blocks_carry_the_one_spelling():
    blocks = gradient_blocks("energy", ("positions", "strain"), "EV")
    assert {block.unit for block in blocks} == {"eV/A", "eV/A^3"}


def test_models_may_spell_differently():
    kind = generic({"cartesian": {"rank": 1}}, unit="eV/Angstrom")
    info = get_generic_target_info("non_conservative_force", kind)
    model = pet(DatasetInfo("Angstrom", TYPES, {"non_conservative_force": info}))
    assert model.supported_outputs()["non_conservative_force"].unit == "eV/Angstrom"
    engines = [open_engine(model), open_engine(model.export())]
    for engine in engines:
        assert [block.unit for block in engine.blocks] == ["eV/A"]
    # and is evaluated all the same
    ((_, system),) = read_systems(molecule(), engines[0])
    values = [next(iter(e.predict(e.prepare(system)).values())) for e in engines]
    assert torch.allclose(*values)


def test_the_parts_of_a_stress():
    """(0,+) is trace/sqrt(3), that is -sqrt(3) times the pressure."""
    pressure = 2.0
    stress = -pressure * torch.eye(3, dtype=torch.float64)
    parts = split(
        "non_conservative_stress", {}, ["xyz_1", "xyz_2"], stress[None, ..., None]
    )
    values = {irrep: part for irrep, _, part in parts}
    assert float(values[Irrep(0)]) == pytest.approx(-math.sqrt(3) * pressure)
    assert float(values[Irrep(2)].abs().max()) < 1e-15
    for name in ("non_conservative_stress", "conservative_stress/pbe"):
        assert part_name(name, Irrep(0)) == "trace/sqrt(3)"
        assert part_name(name, Irrep(2)) == "deviatoric part"
    assert part_name("energy", Irrep(0)) == ""
    assert part_name("mtt::polarizability", Irrep(2)) == ""


def test_what_grows_with_the_structure():
    assert grows("energy", "system")
    assert not grows("non_conservative_stress", "system")
    assert not grows("non_conservative_force", "atom")
