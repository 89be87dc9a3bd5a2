# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Unit quaternions float64 [4], (x, y, z, w) as in ROS: products, interpolation, rotations."""

import math

import numpy as np

SMALL_RAD = 1e-6


def product(left, right):
    """Return the rotation that does `right`, then `left`."""
    return np.array(product_of(left.tolist(), right.tolist()))


def product_of(left, right) -> tuple[float, float, float, float]:
    """Return `product` of sequences of floats: for one, NumPy takes ten times as long."""
    x1, y1, z1, w1 = left
    x2, y2, z2, w2 = right
    return (w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2)


def conjugate(quaternion):
    """Return the inverse rotation."""
    return quaternion * np.array([-1.0, -1.0, -1.0, 1.0])


def rotated(quaternion, vector):
    """Return a vector [3] turned by a quaternion."""
    return np.array(rotated_of(quaternion.tolist(), vector.tolist()))


def rotated_of(quaternion, vector) -> tuple[float, float, float]:
    """Return `rotated` of sequences of floats."""
    (x, y, z, w), (a, b, c) = quaternion, vector
    p, q, r = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return (a + w * p + y * r - z * q, b + w * q + z * p - x * r, c + w * r + x * q - y * p)


def from_rotation_vector(vector):
    """Return the quaternion of a rotation about a vector [3] by its length in rad."""
    angle = float(np.linalg.norm(vector))
    factor = np.sin(angle / 2) / angle if angle > SMALL_RAD else 0.5 - angle * angle / 48
    return np.append(vector * factor, np.cos(angle / 2))


def rotation_vector(quaternion):
    """Return the rotation vector [3], of length 0..pi: the shorter way round."""
    vector, real = quaternion[:3], quaternion[3]
    if real < 0:
        vector, real = -vector, -real
    length = float(np.linalg.norm(vector))
    angle = 2 * np.arctan2(length, real)
    return vector * (angle / length if length > SMALL_RAD else 2.0)


def slerp(first, second, ratio):
    """Interpolate between two unit quaternions on the shorter arc, ratio in 0..1."""
    return np.array(slerp_of(first.tolist(), second.tolist(), ratio))


def slerp_of(first, second, ratio: float) -> tuple[float, float, float, float]:
    """Return `slerp` of sequences of floats."""
    (a, b, c, d), (e, f, g, h) = first, second
    cosine = a * e + b * f + c * g + d * h
    if cosine < 0:
        e, f, g, h, cosine = -e, -f, -g, -h, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < SMALL_RAD:
        a, b, c, d = (a + ratio * (e - a), b + ratio * (f - b), c + ratio * (g - c),
                      d + ratio * (h - d))
    else:
        before, after = math.sin((1 - ratio) * angle), math.sin(ratio * angle)
        a, b, c, d = (before * a + after * e, before * b + after * f, before * c + after * g,
                      before * d + after * h)
    length = math.hypot(a, b, c, d)
    return a / length, b / length, c / length, d / length
