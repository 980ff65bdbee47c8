"""When to measure: epochs, counted as completed passes over the training set."""

LEAST = 12
"""Epochs of a training that are due in any case, if it has as many."""


def epochs_to_measure(
    start: int, last: int, interval: int | None = None, points: int = 24
) -> list[int]:
    """Epochs to measure, beginning and end included.

    :param start: completed epochs when the training starts: 0, more after a restart
    :param last: completed epochs when it ends
    :param interval: every how many epochs; None for logarithmic spacing
    :param points: how many, where the spacing is logarithmic
    :return: completed epochs, ascending
    """
    if last <= start:
        return [start]
    if interval is not None:
        wanted = list(range(0, last + 1, interval))
    else:
        wanted = _spaced(1, last, points - 1)
        # what a continued training has left of them may be few
        least = min(LEAST, points - 1, last - start)
        if sum(epoch > start for epoch in wanted) < least:
            wanted = _spaced(start + 1, last, least)
    return sorted({start, last} | {epoch for epoch in wanted if start < epoch < last})


def _spaced(first: int, last: int, count: int) -> list[int]:
    """Whole numbers, spaced by about the same ratio, each once.

    :return: ``count`` of them, or all from first to last if there are fewer
    """
    found, value = [first], float(first)
    while found[-1] < last:
        ratio = (last / value) ** (1 / max(1, count - len(found)))
        value = max(found[-1] + 1.0, value * ratio)
        found.append(min(last, round(value)))
    return found
