"""The engine of point clouds: closed forms, brute force, hooks, frozen sampling."""

import numpy as np
import pytest
import torch
from clouds_common import Lambda, PointNet, cloud, product_grid

from metatrain_symmetry import (
    Irrep,
    Output,
    PointCloud,
    PointCloudEngine,
    Settings,
    analyze,
)
from metatrain_symmetry.measure.noise import sampling_noise


GRID = Settings(estimator="grid", degree=4, lambda_max=2, circles=2)


def measured(engine, *clouds, settings=GRID):
    """Report of an engine on some clouds."""
    data = [engine.prepare(one) for one in clouds]
    return analyze(engine, data, settings=settings, progress=False)


def shares(report, probe=None):
    """Shares that are not rounding, by channel."""
    table = report.characters
    table = table if probe is None else table[table.probe == probe]
    table = table[table.share.abs() > 1e-9]
    return dict(zip(table.channel, table.share, strict=True))


def errors(report):
    """A of each irrep."""
    table = report.equivariance
    names = table.o3_lambda.astype(str) + "," + table.o3_sigma.astype(str)
    return dict(zip(names, table.A, strict=True))


# ------------------------------------------------------------------ closed forms


def test_a_coordinate_of_each_point_is_a_vector():
    points = cloud()
    engine = PointCloudEngine(Lambda(lambda x: x[:, :, 0]))
    report = measured(engine, points)
    assert engine.blocks[0].sample_kind == "point"
    size = float(points.square().sum(dim=1).mean())
    assert report.equivariance.A[0] == pytest.approx((size / 3) ** 0.5, rel=1e-9)
    assert shares(report) == pytest.approx({"(1,+)": 1.0})
    each = (points.square().sum(dim=1) / 3).sqrt()
    assert report.atoms.A.to_numpy() == pytest.approx(each.numpy(), rel=1e-9)
    assert report.atoms.point.tolist() == list(range(20))
    assert "atom" not in report.atoms


def test_a_coordinate_of_the_middle():
    points = cloud()
    engine = PointCloudEngine(Lambda(lambda x: x.mean(dim=1)[:, :1]))
    report = measured(engine, points)
    assert engine.blocks[0].sample_kind == "cloud"
    middle = float(points.mean(dim=0).norm())
    assert report.equivariance.A[0] == pytest.approx(middle / 3**0.5, rel=1e-9)
    assert not report.equivariance.per_atom[0]  # classes do not grow with the cloud
    assert report.equivariance.unit_per_atom[0] == ""


def test_vectors_and_what_is_added_to_them():
    constant = torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64)
    outputs = {"velocity": Output(rank=1)}
    right = PointCloudEngine(Lambda(lambda x: 2 * x), outputs=outputs)
    wrong = PointCloudEngine(Lambda(lambda x: 2 * x + constant), outputs=outputs)
    assert errors(measured(right, cloud()))["1,1"] < 1e-12
    assert errors(measured(wrong, cloud()))["1,1"] == pytest.approx(0.5 / 3**0.5)


def test_matrices_split_into_irreps():
    outputs = {"inertia": Output(kind="cloud", rank=2)}
    engine = PointCloudEngine(
        Lambda(lambda x: x.transpose(1, 2) @ x), outputs=outputs, probes=[]
    )
    report = measured(engine, cloud())
    names = ["(0,+)", "(1,-)", "(2,+)"]
    assert [str(block.irrep) for block in engine.blocks] == names
    assert max(errors(report).values()) < 1e-12


def test_spherical_components_with_several_properties():
    def function(x):
        middle = x.mean(dim=1)
        vector = middle[:, [1, 2, 0]]
        return torch.cat([vector, middle.square().sum(1, keepdim=True), 3 * vector], 1)

    irreps = [Irrep(1), Irrep(0), Irrep(1)]
    engine = PointCloudEngine(Lambda(function), outputs={"f": Output(irreps=irreps)})
    report = measured(engine, cloud())
    assert max(errors(report).values()) < 1e-12
    structure = engine.prepare(cloud())
    sizes = [tuple(part.shape) for part in engine.predict(structure).values()]
    assert sizes == [(1, 3, 2), (1, 1, 1)]


