# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From pixels to the patches of the network's input."""

import numpy as np


def patch_step(patch_grid, input_size):
    """
    Return float64 [2]: the width and height in pixels of a patch of the network's input.

    patch_grid: (rows, cols); input_size: (height, width).  What is left over at the right and
    lower edge belongs to no patch: 27 columns of 384 px are 14 px wide each.
    """
    return np.array([length // count or length / count
                     for length, count in zip(input_size[::-1], patch_grid[::-1])], np.float64)


def patch_centers(patch_grid, input_size):
    """
    Return the pixels float64 [N, 2] (u, v) of the patches' centres in the network's input.

    patch_grid: (rows, cols), numbered row by row; input_size: (height, width).
    """
    rows, cols = patch_grid
    v, u = np.divmod(np.arange(rows * cols), cols)
    return (np.column_stack([u, v]) + 0.5) * patch_step(patch_grid, input_size) - 0.5


def patch_radius(radii_px, image_size, transform, patch_grid):
    """Return radii float64 [M] of an image (H, W) in patches, the larger of both directions."""
    scale = np.asarray(transform.scale(image_size))
    step = patch_step(patch_grid, transform.size)
    return np.asarray(radii_px, np.float64).reshape(-1) * (scale / step).max()


def protected_distances(pixels, radii_px, image_size, transform, patch_grid,
                        radius_patches=2.0):
    """
    Return float32 [N]: how far (in patches) each patch centre is from a protected point.

    pixels: [M, 2] (u, v) of the image (H, W), before `transform`; radii_px [M]: the
    uncertainty of each, in the same pixels. A patch takes the distance to its nearest point
    among those whose disk (radius_patches + uncertainty) holds the patch's centre, inf when
    there is none. Points that are not finite, or off the image or the part of it that the
    network sees, protect nothing; nor do points of unknown (non-finite) uncertainty.
    """
    rows, cols = patch_grid
    pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
    radii = radius_patches + patch_radius(radii_px, image_size, transform, patch_grid)
    if len(radii) != len(pixels):
        raise ValueError(f'{len(pixels)} points but {len(radii)} radii')
    in_input = transform.pixels_to_input(pixels, image_size)
    seen = (_inside(pixels, image_size) & _inside(in_input, transform.size)
            & np.isfinite(radii))
    if not seen.any():
        return np.full(rows * cols, np.inf, np.float32)
    place = _in_patches(in_input[seen], patch_grid, transform.size)
    v, u = np.divmod(np.arange(rows * cols), cols)
    distance = np.hypot(place[:, 0, None] - u, place[:, 1, None] - v)  # [M, N]
    distance[distance > radii[seen, None]] = np.inf
    return distance.min(axis=0).astype(np.float32)


def distances_of_views(views, transform, patch_grid, radius_patches=2.0):
    """
    Return float32 [V * N]: protected_distances of several images, one after the other.

    views: (pixels, radii_px, image_size) of each, in the order in which a network takes their
    tokens; their images may differ in size.  So one budget is spent on all views together.
    """
    return np.concatenate([
        protected_distances(pixels, radii_px, image_size, transform, patch_grid, radius_patches)
        for pixels, radii_px, image_size in views])


def _inside(pixels, size):
    """Return bool [M]: on an image (height, width), whose edges are half a pixel out."""
    limit = np.asarray(size, np.float64)[::-1] - 0.5
    return ((pixels >= -0.5) & (pixels < limit)).all(axis=1)  # NaN compares false


def _in_patches(pixels, patch_grid, input_size):
    """Return input pixels [M, 2] in patch units (col, row), integers being patch centres."""
    step = patch_step(patch_grid, input_size)
    return (np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5) / step - 0.5
