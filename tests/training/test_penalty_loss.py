"""The loss with the penalty, in closed form: L = mean |d|² + weight Var(d)."""

import numpy as np
import pytest
import torch
from metatrain.utils.loss import LossAggregator
from penalty_common import (
    SIZES,
    block,
    energies,
    energy_info,
    generic_info,
    packed,
    representation,
    spherical_info,
    tensor_map,
)
from scipy.stats import special_ortho_group

from metatrain_symmetry.training.penalty.copies import ROTATIONS
from metatrain_symmetry.training.penalty.loss import PenalisedLoss
from metatrain_symmetry.training.penalty.schedule import Schedule


COPIES, WEIGHT = 3, 5.0
ATOMS = [2, 1]
STRUCTURES = len(ATOMS)
ROWS = [(s * COPIES + k, a) for s, n in enumerate(ATOMS) for k in range(COPIES)
        for a in range(n)]  # fmt: skip
COPY_OF_ROW = np.array([system for system, _ in ROWS])
VECTOR = {"cartesian": {"rank": 1}}
SCALE, FORCE_SCALE, STRAIN_SCALE = 2.0, 0.5, 0.25


def term(weight):
    return {"type": "mse", "weight": weight, "reduction": "mean"}


CASES = {
    "scalar": generic_info("target", "scalar"),
    "pseudoscalar": spherical_info("target", "pseudoscalar"),
    "vector": generic_info("target", VECTOR),
    "2+": spherical_info("target", "2+"),
    "2-": spherical_info("target", "2-"),
}


@pytest.fixture
def rotations():
    """Matrices ``(structures * copies, 3, 3)``, proper and improper."""
    proper = special_ortho_group.rvs(3, size=STRUCTURES * COPIES, random_state=1)
    return proper * np.array([1, -1, 1, 1, -1, -1])[:, None, None]


def extra(rotations):
    return {ROTATIONS: packed(rotations)}


def drawn(kind, rotations, systems, seed, same=False):
    """Labels, and predictions that deviate from them by known amounts, both rotated.

    :param systems: system of each row
    :return: labels, predictions, deviations ``(rows, components)`` rotated back
    """
    random = np.random.default_rng(seed)
    structure = systems // COPIES
    rows = [np.flatnonzero(systems == system) for system in np.unique(systems)]
    labels = np.empty((len(systems), SIZES[kind]))
    for one in range(STRUCTURES):
        value = random.normal(size=((systems == one * COPIES).sum(), SIZES[kind]))
        labels[structure == one] = np.tile(value, (COPIES, 1))
    deviations = random.normal(size=labels.shape)
    if same:
        first = {s: deviations[rows[s - s % COPIES]] for s in range(len(rows))}
        deviations = np.concatenate([first[s] for s in range(len(rows))])
    turns = np.stack([representation(kind, rotations[s]) for s in systems])
    turned = [np.einsum("rab,rb->ra", turns, x) for x in (labels, labels + deviations)]
    return turned[0][..., None], turned[1][..., None], deviations


def moments(deviations, systems):
    """Mean square, and mean over rows and components of the unbiased variance."""
    variances = []
    for one in range(STRUCTURES):
        mine = deviations[systems // COPIES == one].reshape(COPIES, -1)
        variances.append(mine.var(axis=0, ddof=1))
    return (deviations**2).mean(), np.concatenate(variances).mean()


def loss_of(info, config, epoch=0, weight=WEIGHT):
    options = {"weight": weight, "copies": COPIES, "start": 0.0, "ramp": 0.0}
    return PenalisedLoss(Schedule(options, 4, epoch), {"target": info}, {"target": config})


def of_atoms(kind, values):
    return {"target": tensor_map({kind: block(kind, ROWS, values, ["system", "atom"])})}


@pytest.mark.parametrize("kind", CASES)
def test_closed_form(kind, rotations):
    labels, predictions, deviations = drawn(kind, rotations, COPY_OF_ROW, 2)
    config = {**term(SCALE), "gradients": {}}
    found = loss_of(CASES[kind], config)(
        of_atoms(kind, predictions), of_atoms(kind, labels), extra(rotations)
    )
    error, variance = moments(deviations, COPY_OF_ROW)
    assert found.item() == pytest.approx(SCALE * (error + WEIGHT * variance), rel=1e-12)


def of_energy(energy, forces, strain):
    parts = {
        "positions": ("vector", ROWS, forces),
        "strain": ("tensor", np.arange(STRUCTURES * COPIES)[:, None], strain),
    }
    systems = np.arange(STRUCTURES * COPIES)[:, None]
    return {"target": energies(systems, parts, energy)}


def test_closed_form_of_an_energy_and_its_gradients(rotations):
    config = {
        **term(SCALE),
        "gradients": {"positions": term(FORCE_SCALE), "strain": term(STRAIN_SCALE)},
    }
    systems = np.arange(STRUCTURES * COPIES)
    parts = [("scalar", systems, SCALE), ("vector", COPY_OF_ROW, FORCE_SCALE),
             ("tensor", systems, STRAIN_SCALE)]  # fmt: skip
    labels, predictions, expected = [], [], 0.0
    for seed, (kind, rows, scale) in enumerate(parts):
        one, other, deviations = drawn(kind, rotations, rows, seed)
        labels.append(one)
        predictions.append(other)
        error, variance = moments(deviations, rows)
        expected += scale * (error + WEIGHT * variance)
    found = loss_of(energy_info(), config)(
        of_energy(*predictions), of_energy(*labels), extra(rotations)
    )
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "emphasis", [{"target": 2.0}, {"target_grad_strain": 4.0, "target": 0.5}]
)
def test_closed_form_where_labels_count_more(rotations, emphasis):
    config = {**term(SCALE), "gradients": {"strain": term(STRAIN_SCALE)}}
    config["gradients"]["positions"] = term(FORCE_SCALE)
    systems = np.arange(STRUCTURES * COPIES)
    parts = {
        "target": ("scalar", systems, SCALE),
        "target_grad_positions": ("vector", COPY_OF_ROW, FORCE_SCALE),
        "target_grad_strain": ("tensor", systems, STRAIN_SCALE),
    }
    labels, predictions, expected, plain = [], [], 0.0, 0.0
    for seed, (name, (kind, rows, scale)) in enumerate(parts.items()):
        one, other, deviations = drawn(kind, rotations, rows, seed)
        labels.append(one)
        predictions.append(other)
        error, variance = moments(deviations, rows)
        expected += scale * (emphasis.get(name, 1.0) * error + WEIGHT * variance)
        plain += scale * error
    loss = loss_of(energy_info(), config)
    loss.schedule.emphasis.update(emphasis)
    sets = of_energy(*predictions), of_energy(*labels)
    assert loss(*sets, extra(rotations)).item() == pytest.approx(expected, rel=1e-12)
    # without copies, as in validation, it is the loss of the training
    assert loss(*sets).item() == pytest.approx(plain, rel=1e-12)


