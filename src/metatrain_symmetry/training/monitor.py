"""Watches a training from the outside: any trainer of metatrain, a few lines of YAML.

Use it around ``train``::

    with Monitor(model, val_datasets, checkpoint_dir, start, last, {"probes": ["EE"]}):
        super().train(model, dtype, devices, train_datasets, val_datasets, checkpoint_dir)

The model in training is only ever read: measurements are made on a copy.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import torch
from metatrain.utils.distributed.logging import is_main_process
from metatrain.utils.logging import ROOT_LOGGER

from .isolation import undisturbed
from .log_handler import EpochHandler
from .options import complete
from .watch import Watch


class Monitor(AbstractContextManager["Monitor"]):
    """Measures the symmetry of a model while it is trained.

    Does nothing where the options are None, and on other processes than the main one.

    :param model: the model; what its first forward pass sees is measured as epoch 0
    :param val_datasets: validation sets as given to the trainer
    :param checkpoint_dir: folder of the run
    :param start: epochs completed before: 0 unless a training is continued
    :param last: epochs completed at the end
    :param options: some of :class:`~metatrain_symmetry.training.options.SymmetryHypers`;
        None for no watching
    :raises ValueError: if an option is unknown or out of range; on entering, if one asks
        for layers or structures that are not there: nothing has been trained by then

    >>> from metatrain.pet import Trainer
    >>> from metatrain_symmetry import Monitor
    >>> class WatchedTrainer(Trainer):
    ...     def train(self, model, dtype, devices, train_set, val_set, checkpoint_dir):
    ...         start = 0 if self.epoch is None else self.epoch + 1
    ...         last = self.hypers["num_epochs"]
    ...         options = {"probes": ["EE", "BBF"]}
    ...         with Monitor(model, val_set, checkpoint_dir, start, last, options):
    ...             super().train(
    ...                 model, dtype, devices, train_set, val_set, checkpoint_dir
    ...             )
    """

    def __init__(
        self,
        model: torch.nn.Module,
        val_datasets: Sequence[Any],
        checkpoint_dir: str | Path,
        start: int,
        last: int,
        options: Mapping[str, object] | None = MappingProxyType({}),
    ) -> None:
        self.options, self.model = complete(options), model
        self.val_datasets, self.start, self.last = val_datasets, start, last
        self.checkpoint_dir = Path(checkpoint_dir)
        self.watch: Watch | None = None
        self.handler = EpochHandler(self._epoch_done)
        self.hook: Any = None
        self.reported: set[str] = set()

    def __enter__(self) -> "Monitor":
        if self.options is not None and is_main_process():
            try:
                self._guard(self._open, passing=(ValueError,))
            except ValueError as error:
                self._leave()
                text = " ".join(str(error).split())
                if text.startswith("training.symmetry"):
                    raise
                raise ValueError(f"training.symmetry: {text}") from error
        return self

    def _open(self) -> None:
        assert self.options is not None
        self.watch = Watch.open(
            self.options,
            self.model,
            self.val_datasets,
            self.checkpoint_dir,
            self.start,
            self.last,
        )
        # composition and scales are fitted by then, and no step has been made
        self.hook = self.model.register_forward_pre_hook(self._first_forward)
        ROOT_LOGGER.handlers.insert(0, self.handler)

    def _first_forward(self, module: torch.nn.Module, inputs: Any) -> None:
        if module.training:  # not for evaluations that a trainer makes before
            self._unhook()
            self._guard(self._begin)

    def _begin(self) -> None:
        if self.watch is not None:
            self.watch.begin()

    def _epoch_done(self, epoch: int) -> None:
        watch = self.watch
        if watch is not None:
            self._guard(lambda: watch.epoch_done(epoch))

    def _guard(
        self,
        action: Callable[[], None],
        passing: tuple[type[Exception], ...] = (),
        counted: bool = True,
    ) -> None:
        """Run something such that the training does not notice.

        :param action: what to run
        :param passing: errors that the training is to notice: wrong options
        :param counted: whether its time counts as that of measurements
        """
        assert self.options is not None
        budget = self.watch.budget.spending() if self.watch and counted else nullcontext()
        try:
            with budget, undisturbed():
                action()
        except passing:
            raise
        except Exception as error:
            if self.options["on_error"] == "raise":
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            if reason not in self.reported:
                self.reported.add(reason)
                logging.warning(f"Symmetry is not measured this time: {reason}")
                logging.debug("Where it happened:", exc_info=error)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        watch, finished = self.watch, kind is None
        if watch is not None:
            try:
                self._guard(lambda: watch.close(finished))
            finally:
                self._guard(lambda: watch.finish(finished), counted=False)

    def _leave(self) -> None:
        """Take everything off metatrain that was put there."""
        self._unhook()
        if self.handler in ROOT_LOGGER.handlers:
            ROOT_LOGGER.handlers.remove(self.handler)

    def _unhook(self) -> None:
        if self.hook is not None:
            self.hook.remove()
            self.hook = None
