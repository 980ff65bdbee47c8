"""When to measure: epochs, counted as completed passes over the training set."""

import numpy as np


def epochs_to_measure(
    start: int, last: int, interval: int | None = None, points: int = 24
) -> list[int]:
    """Epochs to measure, beginning and end included.

    :param start: completed epochs when the training starts: 0, more after a restart
    :param last: completed epochs when it ends
    :param interval: every so many epochs; None for logarithmic spacing
    :param points: how many, where the spacing is logarithmic
    :return: completed epochs, ascending
    """
    if last <= start:
        return [start]
    if interval is not None:
        wanted = set(range(0, last + 1, interval))
    else:
        spaced = np.geomspace(1, last, max(2, points - 1)) if last > 1 else [1.0]
        wanted = {round(float(value)) for value in spaced}
    return sorted({start, last} | {epoch for epoch in wanted if start < epoch < last})
