r"""PET with solid-spherical-harmonics geometry embeddings
======================================================

``pet_ssh`` is :ref:`PET <arch-pet>` with one change, proposed in `arXiv:2603.24638
<https://arxiv.org/abs/2603.24638>`_ (section III.4): every edge vector :math:`\mathbf r`
enters the network not as ``[x, y, z, r]`` but through real solid harmonics
:math:`R_{\ell m}(\mathbf r) = r^\ell\,Y_{\ell m}(\hat{\mathbf r})` up to degree
:math:`\ell_\mathrm{max}`. The network stays unconstrained: it is given the angular
functions, not forced to respect them. Targets of high :math:`\lambda`, where PET
collapses to predicting zero, become learnable.

How the defaults were chosen
----------------------------

Validation errors of small models (two seeds, where there is a spread): the (8,+) channel of
electron densities, relative to predicting zero, and energies and forces of the molecules
in ``data/``. The defaults were chosen on these same validation sets.
``benchmarks/README.md`` has the whole comparison.

======  =============  ======  ================  ===============  ==============
l_max   normalization  scale   (8,+), relative   energy, meV/at.  forces, meV/Å
======  =============  ======  ================  ===============  ==============
null                           1.000 ± 0.000     56.8 ± 1.3       905 ± 72
4       harmonics      1.0 Å   0.091 ± 0.001     44.9 ± 2.2       829 ± 20
4       harmonics      1.5 Å   0.141 ± 0.001     32.0 ± 1.4       594 ± 25
4       LayerNorm      1.0 Å   0.089 ± 0.002     47.5 ± 3.8       1026 ± 130
4       LayerNorm      1.5 Å   0.146             50.3             798
8       harmonics      1.0 Å   0.064 ± 0.000     42.0 ± 2.4       680 ± 92
8       harmonics      1.5 Å   0.095             35.0             498
8       harmonics      4.5 Å   0.996             33.6             543
======  =============  ======  ================  ===============  ==============

Everything else (hyperparameters, training, fine-tuning, restarting, LLPR, exporting) is
PET's own and documented there.
"""

from typing import Annotated, Any, Literal

from metatrain.pet.documentation import ModelHypers as PETModelHypers
from metatrain.pet.documentation import TrainerHypers as PETTrainerHypers
from metatrain.utils.hypers import init_with_defaults
from pydantic import BeforeValidator, ConfigDict, with_config
from typing_extensions import TypedDict

from ..options import checked
from ..training import penalty
from ..training.options import SymmetryHypers, complete
from .options import DEFAULT_L_MAX, check_l_max, check_length_scale


@with_config(ConfigDict(strict=True, extra="forbid"))
class GeometryEmbeddingHypers(TypedDict):
    """How an edge vector enters the network."""

    l_max: Annotated[int | None, BeforeValidator(check_l_max)] = DEFAULT_L_MAX
    """Largest degree of the solid harmonics, or ``null`` for exactly standard PET.

    4 was enough to learn a target of :math:`\\lambda = 8`, where 1 was not; 8 learned it
    better. In the options of ``mtt train``, ``auto`` chooses from the targets: half of
    their largest :math:`\\lambda`, rounded up, and no less than 4, or no less than 1 where
    one of them is a pseudotensor (:math:`\\sigma = -1`), which more harmonics have
    delayed. The log and the options kept with the run show the number.
    """
    length_scale: Annotated[float, BeforeValidator(check_length_scale)] = 1.5
    """Length that edge vectors are divided by, in the length unit of the structures.

    :math:`r^\\ell` spans many orders of magnitude: at this distance all degrees weigh the
    same, high ones beyond it, low ones before it. A bond length is right. Dividing
    by the cutoff looks safe but makes the high degrees vanish at bond lengths, and with
    them the method.
    """
    normalization: Literal["harmonics", "LayerNorm", "RMSNorm", "distance"] | None = (
        "harmonics"
    )
    """How the values are kept of order one at every distance.

    ``harmonics`` divides the harmonics of an edge by their root mean square: a function
    of the distance alone, so the embedding holds the irreps up to ``l_max`` and no other.
    ``LayerNorm`` and ``RMSNorm`` follow the linear map instead, and mix irreps.
    ``distance`` gives the harmonics of every degree the norm r, and a LayerNorm follows:
    the form that PET has on branches of metatrain, there without :attr:`keep_distance`.
    ``null`` leaves the values as they are.
    """
    keep_distance: bool = True
    """Keep PET's own linear map of ``[x, y, z, r]`` and add the harmonics to it.

    The distance r is not among the harmonics, except with the normalization ``distance``.
    Needed to upgrade a trained PET.
    """


class ModelHypers(PETModelHypers):
    """Hyperparameters of PET, and how edges are embedded."""

    geometry_embedding: GeometryEmbeddingHypers = init_with_defaults(
        GeometryEmbeddingHypers
    )
    """Solid-harmonics embedding of the edge vectors."""


class TrainerHypers(PETTrainerHypers):
    """Hyperparameters for training: PET's, and what is watched meanwhile."""

    symmetry: Annotated[SymmetryHypers | None, BeforeValidator(complete)] = None
    """Watch the symmetry of the model while it is trained; ``{}`` is a good choice.

    Equivariance errors and character spectra of outputs and layers on held-out structures
    go to the folder ``symmetry`` of the run and, where a run is on, to Weights & Biases.
    The training itself is not changed by one bit. See
    :class:`metatrain_symmetry.training.options.SymmetryHypers` for all options.
    """
    symmetry_penalty: Annotated[
        penalty.PenaltyHypers | None, BeforeValidator(penalty.complete)
    ] = None
    """Penalise asymmetry while the model is trained; ``{}`` is a good choice, ``null`` is
    metatrain's own training, bit by bit.

    Several orientations of a structure share a batch and should agree. An epoch has as many
    evaluations as without. See
    :class:`metatrain_symmetry.training.penalty.options.PenaltyHypers` for all options.
    """


def complete_options(options: object) -> dict[str, Any]:
    """Fill ``geometry_embedding`` options with the defaults.

    :param options: some of the options.
    :return: all of them.
    :raises ValueError: if one is unknown or out of range.
    """
    return dict(checked(options, GeometryEmbeddingHypers, "geometry_embedding"))