def test_columns_that_rotate_and_columns_that_do_not():
    def product(x):  # of positions and the vectors in columns 4 to 6, times a scalar
        return x[:, :, 3] * (x[:, :, :3] * x[:, :, 4:7]).sum(dim=2)

    points = cloud(columns=7)
    right = measured(PointCloudEngine(Lambda(product), vectors=[4]), points)
    wrong = measured(PointCloudEngine(Lambda(product)), points)
    assert right.equivariance.A[0] < 1e-12
    each = points[:, 3].square() * points[:, :3].square().sum(1)
    each = each * points[:, 4:].square().sum(1) / 3
    assert wrong.equivariance.A[0] == pytest.approx(float(each.mean()) ** 0.5, rel=1e-9)
    given = PointCloud(points[:, :3], points[:, 3:4], points[:, 4:])
    swapped = Lambda(lambda x: x[:, :, 6] * (x[:, :, :3] * x[:, :, 3:6]).sum(dim=2))
    same = measured(PointCloudEngine(swapped), given)
    assert same.equivariance.A[0] < 1e-12
    assert same.equivariance.norm[0] == pytest.approx(right.equivariance.norm[0])


# -------------------------------------------------------- an oracle by brute force


def brute_force(values, matrices, weights):
    """A, and shares of four irreps, of scalars ``(g, ...)`` on a product grid of O(3)."""
    mean = np.tensordot(weights, values, 1)
    square = np.tensordot(weights, values**2, 1)
    signs, total, found = np.linalg.det(matrices), square.sum(), {}
    for name, factor in (("+", np.ones(len(signs))), ("-", signs)):
        one = np.einsum("g,g,g...->...", weights, factor, values)
        vector = np.einsum("g,g,gij,g...->ij...", weights, factor, matrices, values)
        found[f"(0,{name})"] = (one**2).sum() / total
        found[f"(1,{name})"] = 3 * (vector**2).sum() / total
    return float(np.sqrt((square - mean**2).mean())), found


def test_pointnet_against_brute_force():
    module, points = PointNet(), cloud(8)
    outputs = {"class": Output(softmax=True), "segments": Output()}
    engine = PointCloudEngine(module, "channels first", outputs=outputs)
    settings = Settings(estimator="grid", degree=14, lambda_max=3, circles=2)
    report = measured(engine, points, settings=settings)
    table = report.equivariance.set_index("target")
    matrices, weights = product_grid()
    with torch.no_grad():
        found = module(torch.from_numpy(matrices) @ points.T)
    logits = found["class"]
    values = {"class": logits, "segments": found["segments"].transpose(1, 2)}
    values |= {"class, probabilities": logits.softmax(1)}
    for output, direct in values.items():
        A, shares = brute_force(direct.numpy(), matrices, weights)
        assert A > 1e-3
        assert table.A[output] == pytest.approx(A, rel=1e-5)
        own = report.characters[report.characters.target == output]
        own = own.set_index("channel").share
        for name, share in shares.items():
            assert own[name] == pytest.approx(share, rel=1e-4, abs=1e-9)


# ------------------------------------------------------------------- ways to call


def test_all_ways_to_call_say_the_same():
    points, seen = cloud(9), {}

    class Dense(torch.nn.Module):
        def forward(self, x):
            return x.tanh().mean(dim=1)

    class Lengths(torch.nn.Module):
        def forward(self, x, lengths):
            return x.tanh().sum(dim=1) / lengths[:, None]

    class Mask(torch.nn.Module):
        def forward(self, x, mask):
            return (x.tanh() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)

    class Padding(torch.nn.Module):
        def forward(self, x, key_padding_mask):
            return Mask()(x, ~key_padding_mask)

    class Sparse(torch.nn.Module):
        def forward(self, pos, batch):
            sums = pos.new_zeros(int(batch.max()) + 1, 3)
            sums = sums.index_add(0, batch, pos.tanh())
            return sums / batch.bincount()[:, None]

    class Data(torch.nn.Module):
        def forward(self, data):
            assert data.x is None
            return Sparse()(data.pos, data.batch)

    class Pair(torch.nn.Module):
        def forward(self, scale, x):
            return x.tanh().mean(dim=1) * scale

    for kind in (Dense, Lengths, Mask, Padding, Sparse, Data, Pair):
        call = (lambda module, x: module(1.0, x)) if kind is Pair else None
        engine = PointCloudEngine(kind(), call)
        report = measured(engine, points)
        assert not engine.one_by_one
        assert engine.blocks[0].sample_kind == "cloud"
        seen[kind.__name__] = report.equivariance.A[0]
    assert seen["Dense"] > 0.1
    assert list(seen.values()) == pytest.approx([seen["Dense"]] * len(seen), rel=1e-9)


