"""Evaluates any torch module on rotated clouds of points."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ..messages import quoted, reason
from .copies import first_weight
from .engine import Block, Prepared, Values, prepared_as
from .function import points_system
from .points import output as outs
from .points.calls import Call, calls_of
from .points.cloud import PointCloud, checked_vectors, columns_of, rotated
from .points.hooks import Frozen, Tape, counting_bytes, module_at, watching
from .points.layout import Layout, Shape, Untold, as_layer, tell
from .points.output import Output
from .points.seeds import seeded
from .sweep import is_out_of_memory


OTHER_SEED = 1_000_003
"""Distance between the seeds of evaluations that are not frozen."""

AGREE = 1e-3
"""Share of the largest value by which two copies of one cloud in a batch may differ."""

TURN = torch.tensor([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3
"""A rotation about (1, 1, 1) in which nothing keeps its place."""

_CHANNELS_FIRST = (
    torch.nn.modules.conv._ConvNd,
    torch.nn.modules.batchnorm._BatchNorm,
    torch.nn.modules.instancenorm._InstanceNorm,
    torch.nn.GroupNorm,
)


@dataclass
class CloudStructure(Prepared):
    """A cloud of points, ready to be rotated.

    :param columns: ``(points, columns)``, float64
    :param starts: first columns of what rotates
    :param tapes: outputs of what is frozen, by the number of copies
    :param samples: number of samples of each layer and output
    """

    columns: torch.Tensor
    starts: tuple[int, ...]
    tapes: dict[int, Tape] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)


@dataclass
class _Seen:
    """What one evaluation has shown."""

    outputs: dict[str, torch.Tensor]
    layers: dict[str, list[torch.Tensor]]
    drawn: bool = False

    def shapes(self) -> dict[str, Shape]:
        found = {f"output {name}": tuple(t.shape) for name, t in self.outputs.items()}
        return found | {
            _call_name(path, place): tuple(one.shape)
            for path, calls in self.layers.items()
            for place, one in enumerate(calls)
        }


class PointCloudEngine:
    """Engine of a torch module that takes clouds of points.

    The first three columns of a cloud are positions and rotate about the origin; the others
    are scalars unless they are said to be vectors. The first cloud that is prepared tells
    which axis of an output counts clouds and which one counts points, and so which blocks
    there are.

    Modules are evaluated in eval mode, with all random numbers seeded anew before every
    evaluation, so that they are the same along an orbit. Where random numbers are drawn, or
    copies in one batch disagree, copies are evaluated one by one.

    :param module: the module; its training mode and its parameters are left as they are
    :param call: how the module is called: a function of module and clouds
        ``(n, points, columns)``; or ``dense``, ``channels first`` (``(n, columns,
        points)``), ``lengths``, ``mask``, ``padding mask`` (the second argument),
        ``sparse`` (``x``, ``pos``, ``batch``), ``data`` (one object with these as
        attributes); None for what the names of its arguments say
    :param probes: paths of submodules; None for the direct children
    :param outputs: what is returned, by name: an :class:`Output`, or its kind; None for
        every tensor of real numbers, as scalars
    :param freeze: paths of submodules, and functions, whose outputs are recorded for the
        cloud as given and replayed for its rotated copies: sampling and grouping
    :param vectors: first columns of further vectors
    :param seed: of the random numbers
    :raises ValueError: if an argument means nothing to the module

    >>> import torch
    >>> from metatrain_symmetry import PointCloudEngine, analyze
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh())
    >>> engine = PointCloudEngine(module, probes=["0"])
    >>> cloud = engine.prepare(torch.rand(50, 3))
    >>> [(block.name, block.sample_kind) for block in engine.blocks]
    [('output', 'point')]
    >>> report = analyze(engine, [cloud], progress=False)
    >>> layer = report.characters.query("probe == '0' and share > 1e-9")
    >>> layer.channel.tolist()
    ['(0,+)', '(1,+)']
    """

    thing = "cloud"
    """How reports call what is measured."""

    def __init__(
        self,
        module: torch.nn.Module,
        call: "Call | str | None" = None,
        probes: Iterable[str] | None = (),
        outputs: Mapping[str, "Output | str | None"] | None = None,
        *,
        freeze: "Iterable[str | Callable[..., Any]] | str | Callable[..., Any]" = (),
        vectors: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise ValueError(f"{quoted(module)} is no module: give a torch.nn.Module")
        module = getattr(module, "_orig_mod", module)  # torch.compile cannot be hooked
        self.model = module
        self.outputs = outs.checked_outputs(outputs)
        self.vectors = checked_vectors(vectors)
        self.seed = seed
        self.bases: Mapping[str, torch.Tensor] = {}
        self._calls = calls_of(module, call)
        self._paths = self._checked_paths(probes)
        self._frozen = Frozen(module, freeze)
        weight = first_weight(module)
        self.dtype = torch.float64 if weight is None else weight.dtype
        self.device = torch.device("cpu") if weight is None else weight.device
        self.one_by_one = False
        self._graph = False  # whether the module differentiates inside
        self.draws = False
        """Whether the module draws random numbers; known once a cloud was prepared."""
        self._layouts: dict[str, Layout] = {}
        self._kinds: dict[str, str] = {}
        self._blocks: list[Block] | None = None
        self._width = 0
        self._bytes = 0.0

    @property
    def blocks(self) -> list[Block]:
        """Irrep blocks of the outputs; known once a cloud was prepared."""
        if self._blocks is None:
            raise ValueError("prepare a cloud first: it tells what the module returns")
        return self._blocks

    @property
    def probes(self) -> list[str]:
        """Paths of layers."""
        return list(self._paths)

    @property
    def at_once(self) -> int:
        """Copies that are evaluated before the budget is looked at."""
        return 16 if self.one_by_one else 2**20

    def _checked_paths(self, probes: Any) -> list[str]:
        """Paths that there are; those of children may turn out to say nothing."""
        self._choose_children = probes is None
        if probes is None:
            return [
                name
                for name, child in _children(self.model)
                if not isinstance(child, torch.jit.ScriptModule)
            ]
        listed = [probes] if isinstance(probes, str) else probes
        try:
            paths = list(dict.fromkeys(listed))
        except TypeError as error:
            raise ValueError(
                f"probes are {quoted(probes)}: give paths of layers, such as ['encoder']"
            ) from error
        for path in paths:
            if not isinstance(path, str):
                raise ValueError(f"probes have {quoted(path)}: give paths of layers")
            if path != "predictions":
                module_at(self.model, path)
        return [path for path in paths if path != "predictions"]

    def prepare(self, system: Any, name: str = "cloud") -> CloudStructure:
        """Take a cloud.

        :param system: a :class:`PointCloud`, or ``(points, 3 + c)``
        :param name: how messages call it
        :raises ValueError: if it is no cloud, or if the module cannot take it
        :return: the cloud
        """
        columns, starts = columns_of(system, self.vectors, name)
        if self._width and columns.shape[1] != self._width:
            raise ValueError(
                f"{name} has {columns.shape[1]} columns, and the first cloud has "
                f"{self._width}: give the same columns for all clouds"
            )
        points = points_system(columns[:, :3], name)
        cloud = CloudStructure(name, points, len(columns), 0, columns, starts)
        if self._blocks is None:
            self._look(cloud)
        self._width = columns.shape[1]
        return cloud

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Estimate from what all layers return for the first cloud.

        :param structure: prepared by this engine
        :param probes: layers that are wanted
        :return: bytes
        """
        return int(4 * self._bytes * structure.n_atoms)

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate rotated clouds.

        :param structure: prepared by this engine
        :param matrices: ``(n, 3, 3)``
        :param blocks: of :attr:`blocks`
        :param probes: of :attr:`probes`
        :raises ValueError: if the module fails, or if the number of points or tokens
            depends on the orientation
        :return: what the module says
        """
        cloud = prepared_as(structure, CloudStructure)
        matrices = matrices.detach().cpu().to(torch.float64)
        size = 1 if self.one_by_one else max(len(matrices), 1)
        parts = []
        for some in matrices.split(size):
            copies = rotated(cloud.columns, cloud.starts, some)
            seen = self._guarded(cloud, copies, probes)
            parts.append(self._values(cloud, seen, len(some), blocks, probes))
        return Values(
            {b: torch.cat([part.targets[b] for part in parts]) for b in blocks},
            {p: torch.cat([part.layers[p] for part in parts]) for p in probes},
        )

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Evaluate the cloud as it is.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        one = torch.eye(3, dtype=torch.float64)[None]
        values = self.evaluate(structure, one, self.blocks, [])
        return {block: part[0] for block, part in values.targets.items()}

    def resampled(
        self, structure: Prepared, matrix: torch.Tensor, seed: int
    ) -> dict[Block, torch.Tensor]:
        """Evaluate one orientation with other random numbers, and with nothing frozen.

        :param structure: prepared by this engine
        :param matrix: ``(3, 3)``
        :param seed: which other random numbers
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        cloud = prepared_as(structure, CloudStructure)
        copies = rotated(cloud.columns, cloud.starts, matrix[None].to(torch.float64))
        other = self.seed + OTHER_SEED * (seed + 1)
        seen = self._run(copies, [], seed=other)
        values = self._values(cloud, seen, 1, self.blocks, [])
        return {block: part[0] for block, part in values.targets.items()}

    def _guarded(
        self, cloud: CloudStructure, copies: torch.Tensor, probes: list[str]
    ) -> _Seen:
        """Evaluate copies, with what is frozen replayed."""
        n = len(copies)
        try:
            if self._frozen and n not in cloud.tapes:
                same = cloud.columns.expand(n, *cloud.columns.shape)
                with self._frozen.recording() as tape:
                    self._run(same, [])
                cloud.tapes[n] = tape
            if not self._frozen:
                return self._run(copies, probes)
            with self._frozen.replaying(cloud.tapes[n]):
                return self._run(copies, probes)
        except ValueError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"{cloud.name}: {type(self.model).__name__} fails on a rotated copy "
                f"({reason(error)}): leave the cloud out, or name in freeze what depends "
                "on the orientation"
            ) from error

    def _run(
        self,
        copies: torch.Tensor,
        probes: Iterable[str],
        seed: int | None = None,
        notice: bool = False,
    ) -> _Seen:
        """Evaluate copies ``(n, points, columns)`` with the seeds as always."""
        # a copy, in which the module may compute in place
        module, clouds = self.model, copies.to(self.device, self.dtype, copy=True)
        seed = self.seed if seed is None else seed
        with (
            torch.set_grad_enabled(self._graph), _evaluating(module),
            watching(module, probes) as layers,
            seeded(module, seed, notice=notice) as use,
        ):  # fmt: skip
            value = self._calls[0](module, clouds)
        return _Seen(outs.returned(value, self.outputs), layers, use.drawn)

    def _values(
        self,
        cloud: CloudStructure,
        seen: _Seen,
        n: int,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Irrep blocks and layers of ``n`` copies."""
        found: dict[Block, torch.Tensor] = {}
        wanted, points = {block.target for block in blocks}, cloud.n_atoms
        for name, tensor in seen.outputs.items():
            if wanted.isdisjoint((name, outs.probabilities(name))):
                continue
            kind, layout = self._kinds[name], self._layouts[f"output {name}"]
            try:
                values = outs.as_samples(tensor, layout, kind, n, points)
            except Untold as error:
                raise _varies(cloud, f"output '{name}'", error) from error
            self._count(cloud, f"output '{name}'", values)
            found |= outs.blocks_of(name, self._output(name), kind, values)
        for name in {block.target for block in blocks} - {b.target for b in found}:
            seen_here = Untold("is returned in some orientations only")
            raise _varies(cloud, f"output '{name}'", seen_here)
        layers = {path: self._layer(cloud, path, seen.layers[path], n) for path in probes}
        return Values({block: found[block] for block in blocks}, layers)

    def _layer(
        self, cloud: CloudStructure, path: str, calls: list[torch.Tensor], n: int
    ) -> torch.Tensor:
        """``(n, samples, channels)`` of a layer, calls beside each other."""
        first = module_at(self.model, path)
        swapped = isinstance(first, _CHANNELS_FIRST)
        try:
            parts = [
                as_layer(one, self._layout(path, place), n, swapped)
                for place, one in enumerate(calls)
            ]
        except Untold as error:
            raise _varies(cloud, f"layer '{path}'", error) from error
        # the same samples again, or others with the same channels
        again = len({part.shape[1] for part in parts}) == 1
        if not again and len({part.shape[2] for part in parts}) > 1:
            raise ValueError(
                f"layer '{path}' is called {len(parts)} times, each time with another "
                "number of samples and channels: take a layer before or after it"
            )
        values = torch.cat(parts, dim=-1 if again else 1)
        self._count(cloud, f"layer '{path}'", values)
        return values

    def _layout(self, path: str, place: int) -> Layout:
        """Layout of one call of a layer."""
        found = self._layouts.get(_call_name(path, place))
        if found is None:
            raise Untold("is called more often in some orientations than in others")
        return found

    def _count(self, cloud: CloudStructure, what: str, values: torch.Tensor) -> None:
        """Refuse what has another number of samples or channels than before."""
        for kind, number in zip(("rows", "channels"), values.shape[1:3], strict=False):
            before = cloud.samples.setdefault(f"{what} {kind}", number)
            if before != number:
                seen = Untold(f"has {before} {kind} in one orientation and {number} here")
                raise _varies(cloud, what, seen)

    def _output(self, name: str) -> Output:
        return Output() if self.outputs is None else self.outputs[name]

    # ------------------------------------------------------------- the first cloud

    def _look(self, cloud: CloudStructure) -> None:
        """Find out from one cloud what the axes are, and whether copies share a batch."""
        columns = cloud.columns
        one = self._first(cloud)
        two = self._attempt(torch.stack([columns, columns]))
        if two is not None and (_other_names(one, two) or _same_sizes(one, two)):
            two = None  # it looks at one cloud only, or at all of them together
        more = self._attempt(torch.cat([columns, columns[-1:]])[None])
        self.draws = one.drawn
        self.one_by_one = one.drawn or two is None
        shapes = [None if seen is None else seen.shapes() for seen in (one, two, more)]
        assert shapes[0] is not None
        for name, shape in shapes[0].items():
            others = [None if s is None else s.get(name) for s in shapes[1:]]
            self._tell(cloud, name, shape, *others)
        self._paths = [
            path
            for path in self._paths
            if not one.layers[path]
            or all(
                _call_name(path, i) in self._layouts for i in range(len(one.layers[path]))
            )
        ]
        for name, tensor in one.outputs.items():
            layout = self._layouts[f"output {name}"]
            rows = tensor.shape[layout.batch] if layout.batch is not None else 1
            self._kinds[name] = outs.told_kind(
                name, self._output(name), layout, rows, cloud.n_atoms
            )
        self._find_blocks(cloud, one)
        if two is not None and not self.one_by_one:
            self.one_by_one = not (self._agree([one, one], two) and self._apart(cloud))

    def _first(self, cloud: CloudStructure) -> _Seen:
        """Evaluate the first cloud as it is given, the way that works."""
        first: Exception | None = None
        calls = self._likely(cloud)
        for call in calls:
            self._calls = [call]
            try:
                with counting_bytes(self.model) as sizes:
                    seen = self._run(cloud.columns[None], self._paths, notice=True)
            except Exception as error:
                if not self._graph and "does not require grad" in str(error):
                    self._graph = True
                    return self._first(cloud)
                first = first or error
                continue
            self._bytes = (sum(sizes) + 8 * cloud.columns.numel()) / cloud.n_atoms
            return seen
        assert first is not None
        if first_weight(self.model) is None and self.dtype == torch.float64:
            return self._in_float32(cloud, first, calls)
        raise self._refusal(cloud, first) from first

    def _in_float32(
        self, cloud: CloudStructure, first: Exception, calls: list[Call]
    ) -> _Seen:
        """Try again with what a module without weights may expect, or fail as before."""
        self.dtype, self._calls = torch.float32, calls
        try:
            return self._first(cloud)
        except ValueError:
            self.dtype = torch.float64
            raise self._refusal(cloud, first) from first

    def _refusal(self, cloud: CloudStructure, first: Exception) -> ValueError:
        """Sentence for a module that fails on the first cloud."""
        if isinstance(first, ValueError) and _is_ours(first):
            return first
        return ValueError(
            f"{cloud.name}: {type(self.model).__name__} cannot be evaluated on "
            f"{cloud.n_atoms} points with {cloud.columns.shape[1]} columns "
            f"({reason(first)}): give the columns that it takes, or say how it is called "
            "with call="
        )

    def _likely(self, cloud: CloudStructure) -> list[Call]:
        """Ways to call the module, those first that also take a cloud of another size.

        A cloud with as many points as columns fits both ways round.
        """
        columns, calls = cloud.columns, list(self._calls)
        if len(columns) != columns.shape[1] or len(calls) < 2:
            return calls
        longer = torch.cat([columns, columns[-1:]])[None]

        def fails(call: Call) -> bool:
            self._calls = [call]
            return self._attempt(longer) is None

        return sorted(calls, key=fails)

    def _attempt(self, copies: torch.Tensor) -> _Seen | None:
        """Evaluate something that the module may not be able to take."""
        try:
            return self._run(copies, self._paths)
        except Exception:
            return None

    def _tell(
        self, cloud: CloudStructure, name: str, one: Shape, two: Any, more: Any
    ) -> None:
        """Layout of one output or layer."""
        kind, _, rest = name.partition(" ")
        rest = rest if kind == "output" else rest.rpartition(", call ")[0]
        if kind == "output" and self._output(rest).kind == "cloud":
            more = one  # no axis counts points
        try:
            found = tell(cloud.n_atoms, one, two, more)
            if kind == "output" and more is None and self._output(rest).kind is None:
                outs.check_told(rest, found, one)
            self._layouts[name] = found
        except Untold as error:
            if kind == "output":
                raise outs.untold(rest, error) from error
            if not self._choose_children:
                raise ValueError(
                    f"layer '{rest}' {error}: take a layer before or after it"
                ) from error

    def _find_blocks(self, cloud: CloudStructure, one: _Seen) -> None:
        """Blocks, and layers of which something was seen."""
        for path in [path for path in self._paths if not one.layers[path]]:
            if not self._choose_children:
                raise ValueError(
                    f"layer '{path}' is never called, or returns no real numbers: take a "
                    "layer before or after it"
                )
            self._paths.remove(path)
        blocks: list[Block] = []
        for name, tensor in one.outputs.items():
            kind, layout = self._kinds[name], self._layouts[f"output {name}"]
            try:
                values = outs.as_samples(tensor, layout, kind, 1, cloud.n_atoms)
            except Untold as error:
                raise outs.untold(name, error) from error
            blocks += outs.blocks_of(name, self._output(name), kind, values)
        self._blocks = blocks

    def _apart(self, cloud: CloudStructure) -> bool:
        """Whether copies in two orientations say what each says alone.

        Copies in one orientation do not tell: statistics of a batch are theirs too.
        """
        both = rotated(
            cloud.columns, cloud.starts, torch.stack([torch.eye(3), TURN]).double()
        )
        try:
            alone = [self._guarded(cloud, copy, []) for copy in both.split(1)]
            return self._agree(alone, self._guarded(cloud, both, []))
        except (ValueError, Untold):
            return False

    def _agree(self, alone: Sequence[_Seen], two: _Seen) -> bool:
        """Whether two copies of a cloud in one batch say what each says alone."""
        for name, both in two.outputs.items():
            layout = self._layouts[f"output {name}"]
            parts = [layout.split(one.outputs[name], 1) for one in alone]
            apart = torch.cat(parts).to(torch.float64)
            distance = layout.split(both, 2).to(torch.float64) - apart
            if float(distance.abs().max()) > AGREE * float(apart.abs().max()):
                return False
        return True


def _call_name(path: str, place: int) -> str:
    """Name of one call of a layer, among the layouts."""
    return f"layer {path}, call {place}"


def _children(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Direct children; of lists, which are never called, their entries."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ModuleList):
            yield from ((f"{name}.{i}", part) for i, part in enumerate(child))
        else:
            yield name, child


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode for a while."""
    before = [(part, part.training) for part in module.modules()]
    compiled = [
        (part, part._compiled_call_impl)
        for part in module.modules()
        if getattr(part, "_compiled_call_impl", None) is not None
    ]
    fast = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    try:
        # neither calls layers one by one, as hooks need
        torch.backends.mha.set_fastpath_enabled(False)
        for part, _ in compiled:
            part._compiled_call_impl = None
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, implementation in compiled:
            part._compiled_call_impl = implementation
        for part, training in before:
            part.training = training


def _other_names(one: _Seen, two: _Seen) -> bool:
    """Whether there are other outputs for two clouds, such as one for each."""
    return one.outputs.keys() != two.outputs.keys()


def _same_sizes(one: _Seen, two: _Seen) -> bool:
    """Whether all outputs for two clouds have the sizes of those for one."""
    return all(one.outputs[name].shape == t.shape for name, t in two.outputs.items())


def _is_ours(error: ValueError) -> bool:
    """Whether a sentence was written here, rather than by the module."""
    return str(error).startswith(("the module returns", "'"))


def _varies(cloud: CloudStructure, what: str, error: Untold) -> ValueError:
    """Sentence for sizes that depend on the orientation."""
    return ValueError(
        f"{cloud.name}: {what} {error}, so that its samples cannot be compared: name in "
        "freeze what samples or groups the points"
    )


__all__ = ["CloudStructure", "Output", "PointCloud", "PointCloudEngine"]
