"""What can be done about an output block, with the command for it."""

import math
from dataclasses import dataclass

from ..groups import Irrep
from ..models.irrep_blocks import base_name, gradient_names


@dataclass(frozen=True)
class ModelFacts:
    """What advice depends on.

    :param architecture: its name, such as ``pet``, empty if unknown
    :param l_max: largest degree of the geometry embedding, 1 for plain PET; None if
        unknown
    :param checkpoint: whether there are weights to train, not only an exported model
    :param path: of the model, as it stands in commands
    """

    architecture: str = ""
    l_max: int | None = None
    checkpoint: bool = True
    path: str = "MODEL.ckpt"

    @property
    def pet(self) -> bool:
        """Whether it is a PET, whose readouts and embedding we know."""
        return self.architecture in ("pet", "pet_ssh")


def for_asymmetry(target: str, facts: ModelFacts) -> str:
    """Remedies for a prediction that is learned, but asymmetric.

    :param target: its name
    :param facts: of the model
    :return: a sentence
    """
    remedies = []
    if facts.checkpoint:
        remedies.append(f"train longer with rotational augmentation ({_train(facts)})")
    if facts.checkpoint and facts.pet and not is_gradient(target):
        remedies.append(
            "solve for a more symmetric readout in minutes, for a gain of usually a few "
            f"per cent of A (mtt purify {facts.path} OPTIONS.yaml -o purified.ckpt)"
        )
    remedies.append(
        "average over orientations at inference "
        "(Python: metatomic.torch.o3.SymmetrizedModel)"
    )
    *others, last = remedies
    text = ", or ".join([", ".join(others), last]) if others else last
    return text[0].upper() + text[1:] + "."


def for_missing(irrep: Irrep, facts: ModelFacts) -> str:
    """Remedies for an irrep that was not learned.

    :param irrep: of the target
    :param facts: of the model
    :return: a sentence
    """
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


def is_gradient(target: str) -> bool:
    """Whether a target is a gradient of an energy, which has no readout of its own.

    :param target: its name
    :return: true for conservative forces and stresses
    """
    return base_name(target) in gradient_names("energy").values()


def _train(facts: ModelFacts) -> str:
    return f"mtt train OPTIONS.yaml --restart {facts.path}, with a larger num_epochs"