def test_channels_first_is_found_where_the_other_way_fails():
    engine = PointCloudEngine(PointNet(), probes=["local", "mix"])
    structure = engine.prepare(cloud(11))
    kinds = {block.target: block.sample_kind for block in engine.blocks}
    assert kinds == {"class": "cloud", "segments": "point"}
    one = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    values = engine.evaluate(structure, one, engine.blocks, engine.probes)
    shapes = [tuple(part.shape) for part in values.targets.values()]
    assert shapes == [(2, 1, 1, 3), (2, 11, 1, 3)]
    direct = engine.model.local(cloud(11).T[None])[0].T
    assert torch.allclose(values.layers["local"][1], direct)


def test_sizes_tell_points_from_classes():
    classes = PointCloudEngine(Lambda(lambda x: x.mean(1) @ torch.ones(3, 7).double()))
    classes.prepare(cloud(7))
    assert classes.blocks[0].sample_kind == "cloud"
    flat = PointCloudEngine(Lambda(lambda x: x.reshape(-1, 3)[:, :2]))
    flat.prepare(cloud(7))
    flat.prepare(cloud(12))  # of another size
    assert flat.blocks[0].sample_kind == "point"
    first = Lambda(lambda x: x.transpose(0, 1))  # (points, clouds, 3)
    engine = PointCloudEngine(first, outputs={"p": Output(rank=1)})
    assert measured(engine, cloud(5)).equivariance.A[0] < 1e-12


def test_one_cloud_at_a_time_where_a_module_takes_no_more():
    engine = PointCloudEngine(Lambda(lambda x: x[0].tanh()), "dense")
    report = measured(engine, cloud(6))
    assert engine.one_by_one
    batched = measured(PointCloudEngine(Lambda(torch.tanh)), cloud(6))
    assert report.equivariance.A[0] == pytest.approx(batched.equivariance.A[0], rel=1e-9)


def test_copies_that_disturb_each_other_come_alone():
    module = Lambda(lambda x: x.mean(1) - x.mean(dim=(0, 1)) + x.norm(dim=2).sum())
    engine = PointCloudEngine(module)
    assert measured(engine, cloud(6)).equivariance.A[0] < 1e-9
    assert engine.one_by_one


# ---------------------------------------------------------------- layers by hooks


