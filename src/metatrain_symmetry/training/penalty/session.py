"""Put the penalty into metatrain's trainer of PET, for the time of one training.

Its ``train`` builds augmentation, batches and loss from names of its module, so these names
are what is replaced; ``tests/plugin/test_contacts.py`` looks for each of them.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import metatrain.pet.trainer as pet

from .batches import Switch, thinned_loaders
from .copies import CopyingAugmenter
from .loss import PenalisedLoss
from .options import PenaltyHypers, check_batch
from .schedule import Schedule


@contextmanager
def penalised(
    trainer: pet.Trainer,
    options: PenaltyHypers | None,
    make_schedule: Callable[[PenaltyHypers, int, int], Schedule] = Schedule,
    begins: Callable[[int], None] = lambda epoch: None,
) -> Iterator[None]:
    """Train with the penalty inside of this context.

    :param trainer: whose ``train`` is called
    :param options: of the penalty, None for metatrain's own training, bit by bit
    :param make_schedule: takes options, epochs of the training and the first of them; says
        how many copies, and how much
    :param begins: called with the number of an epoch, from 0, when it begins
    :raises ValueError: if a batch is too small for the copies
    """
    if options is None:
        yield
        return
    check_batch(options, trainer.hypers)
    start = 0 if trainer.epoch is None else trainer.epoch + 1
    schedule = make_schedule(options, trainer.hypers["num_epochs"], start)
    logging.info(schedule.describe())
    by_atoms = trainer.hypers.get("max_atoms_per_batch") is not None
    original = pet.build_train_dataloaders

    def epoch_begins(epoch: int) -> None:
        if epoch == schedule.first:
            _choose_anew(trainer)
        begins(epoch)

    def build(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        return thinned_loaders(found, by_atoms, schedule, Switch(epoch_begins))

    with mock.patch.multiple(
        pet,
        O3Augmenter=partial(CopyingAugmenter, schedule),
        LossAggregator=partial(PenalisedLoss, schedule),
        build_train_dataloaders=build,
    ):
        yield


def _choose_anew(trainer: pet.Trainer) -> None:
    """Forget the best model so far: it was not penalised."""
    if trainer.best_metric not in (None, float("inf")):
        logging.info(
            "The symmetry penalty begins: the best model is chosen among the epochs from "
            "now on"
        )
    trainer.best_metric = float("inf")
