"""Bad inputs of modules of point clouds; beside each a word that the answer must have."""

import ase
import numpy as np
import torch

from metatrain_symmetry import Output
from metatrain_symmetry.groups import octahedral_group


NAN = float("nan")


def of(function):
    """A function of clouds as a module."""
    module = torch.nn.Module()
    module.forward = function
    return module


class Pair(torch.nn.Module):
    def forward(self, cloud, other):
        return cloud - other


class Fixed(torch.nn.Module):
    """Takes 6 points with 3 columns, and has a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(18, 4)
        self.unused = torch.nn.Linear(3, 3)

    def forward(self, clouds):
        return self.encoder(clouds.flatten(1))


def points(*shape):
    return torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape).sin()


BROKEN = points(6, 3).clone()
BROKEN[4, 1] = NAN

CLOUDS = [
    ({"structures": torch.zeros(0, 3)}, "cloud 0: columns are of no points"),
    ({"structures": []}, "no clouds"),
    ({"structures": torch.zeros(0, 6, 3)}, "no clouds"),
    ({"structures": BROKEN}, "point 4 are not finite"),
    ({"structures": [points(6, 3), BROKEN]}, "cloud 1: .* point 4"),
    ({"structures": points(6, 2)}, "2 columns"),
    ({"structures": points(6)}, "shape"),
    ({"structures": points(2, 2, 6, 3)}, "shape"),
    ({"structures": [points(6, 3), points(6, 4)]}, "cloud 1 has 4 columns"),
    ({"structures": points(6, 4)}, "4 columns .* Fixed|Fixed .* 4 columns"),
    ({"structures": [points(6, 3), points(5, 3)]}, "cloud 1: Fixed"),
    ({"structures": "x.xyz"}, "x.xyz"),
    ({"structures": ase.Atoms("H2", [[0, 0, 0], [0, 0, 1]])}, "no cloud|PointCloud"),
    ({"structures": [ase.Atoms("H")]}, "cloud 0"),
    ({"structures": 3}, "3 is no cloud"),
    ({"structures": None}, "None is no cloud"),
    ({"structures": [["a", "b", "c"]]}, "cloud 0"),
]

MODULES = [
    ({"model": Pair()}, "Pair needs the arguments cloud, other"),
    ({"model": of(lambda x: x.new_full((len(x), 2), NAN))}, "not finite"),
    ({"model": of(lambda x: x.argmax(dim=1))}, "no tensor of real numbers"),
    ({"model": of(lambda x: "cat")}, "no tensor of real numbers"),
    ({"model": of(lambda x: None)}, "no tensor of real numbers"),
    ({"model": of(lambda x: x.mean((1, 2))[:, None] - x.mean((1, 2)))}, "no axis counts"),
    ({"model": of(lambda x: x @ x.transpose(1, 2))}, "axes 1 and 2"),
    ({"model": of(lambda x: x.reshape(-1, 2, 3).mean(1))}, "neither points nor clouds"),
    ({"model": of(lambda x: 1 / 0)}, "cannot be evaluated on 6 points"),
]

ARGUMENTS = [
    ({"probes": ["encodr"]}, "did you mean encoder"),
    ({"probes": ["unused"]}, "never called"),
    ({"probes": 3}, "probes"),
    ({"probes": [3]}, "probes"),
    ({"outputs": {}}, "outputs"),
    ({"outputs": ["class"]}, "outputs"),
    ({"outputs": {"class": 3}}, "'class' is 3"),
    ({"outputs": {"class": "atom"}}, "'atom'"),
    ({"outputs": {"class": Output(kind="point")}}, "no axis for the 6 points"),
    ({"outputs": {"class": Output(rank=1)}}, "does not end in"),
    ({"outputs": {"a": None, "b": None}}, "'b'"),
    ({"outputs": {"class": Output(source="logits")}}, "logits"),
    ({"call": "densely"}, "did you mean dense"),
    ({"call": 3}, "call"),
    ({"call": "lengths"}, "nothing else"),
    ({"freeze": ["encodr"]}, "did you mean encoder"),
    ({"freeze": ["unused"]}, "never called"),
    ({"freeze": 3}, "freeze"),
    ({"freeze": [3]}, "freeze"),
    ({"vectors": [1]}, "vectors"),
    ({"vectors": [3]}, "column 3"),
    ({"vectors": 3}, "vectors"),
    ({"targets": ["class"]}, "targets"),
    ({"gradients": True}, "gradients"),
    ({"extensions": "folder"}, "extensions"),
    ({"state": "best"}, "state"),
    ({"fmax": 0.01}, "fmax"),
    ({"dtype": "float16"}, "float16"),
    ({"group": "X9v"}, "X9v"),
    ({"group": octahedral_group(), "lambda_max": 4}, "leave out"),
]

OUTPUTS = [
    ({"kind": "atom"}, "point or cloud"),
    ({"rank": 3}, "rank"),
    ({"rank": True}, "rank"),
    ({"irreps": "1o"}, "irreps"),
    ({"irreps": []}, "irreps"),
    ({"rank": 1, "softmax": True}, "softmax"),
]

PARTS = [
    ({"positions": torch.zeros(0, 3)}, "no points"),
    ({"positions": points(6, 4)}, "positions"),
    ({"positions": points(6, 3), "features": points(5, 1)}, "6, 5 points"),
    ({"positions": points(6, 3), "features": points(6)}, "features"),
    ({"positions": points(6, 3), "vectors": points(6, 4)}, "three for each"),
    ({"positions": BROKEN}, "point 4"),
]

OF_ATOMS = [
    ({"outputs": {"class": None}}, "outputs"),
    ({"freeze": ["encoder"]}, "freeze"),
    ({"vectors": [3]}, "vectors"),
    ({"call": "dense"}, "call"),
]
"""Arguments of clouds beside a model of metatrain."""