class Tokens(torch.nn.Module):
    """Four groups of points, a token of five features for each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embed = torch.nn.Linear(3, 5).double()
        self.parts = torch.nn.ModuleList([torch.nn.Tanh(), torch.nn.Identity()])
        self.silent = torch.nn.Tanh()

    def forward(self, x):
        tokens = self.embed(x.reshape(len(x), 4, -1, 3).mean(dim=2))
        return self.parts[1](self.parts[0](tokens)).mean(dim=1)


def test_tokens_are_resolved_as_tokens_times_features():
    engine = PointCloudEngine(Tokens(), probes=None)
    structure = engine.prepare(cloud(12))
    assert engine.probes == ["embed", "parts.0", "parts.1"]  # one is never called
    one = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    values = engine.evaluate(structure, one, [], engine.probes)
    assert values.layers["embed"].shape == (3, 4, 5)
    report = measured(engine, cloud(12))
    embed, bias = shares(report, "embed"), engine.model.embed.bias
    middle = cloud(12).reshape(4, 3, 3).mean(1)
    weight = engine.model.embed.weight
    scalar, vector = float(bias.square().sum()), float(
        (weight.square().sum() * middle.square().sum(1).mean()) / 3
    )  # fmt: skip
    total = scalar + vector
    assert embed == pytest.approx({"(0,+)": scalar / total, "(1,+)": vector / total})


def test_a_layer_that_is_called_twice_and_one_that_returns_a_tuple():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = torch.nn.MultiheadAttention(3, 1, batch_first=True).double()

        def forward(self, x):
            for _ in range(2):
                x = self.attend(x, x, x)[0]
            return x.mean(dim=1)

    engine = PointCloudEngine(Twice(), probes=["attend"])
    structure = engine.prepare(cloud(6))
    one = torch.eye(3, dtype=torch.float64)[None]
    assert engine.evaluate(structure, one, [], ["attend"]).layers["attend"].shape == (
        1, 6, 6,
    )  # fmt: skip


# ----------------------------------------------------- random numbers and sampling


def farthest(points, start, count):
    """Indices of points that are far from each other."""
    chosen = [int(start)]
    nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)
    for _ in range(count - 1):
        distance = (points - points[chosen[-1]]).square().sum(1)
        nearest = torch.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


class Sampler(torch.nn.Module):
    """Farthest-point sampling from a random start."""

    def forward(self, x):
        starts = torch.randint(0, x.shape[1], (len(x),))
        return torch.stack([farthest(c, s, 3) for c, s in zip(x, starts, strict=True)])


class Sampled(torch.nn.Module):
    """Mean distance of sampled points from the origin: invariant but for the sampling."""

    def __init__(self):
        super().__init__()
        self.fps = Sampler()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        chosen = self.fps(x)[:, :, None].expand(-1, -1, 3)
        tokens = self.drop(x.gather(1, chosen))
        return tokens.norm(dim=2).mean(dim=1, keepdim=True)


def test_random_numbers_are_the_same_along_an_orbit():
    module = Sampled()
    engine, before = PointCloudEngine(module), torch.get_rng_state()
    report = measured(engine, cloud(12))
    assert engine.draws
    assert engine.one_by_one
    assert report.equivariance.A[0] < 1e-12
    assert report.equivariance["sampling"][0] > 1e-2
    assert torch.equal(torch.get_rng_state(), before)
    assert module.training
    assert module.drop.training


def test_scatter_over_random_numbers():
    points = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], dtype=torch.float64)

    def pick(x):  # one of two distances: the variance is 1/4
        return x[:, torch.randint(0, 2, (1,))].norm(dim=2)

    engine = PointCloudEngine(Lambda(pick), outputs={"d": "cloud"})
    structure = engine.prepare(points)
    found = sampling_noise(engine, structure, engine.blocks, 0, 20, 20)
    assert found[engine.blocks[0]] ** 2 == pytest.approx(0.25, abs=0.02)
    still = PointCloudEngine(Lambda(lambda x: x.norm(dim=2)))
    quiet = sampling_noise(still, still.prepare(points), still.blocks)
    assert np.isnan(quiet[still.blocks[0]])


def test_generators_of_a_module_are_seeded_too():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.of_torch = torch.Generator()
            self.of_numpy = np.random.default_rng(3)

        def forward(self, x):
            first = torch.rand(1, generator=self.of_torch).double()
            return x.norm(dim=2).mean(dim=1) + first + self.of_numpy.normal()

    engine = PointCloudEngine(Own())
    report = measured(engine, cloud(5))
    assert report.equivariance.A[0] < 1e-12
    # variance of a uniform and of a normal number
    found = report.equivariance["sampling"][0] ** 2
    assert 0.3 < found / (1 / 12 + 1) < 3


class Highest(torch.nn.Module):
    """Index of the point with the largest x, which depends on the frame."""

    def forward(self, x):
        return x[:, :, 0].argmax(dim=1)


def highest(x):
    return x[:, :, 0].argmax(dim=1)


class Picks(torch.nn.Module):
    """Distance of the point with the largest x."""

    def __init__(self, function=None):
        super().__init__()
        self.group = torch.nn.Module()
        self.group.pick = Highest()
        self.function = function

    def forward(self, x):
        index = self.group.pick(x) if self.function is None else highest(x)
        return x[torch.arange(len(x)), index].norm(dim=1)


@pytest.mark.parametrize(("function", "freeze"), [(None, "group.pick"), (1, highest)])
def test_sampling_that_depends_on_the_frame_is_frozen(function, freeze):
    loose = measured(PointCloudEngine(Picks(function)), cloud(9))
    engine = PointCloudEngine(Picks(function), freeze=[freeze])
    frozen = measured(engine, cloud(9), cloud(7, seed=1))
    assert loose.equivariance.A[0] > 0.05
    assert frozen.equivariance.A.max() < 1e-12
    assert not engine.one_by_one
    assert highest.__name__ == "highest"  # the function is back in its place


def test_a_number_of_tokens_that_depends_on_the_frame():
    class Voxels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.seen = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, x):
            cells = torch.cat([self.pool(one.round()).unique(dim=0) for one in x])
            return x.norm(dim=2).mean(1) + 0 * self.seen(cells).sum()

    engine = PointCloudEngine(Voxels(), probes=["seen"])
    with pytest.raises(ValueError, match="freeze"):
        measured(engine, cloud(30))


def test_a_layer_that_points_and_tokens_share():
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Linear(3, 5).double()

        def forward(self, x):
            return self.embed(x).mean(1) + self.embed(x[:, :4]).mean(1)

    engine = PointCloudEngine(Shared(), probes=["embed"])
    structure = engine.prepare(cloud(9))
    one = torch.eye(3, dtype=torch.float64)[None]
    values = engine.evaluate(structure, one, [], ["embed"]).layers["embed"]
    assert values.shape == (1, 9 + 4, 5)
    assert torch.allclose(values[:, 9:], values[:, :4], rtol=1e-12)
