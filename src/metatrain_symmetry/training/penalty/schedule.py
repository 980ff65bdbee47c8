"""What holds in which epoch: copies of each structure, weight of the penalty."""

from dataclasses import dataclass, field

from .options import PenaltyHypers


@dataclass
class Schedule:
    """The penalty along a training.

    :param options: of the penalty
    :param num_epochs: of the whole training
    :param epoch: the current one, from 0
    :param emphasis: factors by which labels count more than the training's loss says, by
        the term of metatrain's loss, such as ``energy`` and ``energy_grad_positions``; 1
        where there is none
    """

    options: PenaltyHypers
    num_epochs: int
    epoch: int
    emphasis: dict[str, float] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """First epoch with copies, at the latest the last one."""
        return min(round(self.options["start"] * self.num_epochs), self.num_epochs - 1)

    @property
    def copies(self) -> int:
        """Orientations of each structure in a batch of the current epoch."""
        return self.options["copies"] if self.epoch >= self.first else 1

    @property
    def weight(self) -> float:
        """Weight of the penalty in the current epoch, never zero once there are copies."""
        if self.epoch < self.first:
            return 0.0
        share = (self.epoch - self.first + 1) / self._length
        return self.options["weight"] * min(1.0, share)

    def describe(self) -> str:
        """Say in one line what will happen."""
        options = self.options
        full = self.first + self._length - 1
        when = f"from epoch {self.first} on, in full from epoch {full} on"
        when = when if full else "in every epoch"
        return (
            f"Symmetry penalty: weight {options['weight']:g}, {options['copies']} copies "
            f"of each structure in a batch, {when}, as many evaluations as without it"
        )

    @property
    def _length(self) -> int:
        """Epochs until the weight is full, which it is in the last one."""
        wanted = round(self.options["ramp"] * self.num_epochs)
        return max(1, min(wanted, self.num_epochs - self.first))
