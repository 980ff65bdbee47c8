"""Groups by name: what the names mean, and that every user of them accepts all of them."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.emt import EMT

from metatrain_symmetry import SymmetrizedCalculator
from metatrain_symmetry.api.equivariance import _matrices
from metatrain_symmetry.groups import (
    Irrep,
    group_names,
    named_group,
    octahedral_group,
    representation,
)


SIZES = {"1": 1, "i": 2, "D2": 4, "D2i": 8, "T": 12, "O": 24, "Ti": 24, "Oi": 48, "I": 60,
         "Ii": 120}  # fmt: skip

INVARIANTS = {"1": 1, "D2": 2, "T": 3, "O": 4, "I": 6}
"""Smallest degree > 0 that has an invariant of the rotations (Molien's series)."""

OTHER = {
    "C1": "1",
    "Ci": "i",
    "inversion": "i",
    "dihedral": "D2",
    "D2h": "D2i",
    "Th": "Ti",
    "tetrahedral": "T",
    "octahedral": "O",
    "Oh": "Oi",
    "icosahedral": "I",
    "Ih": "Ii",
}
"""Names that mean the same as short ones."""


@pytest.mark.parametrize("name", SIZES)
def test_elements_are_a_group_of_the_size_that_is_said(name):
    group = named_group(name)
    elements = group.elements
    assert len(elements) == group.size == SIZES[name]
    assert group.name == name
    assert (elements - torch.eye(3)).abs().amax(dim=(1, 2)).min() < 1e-12
    products = torch.einsum("aij,bjk->abik", elements, elements).reshape(-1, 1, 3, 3)
    near = (products - elements).abs().amax(dim=(-1, -2)) < 1e-12
    assert (near.sum(dim=1) == 1).all()  # closed, and no element twice
    assert bool((torch.linalg.det(elements) < 0).any()) == name.endswith("i")


@pytest.mark.parametrize("name", INVARIANTS)
def test_the_first_degree_that_is_left(name):
    elements = named_group(name).elements
    left = [
        round(float(representation(Irrep(degree), elements).mean(dim=0).trace()))
        for degree in range(1, INVARIANTS[name] + 1)
    ]
    assert not any(left[:-1])
    assert left[-1] > 0


def test_the_octahedral_group_is_that_of_its_permutation_matrices():
    ours = {tuple(m.round().int().flatten().tolist()) for m in named_group("O").elements}
    known = octahedral_group().matrices
    known = known[torch.linalg.det(known) > 0]
    assert len(ours) == 24
    assert ours == {tuple(m.round().int().flatten().tolist()) for m in known}


def test_other_names_inversion_and_titles():
    for other, name in OTHER.items():
        assert named_group(other) == named_group(name)
    assert {*SIZES, *OTHER, "trivial"} == set(group_names())
    assert named_group("octahedral", inversion=True).name == "Oi"
    assert named_group("1", inversion=True).name == "i"
    assert named_group("i").title == "group of the inversion"
    assert named_group("Th").title == "tetrahedral group with inversion"


def test_wrong_names():
    with pytest.raises(ValueError, match="no group 'icosaedral': did you mean icosahedral"):
        named_group("icosaedral")
    for wrong in (3, None, ["I"], "", "Ti "):
        with pytest.raises(ValueError, match="there is no group"):
            named_group(wrong)


@pytest.mark.parametrize("name", ["Ih", "inversion", "dihedral", "C1", "tetrahedral"])
def test_the_calculator_takes_every_name(name):
    atoms = molecule("H2O")
    atoms.calc = SymmetrizedCalculator(EMT(), group=name)
    spread = "forces_rot_std" in (atoms.get_forces() is not None and atoms.calc.results)
    assert spread == (named_group(name).size > 1)


def test_errors_of_equivariance_take_other_names_too():
    for name, same in {"octahedral": "O", "Oh": "Oi"}.items():
        np.testing.assert_allclose(_matrices(name, 3), _matrices(same, 3), atol=0)
    assert [len(_matrices(name, 3)) for name in ("O", "Oh")] == [24, 48]
