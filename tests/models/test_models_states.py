"""Which state of a checkpoint is measured, and that it is said."""

import pytest
import torch
from common import energy_info, molecule, pet, pet_ssh
from metatrain.utils.io import load_model

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.models.states import load
from metatrain_symmetry.report.summary_lines import lines


QUICK = {"lambda_max": 1, "degree": 2, "probes": [], "progress": False}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Whose best state, of the fifth epoch, is not the latest, of the tenth."""
    best, latest = pet(energy_info(), seed=1), pet(energy_info(), seed=2)
    content = latest.get_checkpoint()
    content |= {"best_model_state_dict": best.state_dict(), "epoch": 9, "best_epoch": 4}
    path = tmp_path_factory.mktemp("states") / "model.ckpt"
    torch.save(content, path)
    return path, best, latest


def test_the_default_is_what_metatrain_exports(checkpoint):
    path, best, _ = checkpoint
    loaded = load(path)
    assert torch.equal(weights(loaded.model), weights(load_model(path)))
    assert torch.equal(weights(loaded.model), weights(best))
    assert torch.equal(weights(open_engine(path).model), weights(best))
    assert (loaded.state, loaded.epochs) == ("best", 5)
    assert loaded.text == "best state (after 5 epochs)"


def test_the_latest_state_is_what_a_restart_continues_with(checkpoint):
    path, _, latest = checkpoint
    loaded = load(path, state="latest")
    assert torch.equal(weights(loaded.model), weights(latest))
    assert loaded.text == "latest state (after 10 epochs)"


def test_the_state_is_measured_and_named(checkpoint):
    path, best, latest = checkpoint
    found = {}
    for state, model in (("best", best), ("latest", latest)):
        report = symmetry_report(path, molecule(), state=state, **QUICK)
        alone = symmetry_report(model, molecule(), **QUICK)
        assert report.equivariance.A.tolist() == alone.equivariance.A.tolist()
        assert report.summary["state"] == state
        assert f"{state} state (after" in lines(report)[0]
        assert alone.summary["state"] is None
        assert "state" not in lines(alone)[0]
        found[state] = report.equivariance.A.tolist()
    assert found["best"] != found["latest"]
    default = symmetry_report(path, molecule(), **QUICK)
    assert default.equivariance.A.tolist() == found["best"]
    assert default.summary["state_text"] == "best state (after 5 epochs)"


def test_pet_ssh_has_states_too(tmp_path):
    path = tmp_path / "model.ckpt"
    torch.save(pet_ssh(energy_info()).get_checkpoint(), path)
    assert load(path, state="latest").text == "latest state"


def test_what_has_no_such_state(checkpoint, tmp_path):
    path, best, _ = checkpoint
    exported = tmp_path / "model.pt"
    best.export().save(str(exported))
    assert load(exported).text == ""
    with pytest.raises(ValueError, match="holds one state only: leave out --state"):
        load(exported, state="best")
    with pytest.raises(ValueError, match="loaded already"):
        symmetry_report(best, molecule(), state="latest", **QUICK)
    with pytest.raises(
        ValueError, match="give best or latest for the state of a checkpoint, not 'newest'"
    ):
        load(path, state="newest")
    content = torch.load(path, weights_only=False)
    torch.save(content | {"best_model_state_dict": None}, tmp_path / "early.ckpt")
    for state in (None, "best"):
        with pytest.raises(ValueError, match=r"holds no best state.*--state latest"):
            load(tmp_path / "early.ckpt", state=state)
    assert load(tmp_path / "early.ckpt", state="latest").state == "latest"
