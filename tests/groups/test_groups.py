"""What the measures ask of a group: O(3), real and complex finite groups alike."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from metatrain_symmetry.groups import (
    O2,
    O3,
    SO2,
    SO3,
    FiniteGroup,
    Group,
    Irrep,
    irreps_up_to,
    octahedral_group,
    random_frame,
)


def rotations(name):
    return torch.from_numpy(Rotation.create_group(name).as_matrix())


def cyclic(n):
    """C_n about z, with complex irreps."""
    w = np.exp(2j * np.pi / n)
    matrices = torch.from_numpy(
        Rotation.from_rotvec([[0, 0, 2 * np.pi * k / n] for k in range(n)]).as_matrix()
    )
    table = {f"m{m}": [w ** (m * k) for k in range(n)] for m in range(n)}
    return FiniteGroup(matrices, table, f"C{n}")


def pyramidal():
    """C_3v: the symmetry of ammonia."""
    c3 = cyclic(3).matrices
    mirror = torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
    table = {"A1": [1] * 6, "A2": [1] * 3 + [-1] * 3, "E": [2, -1, -1, 0, 0, 0]}
    return FiniteGroup(torch.cat([c3, c3 @ mirror]), table, "C3v")


def tetrahedral():
    """T, whose two-fold degenerate irrep is a pair of complex ones."""
    matrices = rotations("T")
    traces = matrices.diagonal(dim1=1, dim2=2).sum(1)
    # the two classes of threefold rotations are told apart by the handedness of the axis
    axes = Rotation.from_matrix(matrices.numpy()).as_rotvec()
    w, table = np.exp(2j * np.pi / 3), {}
    one = [1 if t > -0.5 and abs(t) < 0.5 and a.prod() > 0 else 0
           for t, a in zip(traces, axes, strict=True)]  # fmt: skip
    two = [1 if abs(t) < 0.5 and not first else 0
           for t, first in zip(traces, one, strict=True)]  # fmt: skip
    phases = np.where(one, w, np.where(two, w**2, 1.0))
    table = {"A": np.ones(12), "1E": phases, "2E": phases.conj(), "T": traces.numpy()}
    return FiniteGroup(matrices, table, "T")


GROUPS = [cyclic(3), cyclic(4), pyramidal(), tetrahedral(), octahedral_group()]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_irreps_are_representations(group):
    elements = group.matrices
    for irrep in group.irreps():
        matrices = group.representation(irrep, elements)
        assert matrices.shape == (len(elements), irrep.dimension, irrep.dimension)
        # D(g⁻¹ g') = D(g)^† D(g')
        products = torch.einsum("gji,hjk->ghik", matrices.conj(), matrices)
        assert torch.allclose(matrices[group.products], products, atol=1e-10)
        traces = matrices.diagonal(dim1=1, dim2=2).sum(1)
        found = group.characters([irrep], elements)[0]
        assert torch.allclose(traces, found, atol=1e-10)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_powers_are_complete(group):
    """Σ B = <|h|²>, and conjugate irreps have the same power."""
    orbit = group.exact().orbit()
    transform = orbit.transform([2], torch.device("cpu"))
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(len(orbit.matrices), 2, generator=generator)
    transform.add([values])
    (powers,) = transform.finish()
    assert powers.powers.sum() == pytest.approx(float(powers.norm2), rel=1e-12)
    assert powers.by_degree().tolist() == pytest.approx([float(powers.norm2)])
    by_name = dict(zip(map(str, powers.irreps), powers.powers[0].tolist(), strict=True))
    for one, other in (("1E", "2E"), ("m1", "m3")):
        if one in by_name and other in by_name:
            assert by_name[one] == pytest.approx(by_name[other], rel=1e-12)


@pytest.mark.parametrize(
    ("group", "degree", "expected"),
    [
        (octahedral_group(), 2, {"Eg", "T2g"}),
        (octahedral_group(), 3, {"A2u", "T1u", "T2u"}),
        (pyramidal(), 1, {"A1", "E"}),
        (tetrahedral(), 2, {"1E", "2E", "T"}),
        (cyclic(4), 1, {"m0", "m1", "m3"}),
        (cyclic(3), 2, {"m0", "m1", "m2"}),
    ],
)
def test_restriction_of_a_harmonic(group, degree, expected):
    """As every table of point groups says."""
    assert {str(own) for own in group.contained(Irrep(degree))} == expected
    own = group.irreps()[0]
    assert group.contained(own) == (own,)


def test_the_trivial_irrep_comes_first():
    with pytest.raises(ValueError, match="not the trivial one"):
        FiniteGroup(rotations("C2"), {"B": [1, -1], "A": [1, 1]})


def test_characters_in_another_order_are_refused():
    """Columns may be exchanged without a loss of orthonormality."""
    group = pyramidal()
    rows = {
        str(i): r[[0, 3, 2, 1, 4, 5]]
        for i, r in zip(group.irreps(), group.table, strict=True)
    }
    with pytest.raises(ValueError, match="in the order of the matrices"):
        FiniteGroup(group.matrices, rows)


@pytest.mark.parametrize(
    ("matrices", "rows", "words"),
    [
        (torch.eye(3), {"A": [1]}, "give \\(n, 3, 3\\)"),
        (2 * torch.eye(3)[None], {"A": [1]}, "not all orthogonal"),
        (torch.eye(3)[None].repeat(2, 1, 1), {"A": [1, 1]}, "given twice"),
        (np.eye(3)[None], {"A": [1], "B": [1, 1]}, "different numbers of characters"),
    ],
)
def test_what_is_no_group(matrices, rows, words):
    with pytest.raises(ValueError, match=words):
        FiniteGroup(matrices, rows)


def test_arrays_and_lists_are_taken():
    assert len(FiniteGroup(np.eye(3)[None], {"A": [1]}).matrices) == 1
    assert len(FiniteGroup([np.eye(3).tolist()], {"A": [1]}).irreps()) == 1


def test_elements_of_another_group_are_refused():
    group = cyclic(3)
    with pytest.raises(ValueError, match="no group"):
        group.characters(group.irreps(), rotations("C4"))


def test_o3_gives_what_is_asked():
    group = O3()
    irreps = group.irreps(3)
    assert irreps == irreps_up_to(3)
    elements = random_frame(0)(rotations("T"))
    elements = torch.cat([elements, -elements])
    found = group.characters(irreps, elements)
    for irrep, row in zip(irreps, found, strict=True):
        matrices = group.representation(irrep, elements)
        assert torch.allclose(matrices.diagonal(dim1=1, dim2=2).sum(1), row, atol=1e-10)
        assert group.contained(irrep) == (irrep,)
    assert group.circle_size(5) == len(group.circles(1, 5, 0).matrices)
    for points in (group.exact(8), *group.cheap()):
        orbit = points.orbit(2, group.frame(1))
        assert points.size == len(orbit.matrices)
        assert orbit.points == points
        assert {points: 1}[orbit.points] == 1  # hashable


@pytest.mark.parametrize(
    "group", [O3(), SO3(), SO2(), O2("x"), *GROUPS], ids=lambda group: group.name
)
def test_nothing_is_left_open(group):
    assert isinstance(group, Group)
    points = group.exact(4)
    orbit = points.orbit(1, group.frame(0))
    assert points.size == len(orbit.matrices) == len(orbit.weights)
    assert str(points)
    assert group.has_circles == (group.circles(1, 2, 0) is not None)
    assert group.has_circles <= (not group.finite)
    assert torch.linalg.det(group.elements(0)).abs().sub(1).abs().max() < 1e-9
