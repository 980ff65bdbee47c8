"""The published PoLAr-MAE as a module that can be watched, for whoever has its code.

``polarmae.models.finetune.SemanticSegmentation`` (github.com/DeepLearnPhysics/PoLAr-MAE)
is called with points and lengths and answers with a dictionary. Three things stand in the
way of rotating it: the farthest points begin at a random point at each call, the tokens of
all clouds come out of the mini-PointNet in one row, and the segmentation head has channels
before points. :class:`PolarSegmenter` evaluates one copy at a time from the same state of
torch's random numbers, and shows what its parts say under paths of its own::

    model = PolarSegmenter(SemanticSegmentation.load_from_checkpoint("segmentation.ckpt"))
    symmetry_report(model, clouds, probes=[*model.taps.paths()], ...)

Neither the published code nor its weights are part of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


PARTS = {
    "position": "encoder.pos_embed",
    "tokens": "encoder.tokenizer.embedding",
    "blocks": "encoder.transformer.blocks",
    "upsampler": "upsampler",
    "head": "seg_head",
}
"""Where the parts are in the published module."""


class Taps(nn.Module):
    """Places to watch: what is put into one of them comes out again.

    :param depth: number of transformer blocks
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.position = nn.Identity()
        self.tokens = nn.Identity()
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(depth))
        self.upsampler = nn.Identity()
        self.head = nn.Identity()

    def paths(self) -> Iterator[str]:
        """Paths for ``probes``, along the flow of data."""
        for path, module in self.named_modules():
            if isinstance(module, nn.Identity):
                yield f"taps.{path}"


class PolarSegmenter(nn.Module):
    """Class probabilities of points by a published segmentation model.

    :param model: ``SemanticSegmentation`` of PoLAr-MAE, or a module with the same parts
    :param seed: of torch's random numbers at each copy: the same tokens along an orbit
    :raises ValueError: if a part is not there
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        self.parts = _parts(model)
        self.taps = Taps(sum(path.startswith("blocks.") for path in self.parts))

    def forward(
        self, points: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Probabilities of the classes.

        :param points: ``(B, N, 4)``, centred and scaled as the model wants them
        :param lengths: how many points each cloud has ``(B,)``, None for N
        :raises ValueError: if copies have different numbers of tokens
        :return: ``(B, N, classes)``
        """
        if lengths is None:
            lengths = torch.full(points.shape[:1], points.shape[1], device=points.device)
        answers, seen = [], []
        for one, length in zip(points, lengths, strict=True):
            with self._recorded() as values:
                answer = self.model(one[None], length[None])
            answers.append(answer["x"][0].softmax(dim=-1))
            seen.append(values)
        for path in self.parts:
            self.taps.get_submodule(path)(_stacked([one[path] for one in seen], path))
        return torch.stack(answers)

    @contextmanager
    def _recorded(self) -> Iterator[dict[str, torch.Tensor]]:
        """Values of the parts during one call, from the same random numbers."""
        values: dict[str, torch.Tensor] = {}
        handles = [
            module.register_forward_hook(
                lambda _, __, out, path=path: values.update({path: _rows(out, path)})
            )
            for path, module in self.parts.items()
        ]
        try:
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                yield values
        finally:
            for handle in handles:
                handle.remove()


def _parts(model: nn.Module) -> dict[str, nn.Module]:
    """Modules by the path of their tap, along the flow of data."""
    found: dict[str, nn.Module] = {}
    for name, path in PARTS.items():
        try:
            module = model.get_submodule(path)
        except AttributeError:
            raise ValueError(
                f"the model has no '{path}': give PoLAr-MAE's SemanticSegmentation"
            ) from None
        if name == "blocks":
            found |= {f"blocks.{i}": block for i, block in enumerate(module.children())}
        else:
            found[name] = module
    return found


def _rows(out: object, path: str) -> torch.Tensor:
    """Samples and channels of one copy ``(samples, channels)``."""
    value = out[0] if isinstance(out, tuple) else out
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"'{path}' returns a {type(value).__name__}, not a tensor")
    # tokens come in one row; everything else has an axis for the clouds
    value = value if value.ndim == 2 else value[0]
    return value.T if path == "head" else value


def _stacked(values: list[torch.Tensor], path: str) -> torch.Tensor:
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        raise ValueError(
            f"'{path}' has other shapes on rotated copies ({sorted(shapes)}): take groups "
            "without overlap, whose number does not depend on rounding"
        )
    return torch.stack(values)