def naive(kind, predictions, labels, rotations):
    """The same loss without any detached mean."""
    turns = np.stack([representation(kind, rotations[s]) for s in COPY_OF_ROW])
    back = torch.einsum("rab,rac->rbc", torch.tensor(turns), predictions)
    variances = []
    for one in range(STRUCTURES):
        mine = back[torch.tensor(COPY_OF_ROW // COPIES == one)]
        variances.append(mine.reshape(COPIES, -1).var(dim=0, correction=1))
    error = (predictions - torch.tensor(labels)).square().mean()
    return SCALE * (error + WEIGHT * torch.cat(variances).mean())


@pytest.mark.parametrize("kind", CASES)
def test_derivatives(kind, rotations):
    """A mean that is kept out of the graph changes no derivative."""
    labels, values, _ = drawn(kind, rotations, COPY_OF_ROW, 3)
    ours, theirs = (torch.tensor(values, requires_grad=True) for _ in range(2))
    config = {**term(SCALE), "gradients": {}}
    loss = loss_of(CASES[kind], config)
    loss(of_atoms(kind, ours), of_atoms(kind, labels), extra(rotations)).backward()
    naive(kind, theirs, labels, rotations).backward()
    assert theirs.grad.abs().max() > 0.1
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


def test_derivatives_of_forces(rotations):
    """Through predicted gradients of an energy, whose labels are anything."""
    labels, values, _ = drawn("vector", rotations, COPY_OF_ROW, 4)
    zeros = np.zeros((STRUCTURES * COPIES, 1, 1)), np.zeros((STRUCTURES * COPIES, 9, 1))
    ours, theirs = (torch.tensor(values, requires_grad=True) for _ in range(2))
    config = {**term(1.0), "gradients": {"positions": term(SCALE), "strain": term(1.0)}}
    predictions, targets = (of_energy(zeros[0], x, zeros[1]) for x in (ours, labels))
    loss_of(energy_info(), config)(predictions, targets, extra(rotations)).backward()
    naive("vector", theirs, labels, rotations).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", CASES)
def test_an_equivariant_prediction_costs_nothing_more(kind, rotations):
    """Wrong by the same in every orientation: there is an error, and no penalty."""
    labels, predictions, deviations = drawn(kind, rotations, COPY_OF_ROW, 5, same=True)
    values = torch.tensor(predictions, requires_grad=True)
    config = {**term(SCALE), "gradients": {}}
    pair = of_atoms(kind, values), of_atoms(kind, np.full_like(labels, np.nan))
    # without labels only the penalty is left
    found = loss_of(CASES[kind], config)(*pair, extra(rotations))
    found.backward()
    assert abs(found.item()) < 1e-12
    assert values.grad.abs().max() < 1e-12
    assert np.abs(deviations).max() > 0.1


def test_labels_that_are_missing(rotations):
    """The penalty acts on every structure, the error on labelled ones."""
    labels, predictions, deviations = drawn("vector", rotations, COPY_OF_ROW, 6)
    missing = COPY_OF_ROW // COPIES == 1
    labels[missing] = np.nan
    config = {**term(SCALE), "gradients": {}}
    found = loss_of(CASES["vector"], config)(
        of_atoms("vector", predictions), of_atoms("vector", labels), extra(rotations)
    )
    error = (deviations[~missing] ** 2).mean()
    _, variance = moments(deviations, COPY_OF_ROW)
    assert found.item() == pytest.approx(SCALE * (error + WEIGHT * variance), rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "with_copies"), [(0.0, True), (WEIGHT, False)], ids=["weight 0", "no copies"]
)
def test_plain_loss(weight, with_copies, rotations):
    labels, predictions, _ = drawn("2-", rotations, COPY_OF_ROW, 7)
    config = {**term(SCALE), "gradients": {}}
    pair = of_atoms("2-", predictions), of_atoms("2-", labels)
    plain = LossAggregator({"target": CASES["2-"]}, {"target": config})(*pair, {})
    batch = extra(rotations) if with_copies else {}
    assert torch.equal(loss_of(CASES["2-"], config, weight=weight)(*pair, batch), plain)
