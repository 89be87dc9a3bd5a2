# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a camera in the trees that robots have: above the base, behind the hand."""

from functools import lru_cache

from camera_check_scene import BOARD, CAMERA, pose, rendered, sample
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.calibration.evidence import evidence_of_board
from sqap_vla_ros.calibration.extrinsics import extrinsics_of
from sqap_vla_ros.calibration.findings import Findings
from sqap_vla_ros.calibration.judgement import FINE, judged, judged_by_geometry
from sqap_vla_ros.calibration.mistakes import OPTICAL_IN_BODY
from sqap_vla_ros.geometry.poses import invert_pose

GREY = np.full((480, 640, 3), 120, np.uint8)
OFF = pose((0.02, 0.01, 0), (0, 1, 0))
HAND, FLANGE, TOOL0 = (pose((0.9, 0.0, 0.7), (0, 30, 10)), pose((0, 0.05, 0), (90, 0, 0)),
                       pose((0, 0, 0.1), (0, 0, 90)))
DRIVERS = np.eye(4)
DRIVERS[:3, :3] = OPTICAL_IN_BODY
MOUNT = invert_pose(HAND @ FLANGE @ TOOL0) @ CAMERA @ invert_pose(DRIVERS)
ON_THE_TOOL = [
    ('base', 'wrist_3_link', HAND, False), ('wrist_3_link', 'flange', FLANGE, True),
    ('flange', 'tool0', TOOL0, True), ('tool0', 'camera_link', MOUNT @ OFF, True),
    ('camera_link', 'camera', DRIVERS, True)]
WORLD = pose((0.4, -0.3, 0.8), (10, 20, 50))
IN_THE_WORLD = [('world', 'base', WORLD, True), ('world', 'camera', WORLD @ CAMERA @ OFF, True)]


@lru_cache
def picture():
    """Return the picture of the board, rendered once."""
    return rendered()


def found_of(links, **options):
    """Return the Findings of the board by links (parent, child, [4, 4], is static)."""
    here = sample(image=picture(), links=links, **options)
    evidence, noise_px = evidence_of_board([here], BOARD, 'board')
    verdict = judged(evidence, noise_px)
    return Findings((here,), ('tool',), tuple(evidence), verdict, 'here',
                    extrinsics=extrinsics_of(evidence, verdict.candidate))


@pytest.mark.parametrize('links, robot, parent, child, there', [
    (ON_THE_TOOL, 'tool0', 'tool0', 'camera_link', MOUNT),
    (ON_THE_TOOL, 'tool', 'wrist_3_link', 'flange', FLANGE @ TOOL0 @ MOUNT @ invert_pose(
        TOOL0 @ MOUNT @ OFF)),
    (IN_THE_WORLD, 'tool', 'world', 'camera', WORLD @ CAMERA)])
def test_the_transform_to_publish_moves_the_camera_and_nothing_of_the_robot(
        links, robot, parent, child, there):
    found = found_of(links, end_effector_frames=(robot,))
    assert (found.extrinsics.parent, found.extrinsics.child) == (parent, child)
    np.testing.assert_allclose(found.extrinsics.pose, there, atol=6e-3)
    (what, command), = found.commands()
    assert f'--frame-id {parent} --child-frame-id {child}' in command
    assert f'of what publishes {parent} -> {child} now' in what
    assert found.verdict.status != FINE or what.startswith('not needed')
    assert found.extrinsics.moved_m == pytest.approx(0.0224, abs=6e-3)


def test_where_every_transform_carries_the_robot_none_is_to_be_published():
    found = found_of(ON_THE_TOOL, end_effector_frames=('camera',), min_contrast=0.0)
    assert found.extrinsics.child == '' and found.commands() == []
    assert any('there is no transform to publish' in text for text in found.notes())
    assert 'static_transform_publisher' not in found.summary()


def reordered(matrix, order):
    """Return a pose whose quaternion x y z w was taken in another order."""
    changed = matrix.copy()
    changed[:3, :3] = Rotation.from_quat(
        Rotation.from_matrix(matrix[:3, :3]).as_quat()[list(order)]).as_matrix()
    return changed


@pytest.mark.parametrize('told, key', [
    (invert_pose(WORLD), 'inverted'), (reordered(WORLD, (3, 0, 1, 2)), 'quaternion_wxyz'),
    (reordered(WORLD, (1, 2, 3, 0)), 'quaternion_xyzw')])
def test_a_mistake_above_the_base_is_named_as_it_is_published(told, key):
    verdict = found_of([('world', 'base', told, True),
                        ('world', 'camera', WORLD @ CAMERA, True)]).verdict
    mistakes = {mistake.key: mistake.title for candidate in (
        verdict.candidate, *verdict.cause.alike) for mistake in candidate.mistakes}
    assert 'world -> base' in mistakes[key], mistakes
    assert 'base -> world' not in ' '.join((verdict.headline, *verdict.reasons))
    assert key != 'inverted' or 'holds the pose of world in base' in mistakes[key]


@pytest.mark.parametrize('told, turned, words', [
    (CAMERA, False, None), (CAMERA, True, 'upright by TF'),
    (CAMERA @ pose((0, 0, 0), (0, 0, 180)), False, 'set rotate_image_180: true'),
    (CAMERA @ pose((0, 0, 0), (0, 0, 180)), True, None),
    (pose((0.5, 0, 1.2), (180, 0, 30)), True, None),
    (pose((0.5, 0, 1.2), (180, 0, 30)), False, None),
    (CAMERA @ pose((0, 0, 0), (0, 0, 90)), True, None)])
def test_a_picture_is_called_upside_down_only_where_tf_tells_what_is_up(told, turned, words):
    here = sample(told=told, image=GREY, frames=(), min_contrast=0.0)
    notes = ' '.join(Findings((here,), ('tool',), (), judged_by_geometry((here,), ('tool',)),
                              'here', is_turned=turned).notes())
    assert words is None and 'rotate_image_180' not in notes or words in notes, notes
