"""A, B and layers against closed forms and against metatomic's SymmetrizedModel."""

import common
import pytest
import torch
from metatomic.torch import ModelOutput
from metatomic.torch.o3 import SymmetrizedModel

from metatrain_symmetry.groups import Irrep, O3Grid, octahedral_group
from metatrain_symmetry.measure.noise import noise_floor
from metatrain_symmetry.measure.resolver import widest
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Block, FunctionEngine, open_engine


LAYERS = ["gnn_layers.0.edge_embedder", "gnn_layers.1.compress", "gnn_layers.1_edge"]
VECTOR = Block("v", Irrep(1), "atom")
POINTS = torch.tensor([[1.0, 0.2, -0.3], [-0.4, 0.9, 0.5], [0.3, -0.8, 1.1]]).double()


def contaminated(points):
    """A vector per point, equivariant but for a constant and a quadrupole of size 0.1."""
    vector = points.roll(-1, dims=-1)
    constant = torch.tensor([0.3, 0.0, 0.4], dtype=points.dtype)
    return (vector + constant).unsqueeze(-1)


def engine_of(function, **layers):
    return FunctionEngine(targets={VECTOR: function}, layers=layers)


def test_closed_form_of_a_and_b():
    engine = engine_of(contaminated, x=lambda p: p)
    grid = O3Grid(6)
    structure = engine.prepare(POINTS)
    found = measure_structure(engine, structure, grid, engine.blocks, engine.probes)
    # the constant turns into ρ⁻¹c, whose mean is 0: A² per component is |c|² / 3
    A = found.equivariance[VECTOR]
    assert A.per_sample.tolist() == pytest.approx([(0.25 / 3) ** 0.5] * 3, rel=1e-12)
    spectrum = found.spectra[VECTOR]
    shares = dict(
        zip(map(str, grid.irreps), spectrum.powers.powers[0].tolist(), strict=True)
    )
    assert shares.pop("(0,+)") == pytest.approx(3 * 0.25, rel=1e-10)
    assert shares.pop("(1,+)") == pytest.approx(float(POINTS.square().sum()), rel=1e-10)
    assert max(shares.values()) < 1e-10


def test_equivariant_function_has_no_a():
    engine = engine_of(lambda p: p.roll(-1, dims=-1).unsqueeze(-1))
    found = measure_structure(engine, engine.prepare(POINTS), O3Grid(4), engine.blocks, [])
    assert found.equivariance[VECTOR].A < 1e-14


def test_large_mean_does_not_cancel():
    """An energy of a million with an orientation dependence of a millionth."""
    block = Block("energy", Irrep(0))

    def energy(points):
        return (1e6 + 1e-6 * points[:, 0, 0]).reshape(-1, 1, 1, 1)

    engine = FunctionEngine(targets={block: energy}, layers={})
    found = measure_structure(engine, engine.prepare(POINTS), O3Grid(4), [block], [])
    expected = 1e-6 * float(POINTS[0].norm()) / 3**0.5
    assert found.equivariance[block].A == pytest.approx(expected, rel=1e-3)


def test_finite_group_needs_nothing_new():
    group = octahedral_group()
    engine = engine_of(contaminated, x=lambda p: p)
    found = measure_structure(
        engine,
        engine.prepare(POINTS),
        group.exact().orbit(),
        engine.blocks,
        engine.probes,
        group=group,
    )
    assert found.equivariance[VECTOR].A == pytest.approx((0.25 / 3) ** 0.5, rel=1e-12)
    powers = found.spectra["x"].powers
    names = [
        str(i) for i, b in zip(powers.irreps, powers.powers[0], strict=True) if b > 1e-9
    ]
    assert names == ["T1u"]


