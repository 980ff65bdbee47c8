"""What can be done about an output block, with the command for it."""

import math
from dataclasses import dataclass

from ..groups import Irrep


MEASURED = "in its benchmark, A of unseen structures fell by factors of 1.4 to 3.5"
"""What fine-tuning has brought in ``benchmarks/polish.py``."""


@dataclass(frozen=True)
class ModelFacts:
    """What advice depends on.

    :param architecture: its name, such as ``pet``, empty if unknown
    :param l_max: largest degree of the geometry embedding, 1 for plain PET; None if
        unknown
    :param checkpoint: whether there are weights to train, not only an exported model
    :param path: of the model, as it stands in commands
    :param calculator: whether it is a calculator of ASE
    :param clouds: whether it is a module of point clouds
    """

    architecture: str = ""
    l_max: int | None = None
    checkpoint: bool = True
    path: str = "MODEL.ckpt"
    calculator: bool = False
    clouds: bool = False

    @property
    def pet(self) -> bool:
        """Whether it is a PET, whose readouts and embedding we know."""
        return self.architecture in ("pet", "pet_ssh")


def for_asymmetry(facts: ModelFacts) -> str:
    """Remedies for a prediction that is learned, but asymmetric.

    Named is only what has been measured: the gain of averaging stands in the sentence
    before, that of fine-tuning comes with a guard and from ``benchmarks/polish.py``.

    :param facts: of the model
    :return: a sentence
    """
    if facts.clouds:
        return (
            "Average predictions over rotated copies of a cloud, at the cost of as many "
            "evaluations, or train with random rotations."
        )
    how = f"mtt symmetrize {facts.path} -o averaged.pt"
    if facts.calculator:
        how = "Python: metatrain_symmetry.SymmetrizedCalculator"
    average = (
        "average over orientations at inference, at the cost of as many evaluations "
        f"({how})"
    )
    if not (facts.checkpoint and facts.pet):
        return f"{average[0].upper()}{average[1:]}."
    command = (
        f"mtt purify {facts.path} OPTIONS.yaml -r purify.method=full -o symmetric.ckpt"
    )
    return (
        f"Fine-tune it to symmetry ({command}): {MEASURED}, and held-out errors decide how "
        f"far it goes. Or {average}."
    )


def for_missing(irrep: Irrep, facts: ModelFacts) -> str:
    """Remedies for an irrep that was not learned.

    :param irrep: of the target
    :param facts: of the model
    :return: a sentence
    """
    if facts.clouds:
        return "Train longer, or with a larger weight of this output in the loss."
    if not facts.checkpoint:
        return "Analyse the checkpoint to see whether any layer holds the irrep."
    if facts.pet and irrep.o3_sigma == -1:
        return (
            "Pseudotensors form in the transformer, not in the geometry embedding, and "
            f"their onset is sudden: train longer ({_train(facts)}), or with more GNN or "
            "attention layers."
        )
    needed = math.ceil(irrep.o3_lambda / 2)
    if facts.pet and needed > (facts.l_max or 1):
        change = f"geometry_embedding.l_max: {needed}"
        if facts.architecture == "pet":
            change = f"architecture.name: pet_ssh and {change}"
        return (
            f"The geometry embedding ends at l_max = {facts.l_max or 1}; half of the "
            f"target's λ has been enough to learn it: train with {change}."
        )
    reached = ""
    if facts.l_max is not None and facts.l_max > 1 and irrep.o3_lambda > 1:
        reached = f"The geometry embedding goes up to l_max = {facts.l_max} already. "
    return f"{reached}Train longer ({_train(facts)}), or raise the target's loss weight."


def _train(facts: ModelFacts) -> str:
    return f"mtt train OPTIONS.yaml --restart {facts.path}, with a larger num_epochs"
