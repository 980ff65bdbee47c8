"""Modules as people write them: computing in place, compiled, with several outputs."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from clouds_common import Lambda, cloud

from metatrain_symmetry import Output, PointCloudEngine, group_by_name, symmetry_report


ONE = torch.eye(3, dtype=torch.float64)[None]


def error(module, given, **keywords):
    """A over the rotations of a cube."""
    keywords |= {"group": "O", "progress": False}
    return symmetry_report(module, given, **keywords).equivariance.A.to_list()


def layers(module, given, *probes):
    engine = PointCloudEngine(module, probes=probes)
    structure = engine.prepare(given)
    return engine.evaluate(structure, ONE, [], list(probes)).layers


def test_a_module_that_computes_in_place_leaves_the_cloud_alone():
    def shifted(x):
        x -= 1
        return x[:, :, 0].sum(dim=1)

    given = cloud(6)
    before = given.clone()
    # of a vector v the first component has A² = |v|² / 3
    expected = float(given.sum(dim=0).square().sum() / 3) ** 0.5
    assert error(Lambda(shifted), given) == pytest.approx([expected], rel=1e-9)
    assert torch.equal(given, before)


def test_a_layer_is_what_it_returned_even_if_the_next_one_overwrites_it():
    linear = torch.nn.Linear(3, 4).double()
    module = torch.nn.Sequential(linear, torch.nn.ReLU(inplace=True))
    found = layers(module, cloud(6), "0")["0"]
    assert torch.allclose(found[0], linear(cloud(6)), rtol=1e-12)


def test_what_is_frozen_is_not_overwritten():
    class Grouped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nearest = Lambda(lambda x: x[:, :, 0].argsort(dim=1))

        def forward(self, x):
            order = self.nearest(x)
            order += 1  # as offsets of a batch are added
            return x.norm(dim=2).gather(1, order[:, :1] % 6)[:, 0]

    engine, given = PointCloudEngine(Grouped(), freeze="nearest"), cloud(6)
    structure = engine.prepare(given)
    for _ in range(2):
        (found,) = engine.predict(structure).values()
        assert torch.equal(found.flatten(), Grouped()(given[None]))


def test_statistics_of_a_batch_do_not_mix_orientations():
    class Normed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3, affine=False, track_running_stats=False)

        def forward(self, x):
            return (self.norm(x.transpose(1, 2))[:, 0] ** 3).sum(dim=1)

    module, given = Normed(), cloud(8)
    rotations = group_by_name("O").matrices
    alone = torch.cat([module((given @ one.T)[None]) for one in rotations])
    expected = float(alone.std(correction=0))
    assert error(module, given) == pytest.approx([expected], rel=1e-9)


def test_buffers_say_the_dtype_where_there_are_no_parameters():
    module = torch.nn.Module()
    module.register_buffer("weight", torch.ones(3, 2))
    module.forward = lambda x: x @ module.weight
    assert PointCloudEngine(module).dtype == torch.float32
    # two components, each of them the sum of a vector's three
    expected = float(cloud(6).square().sum(1).mean()) ** 0.5
    assert error(module, cloud(6)) == pytest.approx([expected], rel=1e-5)


Pair = namedtuple("Pair", ["logits", "features"])


@dataclass(slots=True)
class Answer:
    logits: torch.Tensor
    count: int = 3


@pytest.mark.parametrize(
    ("pack", "names"),
    [
        (lambda a, b: Pair(a, b), ["logits", "features"]),
        (lambda a, b: Answer(a), ["logits"]),
        (lambda a, b: {"head": {"a": a}, "b": [b, None]}, ["head.a", "b.0"]),
        (lambda a, b: ((a, b), 1), ["output 0.0", "output 0.1"]),
        (lambda a, b: (a, b[:, :0]), ["output"]),
    ],
)
def test_outputs_in_whatever_holds_them(pack, names):
    engine = PointCloudEngine(Lambda(lambda x: pack(x[:, :, 0].sum(1), x[:, :, 1])))
    engine.prepare(cloud(6))
    assert [block.target for block in engine.blocks] == names


def test_places_in_a_named_tuple():
    module = Lambda(lambda x: Pair(x[:, :, 0].sum(1), x[:, :, 1]))
    engine = PointCloudEngine(module, outputs={"second": Output(source=1)})
    engine.prepare(cloud(6))
    assert [block.sample_kind for block in engine.blocks] == ["point"]


def encoder():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    stack = torch.nn.TransformerEncoder(layer, 2)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), stack).double()


def test_layers_inside_of_a_fast_transformer():
    module, given = encoder(), cloud(6)
    inside = module[1].layers[1].linear1
    kept = []
    handle = inside.register_forward_hook(lambda part, inputs, output: kept.append(output))
    module.eval()(given[None])
    handle.remove()
    found = layers(module, given, "1.layers.1.linear1")["1.layers.1.linear1"]
    assert torch.allclose(found, kept[0], rtol=1e-12)
    assert torch.backends.mha.get_fastpath_enabled()

    class Padded(torch.nn.Module):
        """With a mask the fast path hands on nested tensors."""

        def __init__(self):
            super().__init__()
            self.parts = module

        def forward(self, x, mask):
            padding = {"src_key_padding_mask": ~mask}
            return self.parts[1](self.parts[0](x), **padding).mean(1)

    again = layers(Padded(), given, "parts.1.layers.1.linear1")
    assert torch.allclose(again["parts.1.layers.1.linear1"], found, rtol=1e-9)


def test_compiled_modules_are_evaluated_layer_by_layer():
    plain, given = encoder(), cloud(6)
    expected = layers(plain, given, "1")["1"]
    compiled = torch.compile(plain, backend="eager")
    assert torch.equal(layers(compiled, given, "1")["1"], expected)
    plain.compile(backend="eager")
    implementation = plain._compiled_call_impl
    assert torch.equal(layers(plain, given, "1")["1"], expected)
    assert plain._compiled_call_impl is implementation


@pytest.mark.parametrize("how", [torch.jit.script, lambda m: torch.jit.trace(m, cloud(4))])
def test_modules_that_cannot_be_hooked(how):
    plain = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh()).double()
    module = how(plain)
    expected = error(plain, cloud(6))
    assert error(module, cloud(6)) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="'0' is compiled by TorchScript and cannot be"):
        error(module, cloud(6), probes=["0"])


def test_a_module_that_differentiates_inside():
    class Forces(torch.nn.Module):
        def forward(self, x):
            x.requires_grad_(True)
            energy = x[:, :, 0].square().sum()
            return torch.autograd.grad(energy, x)[0]

    # 2 x along e_x: of the matrix 2 e_x e_xᵀ only the part 2/3 of the identity is left
    given = cloud(6)
    squared = float(given.square().sum(1).mean())
    found = error(Forces(), given, outputs={"f": Output(rank=1)})
    # mean of |2 x_x|² is 4 |x|² / 3, that of the average 4 |x|² / 9
    assert found == pytest.approx([((4 / 3 - 4 / 9) * squared / 3) ** 0.5], rel=1e-9)


def test_as_many_points_as_columns():
    class PerPoint(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.local = torch.nn.Conv1d(3, 2, 1).double()

        def forward(self, x):  # (clouds, 3, points)
            return self.local(x).transpose(1, 2)

    module, found = PerPoint(), []
    for clouds in ([cloud(3)], [cloud(5), cloud(3)]):
        engine = PointCloudEngine(module)
        last = [engine.prepare(one) for one in clouds][-1]
        found += engine.predict(last).values()
    assert torch.equal(*found)


def test_as_many_values_as_points_in_a_module_of_one_size():
    module = Lambda(lambda x: x.reshape(len(x), 6, 3).norm(dim=2))
    with pytest.raises(ValueError, match="6 values for a cloud of 6 points"):
        PointCloudEngine(module).prepare(cloud(6))
    for kind in ("point", "cloud"):
        engine = PointCloudEngine(module, outputs={"own": kind})
        engine.prepare(cloud(6))
        assert engine.blocks[0].sample_kind == kind


def test_a_list_with_an_entry_for_each_cloud():
    module = Lambda(lambda x: [one[:, 0].sum() for one in x])
    expected = float(cloud(6).sum(dim=0).square().sum() / 3) ** 0.5
    assert error(module, cloud(6)) == pytest.approx([expected], rel=1e-9)


def test_an_output_that_is_not_always_there():
    def some(x):
        up = {"up": x[:, :, 0].sum(1)} if (x[:, 0, 2] > 0).all() else {}
        return {"norm": x.norm(dim=2).sum(1), **up}

    given = cloud(6)
    given[0] = torch.tensor([0.0, 0.1, 1.0])
    with pytest.raises(ValueError, match="'up' is returned in some orientations only"):
        error(Lambda(some), given)


def test_a_module_without_weights_may_expect_single_precision():
    module = Lambda(lambda x: x @ torch.ones(3, 1))
    expected = float(cloud(6).square().sum(1).mean()) ** 0.5
    assert error(module, cloud(6)) == pytest.approx([expected], rel=1e-5)


def test_parameters_without_values_are_refused():
    with pytest.raises(ValueError, match="have no values"):
        error(torch.nn.Linear(3, 2, device="meta"), cloud(6))
