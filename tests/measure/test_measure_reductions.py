"""Probes that are the same tensor, and layers that fill a subspace, at less cost."""

import common
import pytest
import torch

from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import FunctionEngine, Values, open_engine


GE = "gnn_layers.0.edge_embedder"
TWINS = ["gnn_layers.1_node", "node_backbone.0", "gnn_layers.1.trans.layers.0_node"]
POINTS = torch.tensor([[1.0, 0.2, -0.3], [-0.4, 0.9, 0.5]]).double()


class Counted(O3Grid):
    """A grid that remembers how many channels it was asked to transform."""

    widths: list[int]

    def transform(self, widths, device):
        self.widths = list(widths)
        return super().transform(widths, device)


@pytest.fixture
def opened():
    model = common.pet(common.energy_info()).to(torch.float64)
    engine = open_engine(model, probes=[GE, *TWINS], gradients=False)
    [system] = common.systems([common.molecule()], model, torch.float64)
    return engine, engine.prepare(system)


def measured(engine, structure):
    grid = Counted(8)
    return measure_structure(engine, structure, grid, [], engine.probes), grid.widths


def test_a_subspace_keeps_every_power(opened, monkeypatch):
    engine, structure = opened
    basis = engine.bases[GE]
    assert basis.shape[1] == 5 < basis.shape[0]  # x, y, z, r and a bias
    short, narrow = measured(engine, structure)
    monkeypatch.setattr(type(engine), "bases", {})
    full, wide = measured(engine, structure)
    assert wide[0] - narrow[0] == structure.n_edges * (basis.shape[0] - 5)
    a, b = short.spectra[GE].powers, full.spectra[GE].powers
    torch.testing.assert_close(a.powers, b.powers, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(a.norm2, b.norm2, rtol=1e-12, atol=0)


def test_one_tensor_is_resolved_once(opened):
    engine, structure = opened
    found, widths = measured(engine, structure)
    # the readout reads what the last layer returns, which its last attention layer returned
    assert len(widths) == len(engine.probes) - 2
    powers = [found.spectra[path].powers.powers for path in TWINS]
    assert torch.equal(powers[0], powers[1])
    alone = measure_structure(engine, structure, O3Grid(8), [], TWINS[1:2])
    torch.testing.assert_close(powers[1], alone.spectra[TWINS[1]].powers.powers)


def test_tensors_that_part_later_are_refused():
    class Fickle(FunctionEngine):
        calls = 0

        def evaluate(self, structure, matrices, blocks, probes):
            self.calls += 1
            points = structure.points @ matrices.transpose(1, 2)
            return Values({}, {"a": points, "b": points if self.calls == 1 else points + 1})

        def bytes_per_rotation(self, structure, probes):
            return 2**26  # several chunks

    engine = Fickle(layers={"a": lambda p: p, "b": lambda p: p})
    with pytest.raises(RuntimeError, match="were one tensor"):
        measure_structure(
            engine, engine.prepare(POINTS), O3Grid(4), [], ["a", "b"], memory=2**28
        )
