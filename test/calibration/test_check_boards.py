# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is found of boards and markers, what is said where none is, and the pose they give."""

from functools import lru_cache

from camera_check_scene import (
    BOARD, BOARD_AT, CAMERA, info_message, LENS, pose, rendered, sample, TOOL)
import cv2
import numpy as np
import pytest
from sqap_vla_ros.calibration.boards import Board
from sqap_vla_ros.calibration.evidence import (
    evidence_of_board, point_from_text, pose_from_numbers)
from sqap_vla_ros.calibration.extrinsics import extrinsics_of, optical_name, optical_publisher
from sqap_vla_ros.calibration.judgement import judged
from sqap_vla_ros.calibration.mistakes import AS_IS, OPTICAL_IN_BODY
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.poses import invert_pose, pose_matrix


@lru_cache
def picture(camera=None):
    """Return the picture of the board, rendered once."""
    return rendered() if camera is None else rendered(camera=camera)


@lru_cache
def marker(number=7, side_px=120):
    """Return (picture of one marker, where its corners are, clockwise from the top left)."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    paper = np.pad(cv2.aruco.generateImageMarker(dictionary, number, 200), 40,
                   constant_values=255)
    centre, half = np.array([300.3, 180.6]), side_px / 2
    corners = centre + half * np.array([[-1, -0.9], [1, -1], [0.95, 1], [-1, 1.0]])
    inside = np.float32([[40, 40], [240, 40], [240, 240], [40, 240]]) - 0.5
    image = cv2.warpPerspective(paper, cv2.getPerspectiveTransform(
        inside, np.float32(corners)), (640, 480), borderValue=120)
    return np.repeat(image[..., None], 3, 2), corners


def test_a_marker_gives_its_corners_and_without_a_size_its_middle():
    image, corners = marker()
    points, pixels = Board('aruco', marker_m=0.05).found(image)
    np.testing.assert_allclose(pixels, corners, atol=0.5)
    np.testing.assert_allclose(points[0], (-0.025, 0.025, 0))
    points, pixels = Board('aruco', marker_id=7).found(image)
    ends = [np.cross(*(np.append(corners[i], 1) for i in pair)) for pair in ((0, 2), (1, 3))]
    meet = np.cross(*ends)
    np.testing.assert_allclose(pixels[0], meet[:2] / meet[2], atol=0.5)
    np.testing.assert_array_equal(points, np.zeros((1, 3)))


@pytest.mark.parametrize('board, image, words', [
    (BOARD, np.full((480, 640, 3), 120, np.uint8), 'ChArUco board of 5x7 squares of 40 mm'),
    (Board('aruco', marker_id=3), marker()[0], r'marker 3 .* but those seen are \[7\]'),
    (Board('aruco', '6X6_250'), marker()[0], 'there are markers of 4X4_50: is --dictionary'),
    (Board('aruco'), marker(side_px=14)[0], 'marker 7 is too small'),
    (Board('aruco'), picture(), 'several markers are seen'),
    (Board('charuco', squares=(9, 9), square_m=0.04, marker_m=0.03), marker()[0], 'corners of a')])
def test_what_is_not_found_is_told_with_what_was_looked_for(board, image, words):
    with pytest.raises(ObservationError, match=words):
        board.found(image)


@pytest.mark.parametrize('options, words', [
    ({'kind': 'chaurco'}, "did you mean 'charuco'"),
    ({'kind': 'aruco', 'dictionary': '4X4_5O'}, "did you mean '4X4_50'"),
    ({'kind': 'aruco', 'marker_id': 50}, 'expected 0 to 49'),
    ({'kind': 'charuco'}, 'needs --squares'),
    ({'kind': 'charuco', 'squares': (5, 7), 'square_m': 0.03, 'marker_m': 0.04}, 'smaller'),
    ({'kind': 'charuco', 'squares': (12, 12), 'square_m': 0.04, 'marker_m': 0.03}, 'takes 72'),
    ({'kind': 'aruco', 'marker_m': 40.0}, 'expected metres')])
def test_boards_that_cannot_be_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Board(**options)


@pytest.mark.parametrize('text', ['1', '1,2,3', 'a,b', 'nan,1', ''])
def test_points_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match='--point'):
        point_from_text(text, 'tool')
    assert point_from_text('finger=3,4.5', 'tool').frame == 'finger'


def test_a_board_pose_without_rotation_is_refused():
    with pytest.raises(ConfigError, match='--board-pose'):
        pose_from_numbers([0.0] * 7)


def found_pose(evidence):
    """Return (verdict, Extrinsics, what static_transform_publisher would publish [4, 4])."""
    verdict = judged(evidence, 1.0)
    found = extrinsics_of(evidence, verdict.candidate)
    words = found.publisher.split()
    told = {name: float(words[words.index(f'--{name}') + 1])
            for name in ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')}
    numbers = list(told.values())
    return verdict, found, pose_matrix(numbers[:3], numbers[3:])


@pytest.mark.parametrize('info, image', [
    (info_message(), picture()), (info_message(LENS), picture(LENS))])
def test_the_camera_is_where_it_is_however_wrong_tf_is(info, image):
    told = CAMERA @ pose((0.02, 0.03, -0.01), (2, 3, -4))
    evidence, _ = evidence_of_board([sample(told=told, info=info, image=image)], BOARD, 'board')
    _, found, published = found_pose(evidence)
    np.testing.assert_allclose(published[:3, 3], CAMERA[:3, 3], atol=4e-3)
    np.testing.assert_allclose(published[:3, :3], CAMERA[:3, :3], atol=5e-3)
    assert found.rms_px < 0.5 and found.moved_m == pytest.approx(0.0374, abs=4e-3)
    assert '--frame-id base --child-frame-id camera' in found.publisher


def test_a_camera_on_the_arm_is_given_in_its_link_and_above_the_drivers_frames():
    hand, drivers = pose((0.9, 0.0, 0.7), (0, 30, 10)), np.eye(4)
    drivers[:3, :3] = OPTICAL_IN_BODY
    mount = invert_pose(hand) @ CAMERA @ invert_pose(drivers)
    wrong = mount @ pose((0.01, 0, 0), (0, 1, 0))
    here = sample(image=picture(), links=[
        ('base', 'hand', hand, False), ('hand', 'camera_link', wrong, True),
        ('camera_link', 'camera', drivers, True)])
    evidence, _ = evidence_of_board([here], BOARD, 'board')
    _, found, published = found_pose(evidence)
    assert '--frame-id hand --child-frame-id camera_link' in found.publisher
    np.testing.assert_allclose(published, mount, atol=6e-3)
    np.testing.assert_allclose(found.base_camera, CAMERA, atol=6e-3)


def test_a_board_that_hangs_at_a_pose_in_its_frame_is_found_there():
    at = invert_pose(TOOL) @ BOARD_AT
    evidence, _ = evidence_of_board([sample(image=picture())], BOARD, 'tool', at)
    assert judged(evidence, 1.0).offset.p95_px < 0.5


def test_points_on_a_line_give_no_extrinsics():
    image, _ = marker()
    evidence, _ = evidence_of_board([sample(image=image)] * 5, Board('aruco'), 'tool')
    assert extrinsics_of(evidence, AS_IS) is None


def test_a_body_frame_gets_an_optical_frame_of_its_own():
    assert optical_name('camera_link') == 'camera_optical_frame'
    told = optical_publisher('camera_link')
    assert '--qx -0.500000 --qy 0.500000 --qz -0.500000 --qw 0.500000' in told
    quaternion = [-0.5, 0.5, -0.5, 0.5]
    np.testing.assert_allclose(pose_matrix([0, 0, 0], quaternion)[:3, :3], OPTICAL_IN_BODY)