@pytest.mark.parametrize("make", [common.molecule, common.crystal])
def test_layers_and_outputs_equal_symmetrized_model(make):
    model = common.pet_ssh(common.energy_info()).to(torch.float64).eval()
    (system,) = common.systems([make()], model)
    grid = O3Grid(4)
    engine = open_engine(model, None, LAYERS, gradients=False)
    found = measure_structure(
        engine, engine.prepare(system), grid, engine.blocks, engine.probes
    )
    oracle = SymmetrizedModel(
        model,
        max_angular_momentum_target=0,
        max_angular_momentum_character=2,
        max_angular_momentum_grid=4,
    )
    prefix = "o3::character_projection::mtt::feature::"
    outputs = {prefix + path: ModelOutput(sample_kind="atom") for path in LAYERS}
    outputs["o3::variance::energy"] = ModelOutput(sample_kind="system")
    with torch.no_grad():
        expected = oracle([system], outputs, None)
    (block,) = engine.blocks
    variance = float(expected["o3::variance::energy"].block().values)
    assert found.equivariance[block].A ** 2 == pytest.approx(variance, rel=1e-8)
    for path in LAYERS:
        powers = found.spectra[path].powers
        for irrep, value in zip(powers.irreps, powers.powers[0], strict=True):
            key = {"chi_lambda": irrep.o3_lambda, "chi_sigma": irrep.o3_sigma}
            reference = float(expected[prefix + path].block(key).values.sum())
            scale = float(powers.norm2)
            assert float(value) == pytest.approx(reference, rel=1e-8, abs=1e-13 * scale)


def test_permutation_frame_and_memory_change_nothing():
    model = common.pet(common.energy_info()).to(torch.float64)
    engine = open_engine(model, None, ["gnn_layers.0_edge"], gradients=False)
    atoms = common.molecule()
    order = torch.randperm(len(atoms), generator=torch.Generator().manual_seed(0))
    small = [atoms, atoms[order.tolist()]]
    found = []
    for system in common.systems(small, model):
        measured = measure_structure(
            engine, engine.prepare(system), O3Grid(4), engine.blocks, engine.probes
        )
        found.append(measured)
    for key, spectrum in found[0].spectra.items():
        other = found[1].spectra[key].powers
        assert torch.allclose(spectrum.powers.powers, other.powers, rtol=1e-9, atol=1e-12)
    (system,) = common.systems([atoms], model)
    tight = measure_structure(
        engine, engine.prepare(system), O3Grid(4), engine.blocks, engine.probes,
        memory=2**20, seed=3,
    )  # fmt: skip
    spectrum = tight.spectra["gnn_layers.0_edge"]
    assert spectrum.sketched
    exact = found[0].spectra["gnn_layers.0_edge"].powers
    error = spectrum.powers.powers.std(dim=0) / len(spectrum.powers.powers) ** 0.5
    off = (spectrum.powers.powers.mean(dim=0) - exact.powers[0]).abs()
    assert (off <= 5 * error + 1e-12).all()


def test_isolated_atom():
    import ase

    model = common.pet(common.energy_info()).to(torch.float64)
    engine = open_engine(model, None, ["gnn_layers.0_edge", "gnn_layers.0_node"])
    (system,) = common.systems([ase.Atoms("C")], model)
    found = measure_structure(
        engine, engine.prepare(system), O3Grid(4), engine.blocks, engine.probes
    )
    assert "gnn_layers.0_edge" not in found.spectra
    powers = found.spectra["gnn_layers.0_node"].powers
    assert float(powers.powers[0, 0]) == pytest.approx(float(powers.norm2))


def test_noise_floor_tells_rounding_from_orientation():
    for dtype, largest in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        model = common.pet(common.energy_info()).to(dtype)
        engine = open_engine(model, None, (), gradients=False)
        structure = engine.prepare(common.systems([common.molecule()], model)[0])
        floor = noise_floor(engine, structure, engine.blocks)
        (value,) = floor.values()
        found = measure_structure(engine, structure, O3Grid(4), engine.blocks, [])
        assert 0 < value < largest
        assert found.equivariance[engine.blocks[0]].A > 100 * value


@pytest.mark.parametrize(
    ("channels", "available", "width"),
    [([10, 20], 100, 20), ([10, 1000], 110, 100), ([500, 500], 100, 50), ([9], 1, 8)],
)
def test_widest_probe_that_fits(channels, available, width):
    assert widest(channels, available) == width
