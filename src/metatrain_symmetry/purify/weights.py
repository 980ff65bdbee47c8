"""The readouts of a live model, read and changed in the units of the user."""

import torch
from metatrain.pet import PET

from .problems import Problem


def readout(model: PET, problem: Problem) -> torch.Tensor:
    """Trained readout of a problem, in the units of the user.

    :param model: PET, or what inherits from it
    :param problem: of this model
    :raises ValueError: if a last layer is not a linear map
    :return: ``(P, d K)``, float64
    """
    weight, bias = [], []
    for layers in _layers(model, problem):
        for layer in layers:
            if type(layer) is not torch.nn.Linear:
                raise ValueError(
                    f"the last layer of '{problem.part.target}' is no plain linear map "
                    "(LoRA fine-tuning?): leave this target out"
                )
        weight += [layer.weight.detach().double() for layer in layers]
        bias.append(torch.stack([layer.bias.detach().double() for layer in layers], -1))
    whole = torch.cat([*weight, torch.stack(bias).sum(0)], -1)
    chosen = whole.reshape(problem.basis.shape[1], -1, whole.shape[-1])
    chosen = chosen[:, list(problem.properties)]
    rotated = torch.einsum("mc,cpk->pmk", problem.basis.to(whole.device), chosen)
    return (rotated * problem.factors[:, None, None].to(whole.device)).flatten(1)


def add_to_readout(model: PET, problem: Problem, change: torch.Tensor) -> None:
    """Change the last layers of a model in place.

    :param model: PET, or what inherits from it
    :param problem: of this model
    :param change: of what :func:`readout` returns, ``(P, d K)``
    """
    layers = _layers(model, problem)
    basis = problem.basis
    raw = change.cpu().double() / problem.factors[:, None]
    raw = raw.reshape(len(raw), basis.shape[0], -1)
    cartesian = torch.einsum("mc,pmk->cpk", basis, raw)
    heads = cartesian[..., :-2].chunk(2 * len(layers), -1)
    with torch.no_grad():
        for i, pair in enumerate(layers):
            for j, layer in enumerate(pair):
                _add(layer.weight, heads[2 * i + j], problem)
                # the same constant in all readout layers: they share its change
                constant = cartesian[..., -2 + j, None] / len(layers)
                _add(layer.bias[:, None], constant, problem)


def _layers(model: PET, problem: Problem) -> list[tuple[torch.nn.Linear, torch.nn.Linear]]:
    """Node and edge layer of each readout layer."""
    backend, target = model.backend, problem.part.target
    nodes, edges = backend.node_last_layers[target], backend.edge_last_layers[target]
    pairs = zip(nodes, edges, strict=True)
    return [(node[problem.key], edge[problem.key]) for node, edge in pairs]


def _add(parameter: torch.Tensor, change: torch.Tensor, problem: Problem) -> None:
    """Add to the rows of the problem's properties, ``(components, P, k)``."""
    rows = parameter.view(problem.basis.shape[1], -1, parameter.shape[-1])
    exact = rows[:, list(problem.properties)].double() + change.to(rows.device)
    rows[:, list(problem.properties)] = exact.to(rows.dtype)


def changed_parameters(model: PET, problem: Problem) -> set[str]:
    """Names of the parameters that :func:`add_to_readout` changes.

    :param model: PET, or what inherits from it
    :param problem: of this model
    :return: names in the state of the model
    """
    target = problem.part.target
    return {
        f"backend.{kind}_last_layers.{target}.{i}.{problem.key}.{name}"
        for kind in ("node", "edge")
        for i in range(model.backend.num_readout_layers)
        for name in ("weight", "bias")
    }
