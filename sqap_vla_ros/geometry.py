# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From the robot's frames to the patches of the network's input: pose -> pixel -> patch.

Camera models stand in camera.py and the path of the pixels in image_transform.py; both are
offered here too, so that callers import all geometry from one place. Matrices are 4x4
homogeneous, quaternions are (x, y, z, w) as in ROS, lengths are metres.
"""
import numpy as np

from .camera import camera_from_info, CameraModel, project
from .errors import ObservationError
from .image_transform import ImageTransform

__all__ = [
    'CameraModel', 'ImageTransform', 'camera_from_info', 'invert_pose', 'nearest_patch',
    'patch_centers', 'patch_index', 'patch_radius', 'points_in_camera', 'pose_matrix',
    'project', 'protected_distances', 'quaternion_matrix', 'radius_from_uncertainty',
    'transform_points']

QUATERNION_NORM_TOLERANCE = 0.01  # what tf2 tolerates


def quaternion_matrix(quaternion_xyzw):
    """
    Return the rotation matrix float64 [3, 3] of a unit quaternion (x, y, z, w).

    Raises ObservationError when the norm is off 1 by more than 0.01 or not finite.
    """
    quaternion = np.asarray(quaternion_xyzw, np.float64).reshape(4)
    norm = np.linalg.norm(quaternion)
    if not abs(norm - 1.0) <= QUATERNION_NORM_TOLERANCE:
        raise ObservationError(f'quaternion {quaternion.tolist()} has norm {norm:.4g}, not 1: '
                               'the transform is broken or was never set')
    x, y, z, w = quaternion / norm
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def pose_matrix(translation, quaternion_xyzw):
    """
    Return the 4x4 matrix of a pose: it takes points of the child into the parent frame.

    translation: [3], m. Raises ObservationError for a non-finite or unnormalised pose.
    """
    translation = np.asarray(translation, np.float64).reshape(3)
    if not np.isfinite(translation).all():
        raise ObservationError(f'translation {translation.tolist()} is not finite')
    matrix = np.eye(4)
    matrix[:3, :3] = quaternion_matrix(quaternion_xyzw)
    matrix[:3, 3] = translation
    return matrix


def invert_pose(matrix):
    """Return the inverse of a rigid 4x4 matrix."""
    matrix = np.asarray(matrix, np.float64)
    inverse = np.eye(4)
    inverse[:3, :3] = matrix[:3, :3].T
    inverse[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return inverse


def transform_points(matrix, points):
    """Return points float64 [M, 3] moved by a 4x4 matrix."""
    points = np.asarray(points, np.float64).reshape(-1, 3)
    return points @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]


def points_in_camera(points_base, camera_in_base):
    """Return points [M, 3] of the base frame in the camera's, whose 4x4 pose in base is given."""
    return transform_points(invert_pose(camera_in_base), points_base)


def patch_centers(patch_grid, input_size):
    """
    Return the pixels float64 [N, 2] (u, v) of the patches' centres in the network's input.

    patch_grid: (rows, cols), numbered row by row; input_size: (height, width).
    """
    rows, cols = patch_grid
    v, u = np.divmod(np.arange(rows * cols), cols)
    step = np.array([input_size[1] / cols, input_size[0] / rows])
    return (np.column_stack([u, v]) + 0.5) * step - 0.5


def patch_index(row, col, patch_grid):
    """
    Return the index of the patch in a row and a column.

    Raises ValueError when it lies off the grid.
    """
    rows, cols = patch_grid
    if not (0 <= row < rows and 0 <= col < cols):
        raise ValueError(f'patch ({row}, {col}) lies off the grid {rows} x {cols}')
    return int(row) * cols + int(col)


def nearest_patch(pixels, patch_grid, input_size):
    """Return int64 [M]: the patch that holds each input pixel [M, 2], -1 where none does."""
    place = _in_patches(pixels, patch_grid, input_size)  # finite or NaN
    inside = ((place >= -0.5) & (place < np.asarray(patch_grid)[::-1] - 0.5)).all(axis=1)
    col, row = np.floor(np.where(inside[:, None], place, 0) + 0.5).astype(np.int64).T
    return np.where(inside, row * patch_grid[1] + col, -1)


def patch_radius(radii_px, image_size, transform, patch_grid):
    """Return radii float64 [M] of an image (H, W) in patches, the larger of both directions."""
    scale = np.asarray(transform.scale(image_size))
    step = np.array([transform.size[1] / patch_grid[1], transform.size[0] / patch_grid[0]])
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


def radius_from_uncertainty(transform_age_s, speed_m_s, calibration_error_px, focal_px,
                            depth_m):
    """
    Return how far (px) a projected point may be from where it is shown.

    transform_age_s: between the transform and the image, its sign does not matter; speed_m_s:
    of the frame; focal_px, depth_m: of the camera and the point (scalars or arrays [M]).
    inf where the depth is not positive.
    """
    depth = np.asarray(depth_m, np.float64)
    moved_m = np.abs(np.asarray(transform_age_s, np.float64)) * np.abs(speed_m_s)
    in_front = depth > 0
    moved_px = focal_px * moved_m / np.where(in_front, depth, 1.0)
    radius = np.where(in_front, calibration_error_px + moved_px, np.inf)
    return radius if radius.ndim else float(radius)


def _inside(pixels, size):
    """Return bool [M]: on an image (height, width), whose edges are half a pixel out."""
    limit = np.asarray(size, np.float64)[::-1] - 0.5
    return ((pixels >= -0.5) & (pixels < limit)).all(axis=1)  # NaN compares false


def _in_patches(pixels, patch_grid, input_size):
    """Return input pixels [M, 2] in patch units (col, row), integers being patch centres."""
    step = np.array([input_size[1] / patch_grid[1], input_size[0] / patch_grid[0]])
    return (np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5) / step - 0.5
