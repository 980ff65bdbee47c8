"""The forward of PET on rotated copies, compiled by ``torch.compile``.

One compiled function serves chunks and structures of any size: the numbers of atoms,
neighbours and copies are symbols in it. It works on a copy of PET's backend that shares
the weights, and returns all layers that an engine was opened for with all predictions.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import torch

from ...messages import reason
from ..copies import sharing_weights
from .catalogue import Catalogue, collector
from .structure import Batch


LEAVE_OUT = "leave out --compile (compile)"
"""What to do where nothing can be compiled."""

_CONFIGS = ("torch._functorch.config", "torch.fx.experimental._config")
# what the layers of PET take of a batch: one for each system, atom, and slot of an atom
_OF_SYSTEMS = ("charge", "spin_multiplicity")
_OF_ATOMS = ("element_indices_nodes", "system_indices")
_OF_SLOTS = (
    "element_indices_neighbors",
    "edge_vectors",
    "edge_distances",
    "reverse_neighbor_index",
    "padding_mask",
    "cutoff_factors",
)
_TAKEN = (*_OF_SYSTEMS, *_OF_ATOMS, *_OF_SLOTS)
FEWEST = 32
"""Atoms of a batch: torch treats products of smaller matrices in another way."""
MOST = 65535
"""Atoms of a batch that is differentiated: PET treats larger ones in another way."""


def check_tools(device: torch.device) -> None:
    """Make sure that there is what ``torch.compile`` needs, which is found at once.

    :param device: to evaluate on
    :raises ValueError: if there is no C++ compiler, or no Triton for a GPU
    """
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise ValueError(
                "compiling for a GPU needs Triton and a GPU of compute capability 7.0 or "
                f"above, which are not here: {LEAVE_OUT}"
            )
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        raise ValueError(
            "compiling for a CPU needs a C++ compiler, and there is none: install g++, or "
            f"name yours in the environment variable CXX, or {LEAVE_OUT}"
        ) from error


class FlatLinear(torch.nn.Linear):
    """A linear layer as one product of matrices, which compiles to faster code.

    Inductor would turn layers of single tokens into products of many small matrices, and
    copy the bias into the result before each product instead of adding it later.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(..., inputs)``
        :return: ``(..., outputs)``
        """
        product = x.reshape(-1, x.shape[-1]) @ self.weight.T
        product = product.reshape(*x.shape[:-1], product.shape[-1])
        return product if self.bias is None else product + self.bias


class Forward(torch.nn.Module):
    """Everything between a batch and what an engine needs, as one function of tensors.

    :param backend: PET's backend; a copy that shares its weights is used
    :param catalogue: of its layers
    :param probes: layers to return
    :param targets: names of the targets to predict
    """

    def __init__(
        self,
        backend: Any,
        catalogue: Catalogue,
        probes: Iterable[str],
        targets: Iterable[str],
    ) -> None:
        super().__init__()
        self.backend: Any = sharing_weights(backend).eval()
        self.probes, self.targets = list(probes), list(targets)
        self.collected: dict[str, torch.Tensor] = {}
        for path in self.probes:
            probe = catalogue.probes[path]
            module = self.backend.get_submodule(probe.module)
            module.register_forward_hook(collector(probe, self.collected))
        for module in self.backend.modules():
            # other classes, inheriting ones too, may do more than W x + b
            if type(module) is torch.nn.Linear:
                module.__class__ = FlatLinear

    def forward(
        self, batch: Batch, cells: torch.Tensor
    ) -> tuple[dict[str, list[torch.Tensor]], dict[str, torch.Tensor]]:
        """Evaluate a batch.

        :param batch: the tensors of it that PET's layers take
        :param cells: ``(n, 3, 3)``
        :return: raw predictions of each target, and raw outputs of each probe
        """
        self.collected.clear()
        nodes, edges = self.backend.calculate_features(batch, capture_diagnostics=True)
        indices = batch["system_indices"]
        raw = self.backend.predict(nodes, edges, batch, cells, indices, self.targets)[0]
        layers = dict(self.collected)
        self.collected.clear()
        return raw, layers


class CompiledForward:
    """A :class:`Forward` that has been compiled, or is when it is first called.

    :param forward: what is compiled
    :param grad: whether it is differentiated
    :param backend: of ``torch.compile``
    """

    def __init__(self, forward: Forward, grad: bool, backend: str = "inductor") -> None:
        self.forward, self.grad = forward, grad
        self.run = torch.compile(forward, fullgraph=True, backend=backend)
        self.seconds = 0.0
        """What compiling has taken so far."""

    def takes(self, batch: Batch, probes: Iterable[str], grad: bool) -> bool:
        """Whether a batch is evaluated by compiled code.

        :param batch: of rotated copies
        :param probes: layers that are wanted
        :param grad: whether gradients are
        :return: false for sizes for which torch would compile once more, and for fewer
            layers than there are
        """
        atoms, slots = batch["edge_vectors"].shape[:2]
        sizes = slots > 1 and FEWEST <= atoms <= (MOST if grad else atoms)
        return sizes and grad == self.grad and set(probes) == set(self.forward.probes)

    def __call__(
        self, batch: Batch, cells: torch.Tensor
    ) -> tuple[dict[str, list[torch.Tensor]], dict[str, torch.Tensor]]:
        """Evaluate a batch.

        :param batch: of rotated copies
        :param cells: ``(n, 3, 3)``
        :return: as :meth:`Forward.forward`
        """
        taken = {name: batch[name] for name in _TAKEN if name in batch}
        if len(cells) == 1:  # a second system, without atoms: one is a size of its own
            cells = cells.repeat(2, 1, 1)
            more = {name: taken[name].repeat(2) for name in _OF_SYSTEMS if name in taken}
            taken |= more
        for tensor in (*taken.values(), cells):
            torch._dynamo.mark_dynamic(tensor, 0)
        for name in _OF_SLOTS:
            torch._dynamo.mark_dynamic(taken[name], 1)
        return self.run(taken, cells)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what happens inside as compiling, and say so.

        :raises ValueError: if it fails
        """
        logging.info("Compiling the model, which takes half a minute to two minutes")
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            raise ValueError(
                f"the model cannot be compiled ({reason(error)}): {LEAVE_OUT}"
            ) from error
        self.seconds += time.perf_counter() - start
        logging.info(f"Compiled in {self.seconds:.0f} s")


@contextmanager
def settings() -> Iterator[None]:
    """Settings of torch under which compiled code is made, called and differentiated."""
    functorch, symbols = map(import_module, _CONFIGS)
    with ExitStack() as stack:
        # sizes that happen to be equal once need not be equal always
        stack.enter_context(symbols.patch(use_duck_shape=False))
        # one graph may be differentiated by several energies
        stack.enter_context(functorch.patch(donated_buffer=False))
        yield
