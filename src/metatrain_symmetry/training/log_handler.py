"""The seam: metatrain reports every epoch to its loggers, and so to us.

``metatrain.utils.logging.CustomLogger.data`` calls ``emit_data`` of its handlers, on the
main process only. A handler installed around ``train`` is thus a callback of any
architecture's trainer. Ours comes first: see :mod:`.wandb_sink`.
"""

import logging
from collections.abc import Callable


class EpochHandler(logging.Handler):
    """Calls a function with every epoch that metatrain logs.

    :param epoch_done: takes the number that stands in the log
    """

    def __init__(self, epoch_done: Callable[[int], None]) -> None:
        super().__init__()
        self.epoch_done = epoch_done

    def emit(self, record: logging.LogRecord) -> None:
        """Leave messages to the other handlers.

        :param record: a message
        """

    def emit_data(self, keys: list[str], values: list[str], units: list[str]) -> None:
        """Take the metrics of an epoch.

        :param keys: names
        :param values: as printed
        :param units: as printed
        """
        if "Epoch" in keys:
            self.epoch_done(int(values[keys.index("Epoch")]))
