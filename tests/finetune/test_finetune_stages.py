"""The stages of a fine-tuning: weights, learning rates, and the way through their ends."""

import math

import pytest
import torch
from finetune_common import checkpoint_of, tiny
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.loss import LossAggregator

from metatrain_symmetry.finetune.held_out import engine_of, term_of_loss
from metatrain_symmetry.finetune.options import complete_hypers
from metatrain_symmetry.finetune.stages import (
    StagedTrainer,
    Stages,
    Way,
    ends,
    keep,
    rate,
    read_emphasis,
    read_stages,
)
from metatrain_symmetry.training.penalty import complete


@pytest.mark.parametrize(
    ("num_epochs", "count", "expected"),
    [(10, 2, [5, 10]), (7, 2, [4, 7]), (1, 3, [1]), (2, 3, [1, 2]), (9, 3, [3, 6, 9])],
)
def test_ends(num_epochs, count, expected):
    assert ends(num_epochs, count) == expected


def test_each_stage_has_its_weight():
    options = complete({"weight": 16.0})
    found = [Stages(options, 6, epoch, weights=[2.0, 4.0, 16.0]) for epoch in range(6)]
    assert [one.weight for one in found] == [2, 2, 4, 4, 16, 16]
    assert {one.copies for one in found} == {2}
    assert (
        "weight 2 until epoch 1, 4 until epoch 3, 16 until epoch 5" in found[0].describe()
    )


def test_fewer_epochs_than_stages():
    options = complete({"weight": 16.0})
    assert Stages(options, 1, 0, weights=[2.0, 4.0]).weight == 2.0


def test_the_learning_rate_starts_anew_and_ends_at_zero():
    marks = [100, 300]
    found = [rate(step, marks) for step in range(301)]
    assert found[0] == found[100] == 0.0
    assert found[5] == found[110] == 1.0
    assert found[99] < 1e-3
    assert found[299] < 1e-4
    assert found[300] == 0.0
    # a cosine: half of its peak half-way between warm-up and end
    assert rate(205, marks) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert max(found) <= 1.0


def test_the_way_passes_all_ends():
    states = [{"w": torch.tensor([value])} for value in (0.0, 4.0, 2.0)]
    way = Way(states[0], {5: states[1], 10: states[2]}, 10)
    assert way.marks == [0.25, 0.5, 0.75, 1.0]
    found = [float(way.at(share)["w"]) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([0.0, 2.0, 4.0, 3.0, 2.0])


def test_a_way_that_ends_early():
    states = [{"w": torch.tensor([value])} for value in (0.0, 4.0)]
    way = Way(states[0], {5: states[1]}, 10)
    assert way.marks == [0.25, 0.5]


def test_ends_are_kept_in_files(tmp_path):
    for epochs in (10, 2):
        keep(tmp_path, epochs, {"w": torch.full((2,), float(epochs))})
    found = read_stages(tmp_path)
    assert list(found) == [2, 10]
    assert torch.equal(found[10]["w"], torch.full((2,), 10.0))


@pytest.mark.parametrize(("given", "expected"), [(8, [8.0]), ([1, 2.5], [1.0, 2.5])])
def test_one_weight_is_a_list_of_one(given, expected):
    assert complete_hypers({"method": "full", "weight": given})["weight"] == expected


@pytest.mark.parametrize("given", [[], -1, [1, math.nan], "much"])
def test_weights_out_of_range(given):
    with pytest.raises(ValueError, match=r"purify\.weight"):
        complete_hypers({"method": "full", "weight": given})


class Watched(StagedTrainer):
    """Ends of stages, without a training."""

    def __init__(self, folder, answers):
        training = get_default_hypers("pet_ssh")["training"]
        super().__init__({**training, "num_epochs": 9, "symmetry_penalty": {}})
        model = torch.nn.Linear(1, 1)
        self.asked = 0
        self.stage([1.0, 2.0, 4.0], model, folder, lambda: self.answer(answers))

    def answer(self, answers):
        self.asked += 1
        assert not self.model.training
        return answers[self.asked - 1]


def test_what_loses_accuracy_counts_more_from_then_on(tmp_path):
    trainer = Watched(tmp_path, [["energy"], ["energy", "force"]])
    schedule = trainer.make_schedule(complete({}), 9, 0)
    for epoch in range(10):
        trainer.epoch_begins(epoch)
        if epoch == 2:
            assert schedule.emphasis == {}
        if epoch in (3, 5):
            assert schedule.emphasis == {"energy": 2.0}
    assert schedule.emphasis == {"energy": 4.0, "force": 2.0}
    assert trainer.asked == 2  # nobody needs to know after the last stage
    assert trainer.model.training


@pytest.mark.parametrize(
    ("epoch", "expected"), [(2, {}), (3, {"energy": 2.0}), (8, {"energy": 4.0})]
)
def test_a_run_that_goes_on_knows_what_counts_more(tmp_path, epoch, expected):
    first = Watched(tmp_path, [["energy"], ["energy"]])
    for past in range(9):
        first.epoch_begins(past)
    second = Watched(tmp_path, [])
    assert second.make_schedule(complete({}), 9, epoch).emphasis == expected
    assert read_emphasis(tmp_path, epoch) == expected
    for following in range(epoch, 9):  # asks no second time where it asked already
        second.epoch_begins(following)
    assert second.asked == 0
    assert second.emphasis == {"energy": 4.0}


def test_terms_of_the_loss_are_those_of_metatrain():
    model = tiny()
    engine = engine_of(model)
    found = term_of_loss(engine)
    assert set(found) == set(engine.blocks)
    config = checkpoint_of(model)["train_hypers"]["loss"]
    losses = LossAggregator(model.dataset_info.targets, config).losses
    assert set(found.values()) == set(losses)
    kinds = {block.target: term for block, term in found.items()}
    assert kinds["energy"] == "energy"
    assert kinds["conservative_force"] == "energy_grad_positions"
    assert kinds["conservative_stress"] == "energy_grad_strain"
