"""metatrain's own tests of an architecture, on ``pet_ssh`` with and without harmonics."""

import copy
from pathlib import Path

import ase.io
import pytest
from metatrain.utils.additive import ZBL
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.testing import (
    ArchitectureTests,
    AutogradTests,
    CheckpointTests,
    ExportedTests,
    InputTests,
    OutputTests,
    TorchscriptTests,
    TrainingTests,
)


HERE = Path(__file__).parent
MOLECULES = HERE.parents[1] / "data/xtb_molecules.xyz"


@pytest.fixture(scope="session")
def few_molecules(tmp_path_factory):
    """The first structures of the shipped data, in a file of their own."""
    path = tmp_path_factory.mktemp("data") / "molecules.xyz"
    ase.io.write(path, ase.io.read(MOLECULES, ":24"))
    return str(path)


class SSHTests(ArchitectureTests):
    architecture = "pet_ssh"
    l_max: int | None

    def with_l_max(self, hypers):
        hypers = copy.deepcopy(hypers)
        hypers["geometry_embedding"]["l_max"] = self.l_max
        return hypers

    @pytest.fixture
    def dataset_path(self, few_molecules):
        return few_molecules

    @pytest.fixture
    def dataset_targets(self, dataset_path):
        energy = {
            "quantity": "energy",
            "read_from": dataset_path,
            "reader": "ase",
            "key": "energy",
            "unit": "eV",
            "type": "scalar",
            "sample_kind": "system",
            "num_subtargets": 1,
            "forces": False,
            "stress": False,
            "virial": False,
        }
        return {"energy": energy}

    @pytest.fixture
    def default_hypers(self):
        hypers = get_default_hypers(self.architecture)
        hypers["model"] = self.with_l_max(hypers["model"])
        return hypers

    @pytest.fixture
    def model_hypers(self):
        return self.with_l_max(get_default_hypers(self.architecture)["model"])

    @pytest.fixture
    def minimal_model_hypers(self, model_hypers):
        sizes = ("d_pet", "d_head", "d_node", "d_feedforward", "num_heads")
        layers = ("num_attention_layers", "num_gnn_layers")
        return model_hypers | dict.fromkeys(sizes + layers, 1)


class Standard(SSHTests):
    l_max = None
    folder = HERE / "standard"


class Harmonic(SSHTests):
    l_max = 4
    folder = HERE / "harmonic"


class Input(InputTests):
    def test_zbl_is_an_additive_model(self, minimal_model_hypers, dataset_info):
        """As PET's own test: asking for ZBL adds it over the data set's types."""
        model = self.model_cls(minimal_model_hypers | {"zbl": True}, dataset_info)
        (zbl,) = (m for m in model.additive_models if isinstance(m, ZBL))
        assert zbl.dataset_info.atomic_types == dataset_info.atomic_types


class Output(OutputTests):
    is_equivariant_rotations = False
    is_equivariant_reflections = False

    @pytest.fixture
    def n_features(self, model_hypers):
        return model_hypers["d_node"] + model_hypers["d_pet"]

    @pytest.fixture
    def n_last_layer_features(self, model_hypers):
        return 2 * model_hypers["d_head"]


class Torchscript(TorchscriptTests):
    float_hypers = ["cutoff", "cutoff_width"]


class Checkpoints(CheckpointTests):
    @pytest.fixture(autouse=True)
    def in_checkpoint_folder(self, monkeypatch):
        """metatrain's tests look for ``checkpoints/`` in the working folder."""
        monkeypatch.chdir(self.folder)


class TestStandardInput(Input, Standard): ...


class TestStandardOutput(Output, Standard): ...


class TestStandardAutograd(AutogradTests, Standard): ...


class TestStandardTorchscript(Torchscript, Standard): ...


class TestStandardExported(ExportedTests, Standard): ...


class TestStandardTraining(TrainingTests, Standard): ...


class TestStandardCheckpoints(Checkpoints, Standard): ...


class TestHarmonicInput(Input, Harmonic): ...


class TestHarmonicOutput(Output, Harmonic): ...


class TestHarmonicAutograd(AutogradTests, Harmonic): ...


class TestHarmonicTorchscript(Torchscript, Harmonic):
    float_hypers = [*Torchscript.float_hypers, "geometry_embedding.length_scale"]


class TestHarmonicExported(ExportedTests, Harmonic): ...


class TestHarmonicTraining(TrainingTests, Harmonic): ...


class TestHarmonicCheckpoints(Checkpoints, Harmonic): ...
