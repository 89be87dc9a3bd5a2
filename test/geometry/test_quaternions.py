# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Quaternions against SciPy's rotations."""
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
from scipy.spatial.transform import Rotation
from sqap_vla_ros.geometry import quaternions

vectors = arrays(np.float64, 3, elements=st.floats(-1.8, 1.8))


@given(vectors, vectors, vectors)
def test_products_inverses_and_turned_vectors_are_scipys(first, second, vector):
    left, right = Rotation.from_rotvec(first), Rotation.from_rotvec(second)
    a, b = map(quaternions.from_rotation_vector, (first, second))
    found = Rotation.from_quat(quaternions.product(a, quaternions.conjugate(b)))
    assert (found.inv() * left * right.inv()).magnitude() < 1e-9
    np.testing.assert_allclose(quaternions.rotated(a, vector), left.apply(vector), atol=1e-12)


@given(vectors)
def test_a_rotation_vector_comes_back_the_shorter_way_round(vector):
    quaternion = quaternions.from_rotation_vector(vector)
    assert abs(np.linalg.norm(quaternion) - 1) < 1e-12
    found = quaternions.rotation_vector(-quaternion)  # the same rotation
    assert np.linalg.norm(found) <= np.pi + 1e-12
    difference = Rotation.from_rotvec(found).inv() * Rotation.from_rotvec(vector)
    assert difference.magnitude() < 1e-9
