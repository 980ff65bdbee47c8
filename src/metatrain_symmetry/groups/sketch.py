r"""A random sketch of the channel axis, for where memory is short.

Each channel is given a random sign and added to one of a few bins. Squared norms of
anything linear in the channels then keep their expectation, since
``E[s_i s_j] = δ_ij``: B from sketched values is unbiased. Several independent sketches
give its standard error.
"""

import torch


class Sketch:
    """Independent random sketches of channels.

    :param channels: number of channels before
    :param width: number of bins of each sketch
    :param replicates: number of independent sketches
    :param seed: of the random signs
    :param device: where the values live
    """

    def __init__(
        self, channels: int, width: int, replicates: int, seed: int, device: torch.device
    ) -> None:
        self.channels = channels
        self.width = width
        self.replicates = replicates
        random = torch.Generator().manual_seed(seed)
        self.blocks = -(-channels // width)
        bits = torch.randint(2, (replicates, self.blocks * width), generator=random)
        bits[:, channels:] = 0
        self.signs = (2 * bits - 1).to(torch.int8).to(device)

    def __call__(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Sketch some values.

        :param values: shape ``(n, channels)``
        :return: for each sketch, shape ``(n, width)``, in the dtype of the values
        """
        padding = self.blocks * self.width - self.channels
        values = torch.nn.functional.pad(values, (0, padding))
        shape = (len(values), self.blocks, self.width)
        return [(values * signs.to(values)).view(shape).sum(dim=1) for signs in self.signs]
