"""Modules of point clouds whose symmetry is known, and a small PointNet."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation


class Lambda(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, clouds):
        return self.function(clouds)


class PointNet(torch.nn.Module):
    """A PointNet that classifies clouds and points; smooth, so that grids converge."""

    def __init__(self, columns=3, width=16, classes=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.local = torch.nn.Conv1d(columns, width, 1)
        self.mix = torch.nn.Linear(width, width)
        self.classify = torch.nn.Linear(width, classes)
        self.segment = torch.nn.Conv1d(2 * width, classes, 1)
        self.double()

    def forward(self, points):  # (B, columns, N)
        features = torch.tanh(self.local(points))
        whole = torch.tanh(self.mix(features.mean(dim=2)))
        each = whole[:, :, None].expand_as(features)
        segments = self.segment(torch.cat([features, each], 1))
        return {"class": self.classify(whole), "segments": segments}


def cloud(n=20, columns=3, seed=0):
    """Points of some size, not centred."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(n, columns)) + 0.2)


def product_grid(n=10):
    """Elements of O(3) and weights, from Gauss-Legendre and equispaced Euler angles."""
    cosines, legendre = np.polynomial.legendre.leggauss(n)
    angles = 2 * np.pi * np.arange(2 * n) / (2 * n)
    found, weights = [], []
    for cosine, weight in zip(cosines, legendre, strict=True):
        for alpha in angles:
            euler = [[alpha, np.arccos(cosine), gamma] for gamma in angles]
            found.append(Rotation.from_euler("ZYZ", euler).as_matrix())
            weights += [weight] * len(angles)
    matrices = np.concatenate(found)
    weights = np.array(weights * 2)
    return np.concatenate([matrices, -matrices]), weights / weights.sum()
