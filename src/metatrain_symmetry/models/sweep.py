"""Evaluates many rotations in chunks that fit the memory."""

from collections.abc import Iterator

import torch

from .engine import Block, Engine, Prepared, Values


# edges and atoms of a chunk: fits the caches of a CPU, fills a GPU
CPU_SIZE = 4600
GPU_SIZE = 200_000
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "DefaultCPUAllocator",
    "out of memory",
)


class NotFiniteValues(ValueError):
    """A model answers with something that is no number."""


def chunk_size(
    engine: Engine, structure: Prepared, probes: list[str], budget_bytes: int
) -> int:
    """Number of rotations to evaluate at once.

    :param engine: evaluates the model
    :param structure: prepared by it
    :param probes: layers that are wanted
    :param budget_bytes: how much memory a chunk may take
    :return: at least 1
    """
    size = CPU_SIZE if engine.device.type == "cpu" else GPU_SIZE
    favourite = size // max(1, structure.n_atoms + structure.n_edges)
    most = budget_bytes // max(1, engine.bytes_per_rotation(structure, probes))
    at_once = getattr(engine, "at_once", favourite)  # copies may come one by one
    return max(1, min(favourite, most, at_once))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short.

    :param error: any
    :return: of torch, or of Python
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in _OUT_OF_MEMORY)


def _check(values: Values, structure: Prepared) -> None:
    for block, part in values.targets.items():
        size = block.irrep.dimension
        if part.ndim != 4 or part.shape[2] != size:
            raise ValueError(
                f"{structure.name}: the engine returns values of the shape "
                f"{tuple(part.shape)} for target '{block.name}' {block.irrep}: return "
                f"(copies, samples, {size}, properties)"
            )
    # layers first, in network order: where it starts is what one wants to know
    parts = {f"layer '{path}'": part for path, part in values.layers.items()}
    parts |= {f"target '{block.name}'": part for block, part in values.targets.items()}
    for what, part in parts.items():
        # the sum shows nearly always in one pass that all is well
        if not (part.sum().isfinite() or part.isfinite().all()):
            raise NotFiniteValues(
                f"{structure.name}: {what} is not finite, check the structure and the model"
            )


def sweep(
    engine: Engine,
    structure: Prepared,
    matrices: torch.Tensor,
    blocks: list[Block],
    probes: list[str],
    budget_bytes: int,
) -> Iterator[tuple[int, Values]]:
    """Evaluate all rotations, chunk after chunk.

    :param engine: evaluates the model
    :param structure: prepared by it
    :param matrices: ``(n, 3, 3)``, float64
    :param blocks: targets that are wanted
    :param probes: layers that are wanted
    :param budget_bytes: how much memory a chunk may take, in bytes
    :raises MemoryError: if not even one rotation fits
    :raises ValueError: if a value is not finite
    :return: index of the first rotation of a chunk, and its values
    """
    chunk = chunk_size(engine, structure, probes, budget_bytes)
    start = 0
    while start < len(matrices):
        part = matrices[start : start + chunk]
        try:
            values = engine.evaluate(structure, part, blocks, probes)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            values = None
        # beyond the except clause, which would keep the tensors of the failure alive
        if values is None:
            chunk = _halve(len(part), structure)
            continue
        _check(values, structure)
        yield start, values
        start += len(part)


def _halve(chunk: int, structure: Prepared) -> int:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if chunk <= 1:
        raise MemoryError(
            f"{structure.name}: one rotated copy ({structure.n_atoms} atoms, "
            f"{structure.n_edges} edges) does not fit the memory, ask for fewer layers "
            "or take a smaller structure"
        )
    return chunk // 2
