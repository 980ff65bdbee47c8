"""Average a model from Python: what ``mtt symmetrize`` calls."""

import logging
from pathlib import Path

from ..io import replacing
from ..messages import quoted
from ..places import check_file, input_file


def symmetrize_model(
    model: str | Path,
    output: str | Path,
    group: str = "icosahedral",
    *,
    inversion: bool = False,
    batch_atoms: int | None = None,
    state: str | None = None,
    extensions: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an exported model that averages over a finite group of rotations inside.

    It works wherever an exported metatomic model does, and needs nothing of this package
    there. Energies have forces and stress by autograd, with memory that does not grow with
    the number of rotations; other outputs are rotated back and averaged, and have no
    derivatives.

    :param model: checkpoint or exported model
    :param output: exported model to write
    :param group: ``tetrahedral`` (12 rotations, exact to degree 2), ``octahedral`` (24, to
        degree 3) or ``icosahedral`` (60, to degree 5), or short ``T``, ``O``, ``I``; also
        ``D2`` (4) and ``i``, inversion alone. ``D2i``, ``Ti``, ``Oi``, ``Ii`` are those
        with inversion
    :param inversion: whether to take each rotation with and without inversion
    :param batch_atoms: rotated copies share an evaluation up to this many atoms, None
        for 64; one copy is always evaluated. More is faster on a GPU, and takes memory
    :param state: ``best`` or ``latest`` of a checkpoint, None for the best one
    :param extensions: folder of the extensions of an exported model
    :param overwrite: replace the output if it is there
    :raises ValueError: if something is wrong with the input; nothing has been written then
    :return: where the model was written

    >>> from metatrain_symmetry import symmetrize_model
    >>> symmetrize_model("model.ckpt", "averaged.pt", "tetrahedral").name
    'averaged.pt'
    """
    from ..groups import named_group

    over = named_group(group, inversion)
    if over.size == 1:
        raise ValueError(
            f"the group {quoted(group)} leaves the model as it is: choose one with "
            "rotations, such as octahedral, or i for inversion"
        )
    _check_batch(batch_atoms)
    source = input_file(model, "the model")
    target = check_file(output, source, overwrite, ".pt", "engines know models by it")

    from ..models.states import load
    from ..symmetrise.export import BATCH_ATOMS, averaged

    found = load(source, extensions, state)
    average = averaged(found.model, over, batch_atoms or BATCH_ATOMS)
    with replacing(target) as new:
        average.save(str(new))
    what = f"{found.text}, averaged" if found.text else "averaged"
    logging.info(f"{what} over the {over.title}, {over.size} elements: {target}")
    return target


def _check_batch(batch_atoms: int | None) -> None:
    if batch_atoms is None:
        return
    if isinstance(batch_atoms, bool) or not isinstance(batch_atoms, int) or batch_atoms < 1:
        raise ValueError(
            f"rotated copies share an evaluation up to a number of atoms, not "
            f"{quoted(batch_atoms)}: give 1 or more, such as 64"
        )
