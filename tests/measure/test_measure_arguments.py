"""What ``analyze`` is given by mistake is answered in one sentence."""

import pytest
import torch

from metatrain_symmetry import (
    Block,
    FunctionEngine,
    Irrep,
    Settings,
    analyze,
    octahedral_group,
)


def engine(shape=(1, 1)):
    def scalar(points):
        return points.square().sum(dim=(1, 2)).reshape(-1, 1, *shape)

    return FunctionEngine({Block("size", Irrep(0)): scalar})


POINTS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
DATA = [engine().prepare(POINTS)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((FunctionEngine, DATA), "give an engine that was made"),
        ((engine(), DATA[0]), "give a list of prepared structures"),
        ((engine(), []), "there are no structures"),
        ((engine(), [POINTS]), "structure 0 is .*engine.prepare"),
        ((engine(), DATA, Settings()), "give a Group"),
        ((engine(), DATA, torch.eye(3)[None]), "give a Group"),
        ((engine(), DATA, None, {"lambda_max": 2}), "give Settings"),
        ((engine(), DATA, octahedral_group(), Settings(degree=8)), "leave out 'degree'"),
        ((engine((1,)), DATA), r"return \(copies, samples, 1, properties\)"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        analyze(*arguments, progress=False)
    assert len(str(error.value).splitlines()) == 1
