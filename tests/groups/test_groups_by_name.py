"""Groups by their names and from matrices, against published tables and spgrep."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from metatrain_symmetry import FiniteGroup, Irrep, group_by_name
from metatrain_symmetry.groups import O3, decompose, group_names, named_group
from metatrain_symmetry.groups.finite import product_table


def proper(group):
    """Determinant, and angle of the proper part in degrees, of each element."""
    signs = torch.linalg.det(group.matrices).sign()
    traces = group.matrices.diagonal(dim1=1, dim2=2).sum(1) * signs
    cosines = ((traces - 1) / 2).clamp(-1, 1)
    angles = torch.rad2deg(torch.arccos(cosines)).round().to(torch.int64)
    return list(zip(signs.to(torch.int64).tolist(), angles.tolist(), strict=True))


G = (1 + 5**0.5) / 2
H = 1 - G

# Character tables as printed, e.g. in Altmann and Herzig, Point-Group Theory Tables: the
# class of an element is its determinant and the angle of its proper part
TABLES = {
    "C3v": (
        [(1, 0), (1, 120), (-1, 180)],
        {"A1": [1, 1, 1], "A2": [1, 1, -1], "E": [2, -1, 0]},
    ),
    "D3": (
        [(1, 0), (1, 120), (1, 180)],
        {"A1": [1, 1, 1], "A2": [1, 1, -1], "E": [2, -1, 0]},
    ),
    "Td": (  # E, 8 C3, 3 C2, 6 S4, 6 sigma_d
        [(1, 0), (1, 120), (1, 180), (-1, 90), (-1, 180)],
        {
            "A1": [1, 1, 1, 1, 1],
            "A2": [1, 1, 1, -1, -1],
            "E": [2, -1, 2, 0, 0],
            "T1": [3, 0, -1, 1, -1],
            "T2": [3, 0, -1, -1, 1],
        },
    ),
    "I": (  # E, 12 C5, 12 C5^2, 20 C3, 15 C2
        [(1, 0), (1, 72), (1, 144), (1, 120), (1, 180)],
        {
            "A": [1, 1, 1, 1, 1],
            "T1": [3, G, H, 0, -1],
            "T2": [3, H, G, 0, -1],
            "G": [4, -1, -1, 1, 0],
            "H": [5, 0, 0, -1, 1],
        },
    ),
}
# with inversion, every class twice
_CLASSES, _ROWS = TABLES["I"]
TABLES["Ih"] = (
    [*_CLASSES, *((-1, angle) for _, angle in _CLASSES)],
    {
        name + parity: [*row, *(sign * value for value in row)]
        for parity, sign in (("g", 1), ("u", -1))
        for name, row in _ROWS.items()
    },
)

# E, 8 C3, 6 C2' (diagonals), 6 C4, 3 C2: two classes of half turns
OCTAHEDRAL = {
    "A1": [1, 1, 1, 1, 1],
    "A2": [1, 1, -1, -1, 1],
    "E": [2, -1, 0, 0, 2],
    "T1": [3, 0, -1, 1, -1],
    "T2": [3, 0, 1, -1, -1],
}

FAMILIES = [
    "C1", "Ci", "Cs", "C2", "C3", "C4", "C7", "C2v", "C6v", "C2h", "C3h", "C6h", "D2", "D5",
    "D2h", "D3h", "D6h", "D2d", "D3d", "D6d", "S4", "S6", "T", "Td", "Th", "O", "Oh", "I",
    "Ih", "D20h",
]  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_characters_are_those_of_the_printed_tables(name):
    group = group_by_name(name)
    classes, rows = TABLES[name]
    column = {one: i for i, one in enumerate(classes)}
    places = [column[one] for one in proper(group)]
    assert {str(irrep) for irrep in group.irreps()} == set(rows)
    for irrep, found in zip(group.irreps(), group.table, strict=True):
        expected = np.array(rows[str(irrep)], dtype=float)[places]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_the_printed_table_of_oh():
    group = group_by_name("Oh")
    known = dict(zip(map(str, group.irreps()), group.table, strict=True))
    signs = torch.linalg.det(group.matrices).sign()
    for i, matrix in enumerate(group.matrices * signs[:, None, None]):
        trace = round(float(matrix.trace()))
        diagonal = bool((matrix.diagonal().abs() > 0.5).sum() == 3)
        place = {3: 0, 0: 1, 1: 3}.get(trace, 4 if diagonal else 2)
        for name, row in OCTAHEDRAL.items():
            assert float(known[name + "g"][i]) == pytest.approx(row[place])
            assert float(known[name + "u"][i]) == pytest.approx(row[place] * signs[i])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name):
    """Orthogonal to each other, complete, and matrices that are homomorphisms."""
    group = group_by_name(name)
    n = len(group.matrices)
    numbers = [(irrep.dimension, str(irrep)) for irrep in group.irreps()]
    assert sum(d * d for d, _ in numbers) == n
    assert len({label for _, label in numbers}) == len(numbers)
    unit = torch.eye(len(numbers), dtype=group.table.dtype)
    torch.testing.assert_close(group.table @ group.table.mH / n, unit, atol=1e-9, rtol=0)
    # as many irreps as classes of g⁻¹ h g
    inverse = group.products[:, 0]  # g⁻¹ times the identity, which comes first
    conjugates = group.products[torch.arange(n)[:, None], group.products[inverse].T]
    classes = {frozenset(column.tolist()) for column in conjugates.T}
    assert len(numbers) == len(classes)


@pytest.mark.parametrize(
    ("name", "degree", "expected"),
    [
        ("Oh", 2, "Eg T2g"),
        ("Oh", 3, "A2u T1u T2u"),
        ("Oh", 4, "A1g Eg T1g T2g"),
        ("Oh", 6, "A1g A2g Eg T1g T2g"),
        ("Td", 3, "A1 T1 T2"),
        ("C3v", 2, "A1 E"),
        ("C3v", 3, "A1 A2 E"),
        ("D6h", 2, "A1g E1g E2g"),
        ("D6h", 3, "A2u B1u B2u E1u E2u"),
        ("D2d", 1, "B2 E"),
        ("D2h", 1, "B1u B2u B3u"),
        ("C2v", 1, "A1 B1 B2"),
        ("S4", 1, "B 1E 2E"),
        ("C3h", 1, "1E' 2E' A''"),
        ("T", 2, "1E 2E T"),
        ("Ih", 2, "Hg"),
        ("Ih", 3, "Gu T2u"),
        ("Ih", 6, "Ag Gg Hg T1g"),
        ("Ih", 15, "Au Gu Hu T1u T2u"),
    ],
)
def test_how_harmonics_split(name, degree, expected):
    """As the tables of crystal-field theory say, for the lines of a degree."""
    found = group_by_name(name).contained(Irrep(degree))
    assert {str(own) for own in found} == set(expected.split())


def test_how_often_an_irrep_is_in_a_harmonic():
    """Degree 6 of Oh holds T2g twice: tr P_T2g is the multiplicity times the dimension."""
    group = group_by_name("Oh")
    matrices = O3().representation(Irrep(6), group.matrices)
    traces = matrices.diagonal(dim1=1, dim2=2).sum(1)
    counts = (group.table @ traces / 48).round().to(torch.int64).tolist()
    found = dict(zip(map(str, group.irreps()), counts, strict=True))
    assert {k: v for k, v in found.items() if v} == {
        "A1g": 1, "A2g": 1, "Eg": 1, "T1g": 1, "T2g": 2,
    }  # fmt: skip


def test_one_component_of_degree_two_has_one_irrep_of_d6h():
    """z² is A1g, (xz, yz) E1g, (x² - y², xy) E2g: powers, not only names."""
    group = group_by_name("D6h")
    orbit = group.exact().orbit()
    x = torch.tensor([0.3, -1.1, 0.7], dtype=torch.float64)
    y = orbit.matrices @ x
    values = [3 * y[:, 2] ** 2 - y.square().sum(1), y[:, 0] * y[:, 2], y[:, 0] * y[:, 1]]
    transform = orbit.transform([1, 1, 1], torch.device("cpu"))
    transform.add([value[:, None] for value in values])
    names = [
        [str(i) for i, b in zip(p.irreps, p.powers[0], strict=True) if b > 1e-12]
        for p in transform.finish()
    ]
    assert names == [["A1g"], ["E1g"], ["E2g"]]


HEXAGONAL = np.array([[1.0, -0.5, 0.0], [0.0, 3**0.5 / 2, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "name", ["C3", "C4", "C6h", "S4", "C4v", "D3d", "D6h", "D2d", "T", "Th", "Td", "Oh"]
)
def test_characters_are_those_of_spgrep(name):
    spgrep = pytest.importorskip("spgrep")
    group = group_by_name(name)
    basis = HEXAGONAL if name in ("C3", "C6h", "D3d", "D6h") else np.eye(3)
    rotations = np.linalg.inv(basis) @ group.matrices.numpy() @ basis
    integers = rotations.round().astype(int)
    np.testing.assert_allclose(rotations, integers, atol=1e-9)
    irreps = spgrep.get_crystallographic_pointgroup_irreps_from_symmetry(integers)
    theirs = [np.trace(matrices, axis1=1, axis2=2) for matrices in irreps]
    overlaps = np.array(theirs).conj() @ group.table.numpy().T / len(integers)
    # each of theirs is one of ours
    np.testing.assert_allclose(np.sort(abs(overlaps), axis=1)[:, -1], 1, atol=1e-6)
    assert sorted(abs(overlaps).argmax(axis=1)) == list(range(len(group.table)))


def test_a_group_in_any_frame_and_order():
    """The same symbols, whatever the frame; and complex irreps of a group in no frame."""
    turn = torch.from_numpy(Rotation.random(rng=np.random.default_rng(0)).as_matrix())
    for name in ("T", "Ih", "D3d", "C4h", "D4d"):
        known = group_by_name(name)
        order = torch.randperm(
            len(known.matrices), generator=torch.Generator().manual_seed(1)
        )
        moved = FiniteGroup.from_matrices((turn @ known.matrices @ turn.T)[order], name)
        assert moved.irreps() == known.irreps()
        own = sorted(str(irrep) for irrep in moved.contained(Irrep(3)))
        assert own == sorted(str(irrep) for irrep in known.contained(Irrep(3)))


def test_random_matrices_whose_levels_coincide_are_drawn_again(monkeypatch):
    """Where every level looks the same, no characters come out, and that is said."""
    products = product_table(group_by_name("C3v").matrices)
    monkeypatch.setattr(decompose, "GAP", 10.0)
    with pytest.raises(ValueError, match="do not split into irreps"):
        decompose.computed_characters(products)


def test_axes():
    about_x = group_by_name("C4v:x")
    assert about_x.name == "C4v:x"
    kept = about_x.matrices @ torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert (kept - kept[0]).abs().max() < 1e-12
    names = [str(irrep) for irrep in about_x.irreps()]
    assert names == [str(irrep) for irrep in group_by_name("C4v").irreps()]
    diagonal = group_by_name("D3", axis=[1, 1, 1])
    assert diagonal.name == group_by_name("D3:2,2,2").name
    assert group_by_name("C3", axis="z").name == "C3"
    ones = torch.ones(3, dtype=torch.float64)
    images = diagonal.matrices @ ones
    assert (images.abs() - 1).abs().max() < 2  # the axis is kept or reversed
    assert torch.allclose((images @ ones).abs(), torch.full((6,), 3.0).double())


def test_names_of_averages_are_names_of_groups():
    for name in group_names():
        group = group_by_name(name)
        assert len(group.matrices) == named_group(name).size
        ours = {
            tuple(m.round(decimals=6).flatten().add(0.0).tolist()) for m in group.matrices
        }
        theirs = {
            tuple(m.round(decimals=6).flatten().add(0.0).tolist())
            for m in named_group(name).elements
        }
        assert ours == theirs


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c3v", "no group 'c3v': did you mean C3v"),
        ("C3z", "did you mean C3"),
        ("S3", "S3 is called C3h"),
        ("Q", "there are O\\(3\\), SO\\(3\\)"),
        ("", "there are O\\(3\\)"),
        ("C0", "point groups such as C3"),
        ("C61", "C61 has too many elements: choose n from 1 to 60"),
        ("T:x", "T has no axis that could be chosen"),
        ("O(3):x", "O\\(3\\) has no axis"),
        ("SO(2):", "the axis is ''"),
        ("SO(2):0,0,0", "the axis is '0,0,0': give x, y, z"),
        ("C3v:w", "the axis is 'w'"),
        (3, "no group 3: give a name"),
        ("C-1", "did you mean C1\\?"),
    ],
)
def test_wrong_names(name, words):
    with pytest.raises(ValueError, match=words):
        group_by_name(name)


@pytest.mark.parametrize(
    "axis", [True, [1, 2], [1, "a", 0], [float("nan"), 0, 1], 5, [[1], 2]]
)
def test_wrong_axes(axis):
    with pytest.raises(ValueError, match=r"the axis is .*give x, y, z"):
        group_by_name("C4", axis=axis)


def c3(*, scale=1.0):
    return scale * torch.from_numpy(Rotation.create_group("C3").as_matrix())


@pytest.mark.parametrize(
    ("matrices", "words"),
    [
        (c3()[:2], "the product of two of them is not among them"),
        (c3()[1:], "the identity is not among them"),
        (c3(scale=1.1), "not all orthogonal"),
        (torch.cat([c3(), c3()[:1]]), "given twice"),
        (torch.empty(0, 3, 3), "give \\(n, 3, 3\\)"),
        (torch.full((1, 3, 3), float("nan")), "not all orthogonal"),
        ([[[1, -1, 0], [1, 0, 0], [0, 0, 1]]], "those of Cartesian coordinates"),
        ("C3", "the matrices are 'C3': give numbers"),
        ([[1, 2], [3]], "the matrices are .*: give numbers"),
        (np.eye(3)[None] + 0j, "complex"),
    ],
)
def test_matrices_that_are_no_group(matrices, words):
    with pytest.raises(ValueError, match=words):
        FiniteGroup.from_matrices(matrices)


@pytest.mark.parametrize("give", [list, lambda m: list(m.numpy()), lambda m: m.float()])
def test_matrices_in_whatever_holds_them(give):
    group = FiniteGroup.from_matrices(give(group_by_name("Th", None).matrices))
    assert [str(i) for i in group.irreps()][:4] == ["Ag", "1Eg", "2Eg", "Tg"]
    turns = FiniteGroup.from_matrices(Rotation.create_group("C4"))
    assert len(turns.matrices) == 4


@pytest.mark.parametrize(
    ("characters", "words"),
    [
        ([1, 1, 1], "give those of each irrep by its name"),
        ({"A": 1}, "for each of the 3 elements"),
        ({"A": ["x", "y", "z"]}, "the characters of A are"),
    ],
)
def test_characters_that_are_none(characters, words):
    with pytest.raises(ValueError, match=words):
        FiniteGroup(c3(), characters)


def test_your_own_representations():
    group = group_by_name("C3v")
    given = {str(i): group.representation(i, group.matrices) for i in group.irreps()}
    own = FiniteGroup.from_matrices(group.matrices, "mine", representations=given)
    assert [str(irrep) for irrep in own.irreps()] == ["A1", "A2", "E"]
    matrices = own.representation(own.irreps()[2], group.matrices[[4, 1]])
    assert torch.equal(matrices, given["E"][[4, 1]])

    def refused(words, **changed):
        with pytest.raises(ValueError, match=words):
            FiniteGroup.from_matrices(group.matrices, representations={**given, **changed})

    refused("E is not a homomorphism", E=given["E"].flip(0))
    refused("representation E are not all unitary", E=2 * given["E"])
    refused("E has the shape \\(6, 2\\): give \\(n, d, d\\)", E=given["E"][:, 0])
    refused("not orthonormal", E=torch.eye(2).repeat(6, 1, 1).double())
    refused("representation E are 'e'", E="e")
    with pytest.raises(ValueError, match="some irreps are missing"):
        FiniteGroup.from_matrices(group.matrices, representations={"A1": given["A1"]})
    with pytest.raises(ValueError, match="of each irrep by its name"):
        FiniteGroup.from_matrices(group.matrices, representations=[given["A1"]])
