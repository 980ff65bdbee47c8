"""Forces and stresses of energies: what a new energy readout must not spoil.

The closed form knows of energies only. Where a model was trained on gradients, their errors
and equivariance errors are watched: on the first validation structures and on few random
rotations, always the same, since each candidate needs another evaluation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from metatrain.pet import PET
from scipy.spatial.transform import Rotation

from ..data.labelled import LabelledStructure, labelled
from ..data.splits import StructureSet
from ..groups import representation
from ..models import PETEngine, open_engine
from ..models.live_or_exported import length_unit
from .choose import Candidate
from .problems import Problem
from .weights import add_to_readout, readout


# structures that are kept, and rotations: errors are compared, not known exactly
MOST = 50
ROTATIONS = 6


@contextmanager
def replaced(
    model: PET, problems: list[Problem], readouts: list[torch.Tensor]
) -> Iterator[None]:
    """Give a model other readouts for a while.

    :param model: PET, or what inherits from it
    :param problems: of this model
    :param readouts: of each ``(P, d K)``
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        for problem, w in zip(problems, readouts, strict=True):
            add_to_readout(model, problem, w - readout(model, problem))
        yield
    finally:
        model.load_state_dict(state)


class Gradients:
    """Errors of the gradients of one energy target; see :meth:`of`.

    :param engine: of the model
    :param subjects: structures with labels of the gradients
    """

    def __init__(self, engine: PETEngine, subjects: list[LabelledStructure]) -> None:
        self.engine, self.subjects = engine, subjects
        self.matrices = torch.from_numpy(Rotation.random(ROTATIONS, rng=0).as_matrix())
        self.matrices[::2] *= -1

    @classmethod
    def of(cls, model: PET, target: str, source: StructureSet) -> "Gradients":
        """Find structures with labels.

        :param model: PET, or what inherits from it
        :param target: name of the energy
        :param source: the validation set
        :return: without structures where there are no labels
        """
        device = next(model.backend.parameters()).device
        engine = open_engine(model, [target], device=device)
        assert isinstance(engine, PETEngine)
        blocks = list(engine.generic.gradient_kinds)
        subjects = []
        for index in range(min(len(source), MOST) if blocks else 0):
            given = source.read(index, length_unit(model))
            truth = given.targets(blocks)
            truth = {b: v for b, v in truth.items() if v.isfinite().all()}
            if truth:
                prepared = engine.prepare(given.system, given.name)
                subjects.append(labelled(engine, prepared, truth))
        return cls(engine, subjects)

    @property
    def known(self) -> bool:
        """Whether there are gradients with labels."""
        return bool(self.subjects)

    @cached_property
    def trained(self) -> dict[str, float]:
        """Errors of the trained model."""
        return self._mean_squares()

    def _mean_squares(self) -> dict[str, float]:
        """Sums of squared errors and equivariance errors of forces and of stress."""
        sums: dict[str, float] = {}
        for item in self.subjects:
            blocks = list(item.bare_targets)
            values = self.engine.evaluate(item.structure, self.matrices, blocks, [])
            for block, part in values.targets.items():
                rho = representation(block.irrep, self.matrices)
                back = torch.einsum("gmn,gsmp->gsnp", rho, part.cpu().double())
                error = (back - item.bare_targets[block]).square().mean(0).sum()
                for kind, found in (("error", error), ("A", back.var(0).sum())):
                    name = f"{kind} of {block.target}"
                    sums[name] = sums.get(name, 0.0) + float(found)
        return sums

    def ratio(self, problems: list[Problem], candidate: Candidate) -> float:
        """Errors and equivariance errors of a candidate over those of the trained model.

        :param problems: of the target
        :param candidate: with a readout for each
        :return: the largest of those of forces and stress; NaN without labels
        """
        if not self.known:
            return float("nan")
        trained = self.trained
        with replaced(self.engine.model, problems, candidate.readouts):
            found = self._mean_squares()
        ratios = [(found[name] / max(trained[name], 1e-300)) ** 0.5 for name in found]
        return max(ratios)
