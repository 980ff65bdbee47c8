"""What averaged exports use of metatomic is still what it was."""

import inspect

import pytest
from averaged_common import exported
from metatomic.torch import AtomisticModel
from metatomic.torch.o3 import O3Transformations, _symmetrized, _transformations, _utils


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            _symmetrized._reduce_weighted_centered_batch,
            "tensor weights input_system_index reference compute_second_moments",
        ),
        (
            _symmetrized._add_tensormap_contribution,
            "accumulator output_name contribution",
        ),
        (
            _transformations._transform_systems_batched,
            "systems matrices wigner_matrices improper",
        ),
        (
            _transformations._transform_tensormap_batched,
            "tensor matrices wigner_matrices improper system_ids",
        ),
        (_transformations.max_o3_lambda_in_tensor, "tensor"),
        (_utils.copy_tensormap_info, "source result"),
        (
            _utils.map_selected_atoms_to_rotated_copies,
            "selected_atoms input_system_index n_rotated_copies",
        ),
        (O3Transformations.wigner_D_matrices, "self ell"),
        (AtomisticModel.save, "self file collect_extensions"),
    ],
    ids=lambda x: getattr(x, "__qualname__", ""),
)
def test_signatures(function, expected):
    assert list(inspect.signature(function).parameters) == expected.split(), (
        f"metatomic changed {function.__qualname__}: `symmetrise/averaged_model.py` and "
        "`symmetrise/export.py` call it"
    )


def test_what_a_model_declares():
    """Names as declared, without the spellings that metatomic adds, and inputs."""
    model = exported()
    assert model._model_capabilities_outputs_names == ["energy", "non_conservative_force"]
    assert set(model.capabilities().outputs) > set(model._model_capabilities_outputs_names)
    assert model._requested_inputs == {}
