"""Point groups of molecules.

Two atoms that are not on one line with the centre determine an operation by where it takes
them. All such pairs are tried, so that the group found is complete; generators are not
needed. Permutations are whole numbers, and the mean of the Gram matrix over them has the
symmetry exactly: its eigenvectors are coordinates of the nearest symmetric molecule.
"""

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from .crystals import Found
from .schoenflies import schoenflies


def point_group(positions: np.ndarray, numbers: np.ndarray, symprec: float) -> Found:
    """Find the operations of a molecule.

    :param positions: in Å, shape ``(atoms, 3)``
    :param numbers: of the kinds of atoms, shape ``(atoms,)``
    :param symprec: largest distance in Å of an image from its atom
    :raises ValueError: if two atoms cannot be told apart at this tolerance, or if what is
        found is no group
    :return: Schoenflies symbol, orthogonal matrices, permutations, and offsets of zero
    """
    if len(positions) > 1 and pdist(positions).min() <= 2 * symprec:
        raise ValueError(
            f"two atoms are too close to be told apart at symprec={symprec:g}: choose less "
            "than half their distance, or correct the structure"
        )
    places = positions - positions.mean(axis=0)
    first = int(np.argmax(np.linalg.norm(places, axis=1)))
    reach = np.linalg.norm(places[first])
    if reach < symprec:
        name, rotations, targets = _atom(len(places))
    else:
        heights = np.linalg.norm(np.cross(places, places[first] / reach), axis=1)
        if heights.max() < symprec:
            name, rotations, targets = _linear(places, numbers, symprec)
        else:
            pair = (first, int(np.argmax(heights)))
            rotations, targets = _finite(places, numbers, pair, symprec)
            name = schoenflies(rotations)
    still = np.zeros((*targets.shape, 3))
    return Found(name, rotations, targets, still, np.arange(len(places)), np.eye(3))


def _atom(size: int) -> tuple[str, np.ndarray, np.ndarray]:
    rotations = Rotation.create_group("O").as_matrix()
    rotations = np.concatenate([rotations, -rotations])
    return "Kh", rotations, np.tile(np.arange(size), (len(rotations), 1))


def _linear(
    places: np.ndarray, numbers: np.ndarray, symprec: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """With C3v around the axis: it leaves no vector but the axis invariant."""
    frame = np.linalg.svd(places)[2]
    around = Rotation.create_group("C3").as_matrix()
    around = np.concatenate([around, around @ np.diag([-1.0, 1.0, 1.0])])
    # the axis of the frame is its first row
    around = np.roll(around, 1, axis=(1, 2))
    order = np.argsort(places @ frame[0])
    back = np.empty_like(order)
    back[order] = order[::-1]
    targets = [np.arange(len(places))]
    signs = [1.0]
    apart = np.linalg.norm(places[back] + places, axis=1).max()
    if apart < symprec and np.array_equal(numbers[back], numbers):
        targets.append(back)
        signs.append(-1.0)
    rotations = [
        frame.T @ (np.diag([sign, 1, 1]) @ turn) @ frame
        for sign in signs
        for turn in around
    ]
    name = "D∞h" if len(signs) == 2 else "C∞v"
    return name, np.array(rotations), np.repeat(targets, len(around), axis=0)


def _finite(
    places: np.ndarray, numbers: np.ndarray, pair: tuple[int, int], symprec: float
) -> tuple[np.ndarray, np.ndarray]:
    found: dict[tuple[bytes, int], np.ndarray] = {}
    for matrix in _candidates(places, numbers, pair, symprec):
        target = _assigned(places, numbers, matrix)
        if target is None:
            continue
        sign = round(np.linalg.det(matrix))
        best = _best(places, places[target], sign)
        if np.linalg.norm(places @ best.T - places[target], axis=1).max() < symprec:
            found[target.tobytes(), sign] = target
    targets = np.array(list(found.values()))
    signs = np.array([sign for _, sign in found])
    _check_group(targets, signs)
    return _exact(places, targets, signs), targets


def _candidates(
    places: np.ndarray, numbers: np.ndarray, pair: tuple[int, int], symprec: float
) -> Iterator[np.ndarray]:
    """Orthogonal matrices that take a pair of atoms to a pair of their likes."""
    radii = np.linalg.norm(places, axis=1)
    one, two = pair
    apart = np.linalg.norm(places[one] - places[two])
    likes = [
        np.flatnonzero((numbers == numbers[i]) & (np.abs(radii - radii[i]) < 2 * symprec))
        for i in pair
    ]
    start = _frame(places[one], places[two])
    for p in likes[0]:
        distances = np.linalg.norm(places[likes[1]] - places[p], axis=1)
        for q in likes[1][np.abs(distances - apart) < 2 * symprec]:
            end = _frame(places[p], places[q])
            for sign in (1, -1):
                yield (end * [1, 1, sign]) @ start.T


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthonormal columns, the first two in the plane of two vectors."""
    one = first / np.linalg.norm(first)
    normal = np.cross(one, second)
    normal /= np.linalg.norm(normal)
    return np.stack([one, np.cross(normal, one), normal], axis=1)


def _assigned(
    places: np.ndarray, numbers: np.ndarray, matrix: np.ndarray
) -> np.ndarray | None:
    images = places @ matrix.T
    target = np.linalg.norm(images[:, None] - places, axis=2).argmin(axis=1)
    whole = len(set(target)) == len(target)
    return target if whole and (numbers[target] == numbers).all() else None


def _best(start: np.ndarray, end: np.ndarray, sign: int) -> np.ndarray:
    """Orthogonal matrix of a determinant that takes points nearest to others."""
    left, _, right = np.linalg.svd(end.T @ start)
    last = sign * np.linalg.det(left) * np.linalg.det(right)
    return np.asarray(left @ np.diag([1.0, 1.0, np.sign(last)]) @ right)


def _check_group(targets: np.ndarray, signs: np.ndarray) -> None:
    known = {(t.tobytes(), s) for t, s in zip(targets, signs, strict=True)}
    for target, sign in zip(targets, signs, strict=True):
        products = {(t[target].tobytes(), s * sign) for t, s in
                    zip(targets, signs, strict=True)}  # fmt: skip
        if not products <= known:
            raise ValueError(
                "the operations that the molecule has at this symprec are no group, some "
                "of their products miss it: choose a smaller or a larger symprec"
            )


def _exact(places: np.ndarray, targets: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Matrices that represent the group to machine precision."""
    gram = np.zeros((len(places), len(places)))
    for target in targets:
        gram[np.ix_(target, target)] += places @ places.T
    values, vectors = np.linalg.eigh(gram / len(targets))
    # a reflection that moves no atom: the molecule is planar
    still = (targets == np.arange(len(places))).all(axis=1)
    rank = 2 if (still & (signs < 0)).any() else 3
    points = vectors[:, -rank:] * np.sqrt(values[-rank:])
    left, _, right = np.linalg.svd(points.T @ places, full_matrices=False)
    points = points @ left @ right
    inverse = np.linalg.pinv(points, rcond=1e-6)
    matrices = np.array([(inverse @ points[target]).T for target in targets])
    if rank == 2:
        normal = np.linalg.svd(right)[2][2]
        along = signs * np.linalg.det(matrices + np.outer(normal, normal))
        matrices += np.sign(along)[:, None, None] * np.outer(normal, normal)
    return matrices
