"""Random numbers that are the same in every evaluation."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch


@dataclass
class Use:
    """Whether random numbers were drawn.

    :param drawn: known once the evaluation is done
    """

    drawn: bool = False


@contextmanager
def seeded(module: torch.nn.Module, seed: int, *, notice: bool = False) -> Iterator[Use]:
    """Seed everything random for one evaluation, and put it back as it was.

    These are the generators of torch, numpy and Python, and those that a module or one
    of its submodules has as an attribute.

    :param module: whose generators count
    :param seed: of all of them
    :param notice: whether to find out if random numbers were drawn
    :return: says afterwards whether random numbers were drawn
    """
    own, use = list(_generators(module)), Use()
    before = _states(own)
    try:
        _seed(own, seed)
        fresh = _states(own) if notice else []
        yield use
        use.drawn = notice and _differ(fresh, _states(own))
    finally:
        _restore(own, before)


def _generators(module: torch.nn.Module) -> Iterator[Any]:
    """Generators that modules keep, each once."""
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    seen: set[int] = set()
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, kinds) and id(value) not in seen:
                seen.add(id(value))
                yield value


def _states(own: list[Any]) -> list[Any]:
    found: list[Any] = [torch.get_rng_state(), np.random.get_state(), random.getstate()]  # noqa: NPY002
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found.append(torch.cuda.get_rng_state_all())
    return [_state(one) for one in own] + found


def _state(one: Any) -> Any:
    if isinstance(one, torch.Generator):
        return one.get_state()
    if isinstance(one, np.random.Generator):
        return one.bit_generator.state
    return one.get_state() if isinstance(one, np.random.RandomState) else one.getstate()


@lru_cache(maxsize=64)
def _fresh(seed: int) -> tuple[Any, ...]:
    """States of the global generators for a seed; setting them is faster than seeding."""
    of_numpy = np.random.RandomState(seed % 2**32).get_state()
    of_torch = torch.Generator().manual_seed(seed).get_state()
    return of_torch, of_numpy, random.Random(seed).getstate()


def _seed(own: list[Any], seed: int) -> None:
    of_torch, of_numpy, of_python = _fresh(seed)
    torch.set_rng_state(of_torch)
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate(of_python)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    for one in own:
        if isinstance(one, torch.Generator):
            one.manual_seed(seed)
        elif isinstance(one, np.random.Generator):
            kind: Any = type(one.bit_generator)
            one.bit_generator.state = kind(seed).state
        else:
            one.seed(seed)


def _restore(own: list[Any], states: list[Any]) -> None:
    for one, state in zip(own, states, strict=False):
        if isinstance(one, torch.Generator):
            one.set_state(state)
        elif isinstance(one, np.random.Generator):
            one.bit_generator.state = state
        elif isinstance(one, np.random.RandomState):
            one.set_state(state)
        else:
            one.setstate(state)
    of_torch, of_numpy, of_python, *of_cuda = states[len(own) :]
    torch.set_rng_state(of_torch)
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate(of_python)
    if of_cuda:
        torch.cuda.set_rng_state_all(of_cuda[0])


def _differ(one: Any, other: Any) -> bool:
    """Whether two states, nested as they come, are different."""
    if isinstance(one, torch.Tensor):
        return not torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return not np.array_equal(one, other)
    if isinstance(one, dict):
        return any(_differ(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) != len(other) or any(map(_differ, one, other))
    return bool(one != other)
