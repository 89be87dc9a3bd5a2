# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Farthest point sampling of patches, within each of the images that a network takes.

Patches of different images are no neighbours: a patch is as far as it is from those of its own
image. Pure numpy; squared distances are integers, so that ties are exact.
"""
from functools import lru_cache

import numpy as np

TIES = ('index', 'even')


def farthest_points(grid, start, count, ties='index', images=1, least=0):
    """
    Return int64 [count]: patches added one by one, each the farthest from all before it.

    grid: (rows, cols) of one image; the patches of each are numbered behind those of the one
    before. start: indices [S] that are there already and are not returned; in an image without
    any the centre patch comes first, and before all that are near others. least: how many patches
    an image is to have in the end, with those of start; what it is owed comes first, as far as
    `count` goes. Distances are between patch centres, in patches; ties: one of TIES, see
    SelectionConfig. Raises ValueError when there are fewer free patches.
    """
    start = np.unique(np.asarray(start, np.int64))
    keys, size = _distance_keys(*grid, ties, images), grid[0] * grid[1]
    if count > images * size - len(start):
        raise ValueError(f'{count} more patches than {images} x the grid {grid} has free')
    parts = [slice(image * size, (image + 1) * size) for image in range(images)]
    nearest = np.concatenate([_nearest(keys[part], start[start // size == image] % size, grid)
                              for image, part in enumerate(parts)])
    owed = np.maximum(min(least, size) - np.bincount(start // size, minlength=images), 0)
    found, missing = [], count
    for image in np.flatnonzero(owed):
        part = parts[image]
        added = _grown(nearest[part], keys[part], min(owed[image], missing), images * size)
        found.append(part.start + added)
        missing -= len(added)
    return np.concatenate([*found, _grown(nearest, keys, missing, images * size)])


def _nearest(keys, taken, grid):
    """Return the keys [n] of one image's patches to those taken; without any the centre leads."""
    if len(taken):
        return np.min([keys[index] for index in taken], axis=0)
    beyond = np.full_like(keys[0], np.iinfo(keys[0].dtype).max - 1)
    centre = (grid[0] - 1) // 2 * grid[1] + (grid[1] - 1) // 2
    beyond[centre] += 1
    return beyond


def _grown(nearest, keys, count, total):
    """
    Return int64 [count]: the farthest of some images, one by one.

    nearest [m * n]: the key to the nearest one taken, which is brought up to date.  keys: their
    m * n rows [n], see _distance_keys, also of total.
    """
    chosen, size = np.empty(count, np.int64), len(keys[0])
    images = nearest.reshape(-1, size)
    for place in range(count):
        index = int(nearest.argmax())  # taken patches are below `total`
        if nearest[index] < 2 * total:  # free patches all touch a taken one: no more distances
            chosen[place:] = np.argsort(-nearest)[:count - place]
            nearest[chosen[place:]] = 0
            break
        chosen[place] = index
        image = images[index // size]
        np.minimum(image, keys[index], out=image)
    return chosen


@lru_cache(maxsize=8)
def squared_distances(rows, cols):
    """Return the squared distances [N, N] between patches; integers, so that ties are exact."""
    row, col = np.divmod(np.arange(rows * cols), cols)
    squared = (row[:, None] - row) ** 2 + (col[:, None] - col) ** 2
    squared = squared.astype(np.int16 if squared.max() < 2 ** 15 else np.int32)
    squared.flags.writeable = False
    return squared


def tie_order(rows, cols, ties, images=1):
    """
    Return int64 [images * N], a permutation: of equally far patches, the highest comes first.

    'even' is the order of a dither matrix (Bayer 1973): each next patch is far from those before.
    Of patches at the same place in several images that of the first image comes first.
    """
    index = np.arange(rows * cols)
    order = index[::-1] if ties == 'index' else _dither(rows, cols)
    return np.concatenate([order * images + behind for behind in range(images)[::-1]])


def _dither(rows, cols):
    row, col = np.divmod(np.arange(rows * cols), cols)
    rank = np.zeros(len(row), np.int64)
    for bit in range(int(max(rows, cols) - 1).bit_length()):
        rank = 4 * rank + 2 * (((row ^ col) >> bit) & 1) + ((row >> bit) & 1)
    return np.argsort(np.argsort(-rank, kind='stable'), kind='stable')


@lru_cache(maxsize=8)
def _distance_keys(rows, cols, ties, images):
    """
    Return a row [N] for each patch of all images: squared distances, in one integer with ties.

    It is the squared distance to the patches of its image, times the total of all images, plus
    tie_order.  Rows are a tuple, which is indexed fast.
    """
    squared, size = squared_distances(rows, cols).astype(np.int64), rows * cols
    order = tie_order(rows, cols, ties, images)
    keys = squared * (images * size) + order.reshape(images, 1, size)
    keys = keys.astype(np.int32 if keys.max() < 2 ** 31 - 2 else np.int64)
    keys.flags.writeable = False
    return tuple(keys.reshape(-1, size))
