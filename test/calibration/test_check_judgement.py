# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A rendered board whose camera is described wrongly: what is wrong is named, and by how much."""

from functools import lru_cache

from camera_check_scene import (
    BOARD, CAMERA, info_message, K, PLAIN, pose, rendered, sample, SIZE, TOOL)
import cv2
import numpy as np
import pytest
from sqap_vla_ros.calibration.evidence import evidence_of_board, evidence_of_points, Point
from sqap_vla_ros.calibration.judgement import FINE, judged, judged_by_geometry, UNJUDGED, WRONG
from sqap_vla_ros.calibration.mistakes import AS_IS, quaternion_of
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.camera import CameraModel
from sqap_vla_ros.geometry.poses import invert_pose, quaternion_matrix

BODY = np.eye(4)  # of the optical frame in a body frame: right, down and forward in it
BODY[:3, :3] = np.column_stack([(0, -1, 0), (0, 0, -1), (1, 0, 0)])
WIDE_D = (-0.4, 0.15, 0.0, 0.0, 0.0)
WIDE = CameraModel(*SIZE, K, 'plumb_bob', WIDE_D)


@lru_cache
def picture(camera=PLAIN):
    """Return the picture of the board, rendered once."""
    return rendered(camera=camera)


def verdict_of(**scene):
    """Return (verdict, evidence) of the board in a scene."""
    scene = {'image': picture(), **scene}
    evidence, noise_px = evidence_of_board([sample(**scene)], BOARD, 'board')
    return judged(evidence, noise_px), evidence


def reordered(matrix, order):
    """Return a pose whose quaternion has its numbers in another order."""
    changed = matrix.copy()
    changed[:3, :3] = quaternion_matrix(quaternion_of(matrix[:3, :3])[list(order)])
    return changed


def mirror_of_scale(factor):
    """Return the camera_info of a calibration at another resolution, in this image's size."""
    scaled = K * np.array([factor, factor, 1.0])[:, None]
    scaled[:2, 2] += 0.5 * factor - 0.5
    return info_message(CameraModel(*SIZE, scaled))


def test_a_camera_that_is_described_as_it_is_is_fine_to_half_a_pixel():
    verdict, evidence = verdict_of()
    assert verdict.status == FINE and verdict.offset.p95_px < 0.5
    assert verdict.calibration_error_px == 1.0 and len(evidence[0].points) == 24
    assert 'camera is an optical frame' in verdict.headline


@pytest.mark.parametrize('told, key', [
    (CAMERA @ invert_pose(BODY), 'body_frame'), (CAMERA @ BODY, 'turned_twice'),
    (invert_pose(CAMERA), 'inverted'), (CAMERA @ pose((0, 0, 0), (0, 0, 180)), 'upside_down'),
    (CAMERA @ pose((0, 0, 0), (0, 0, -90)), 'rolled_right'),
    (CAMERA @ pose((0, 0, 0), (0, 0, 90)), 'rolled_left'),
    (pose((0, 0, 0), (0, 0, 180)) @ CAMERA, 'base_turned'),
    (reordered(CAMERA, (3, 0, 1, 2)), 'quaternion_wxyz'),
    (reordered(CAMERA, (1, 2, 3, 0)), 'quaternion_xyzw')])
def test_extrinsics_that_are_wrong_are_named(told, key):
    verdict, _ = verdict_of(told=told)
    assert (verdict.status, verdict.candidate.key) == (WRONG, key)
    assert verdict.cause.offset.p95_px < 0.5 < verdict.offset.median_px
    assert verdict.calibration_error_px is None


@pytest.mark.parametrize('turn, key', [
    ((slice(None, None, -1), slice(None, None, -1)), 'image_turned'),
    ((slice(None), slice(None, None, -1)), 'mirrored'),
    ((slice(None, None, -1), slice(None)), 'flipped')])
def test_pictures_that_were_turned_or_mirrored_are_named(turn, key):
    verdict, _ = verdict_of(image=np.ascontiguousarray(picture()[turn]))
    assert (verdict.status, verdict.candidate.key) == (WRONG, key)
    assert verdict.cause.offset.p95_px < 0.5


@pytest.mark.parametrize('rectified', [False, True])
def test_a_rectified_image_that_is_taken_as_raw_is_named_and_the_other_way_round(rectified):
    evidence, noise_px = evidence_of_board([sample(
        image=picture(WIDE if rectified else PLAIN), info=info_message(WIDE),
        camera_rectified=rectified)], BOARD, 'board')
    verdict = judged(evidence, noise_px)
    bent = AS_IS.project(evidence[0].sample, evidence[0].points)[0] - evidence[0].pixels
    assert np.linalg.norm(bent, axis=1).max() > 3
    assert (verdict.status, verdict.candidate.key) == (WRONG, 'rectification')
    assert ('camera_rectified: ' + str(not rectified).lower()) in verdict.candidate.cure


@pytest.mark.parametrize('factor', [0.75, 2.0])
def test_intrinsics_of_another_resolution_are_named(factor):
    verdict, _ = verdict_of(info=mirror_of_scale(1 / factor))
    assert (verdict.status, verdict.candidate.key) == (WRONG, 'resolution')
    assert f'{1 / factor:.3g} times the resolution' in verdict.candidate.title
    assert verdict.cause.offset.p95_px < 0.35  # pixel centres are integers


@pytest.mark.parametrize('size, change, key', [
    ((640, 360), lambda image: image[60:420], 'cut_out'),
    ((640, 360), lambda image: cv2.resize(image, (640, 360), interpolation=cv2.INTER_AREA),
     'stretched')])
def test_an_image_of_another_aspect_is_refused_and_what_became_of_it_found(size, change, key):
    verdict, evidence = verdict_of(image=np.ascontiguousarray(change(picture())))
    assert evidence[0].sample.size == size and 'another aspect' in evidence[0].sample.refusal
    keys = {mistake.key for candidate in (verdict.candidate, *verdict.cause.alike)
            for mistake in candidate.mistakes}
    assert verdict.status == WRONG and key in keys
    assert judged_by_geometry([evidence[0].sample], ('tool',)).status == WRONG


def test_a_wrong_link_in_the_middle_is_named_by_its_frames():
    mount = pose((0.1, 0.0, 1.1), (10, 20, 30))
    verdict, _ = verdict_of(links=[
        ('base', 'pole', mount, True),
        ('pole', 'camera', invert_pose(invert_pose(mount) @ CAMERA), True)])
    assert (verdict.status, verdict.candidate.key) == (WRONG, 'inverted')
    assert verdict.headline.startswith('pole -> camera is inverted')


def test_two_mistakes_at_once_are_found_with_a_board():
    verdict, _ = verdict_of(told=invert_pose(CAMERA), image=np.ascontiguousarray(
        picture()[::-1, ::-1]))
    assert (verdict.status, verdict.candidate.key) == (WRONG, 'inverted+image_turned')


@pytest.mark.parametrize('euler, words', [
    ((0, 1.2, 0), 'a constant shift'), ((0, 0, 4.0), 'a rotation by +3.99 degrees')])
def test_an_offset_of_no_known_mistake_is_measured_and_described(euler, words):
    told = CAMERA @ pose((0, 0, 0), euler)
    verdict, evidence = verdict_of(told=told)
    # what OpenCV says of the pose that TF has
    place = invert_pose(told)
    seen, _ = cv2.projectPoints(
        evidence[0].points, cv2.Rodrigues(place[:3, :3])[0], place[:3, 3], K, None)
    true = invert_pose(CAMERA)
    wanted, _ = cv2.projectPoints(
        evidence[0].points, cv2.Rodrigues(true[:3, :3])[0], true[:3, 3], K, None)
    shift = (wanted - seen)[:, 0]
    np.testing.assert_allclose(verdict.offset.shift, shift.mean(axis=0), atol=0.5)
    lengths = np.linalg.norm(shift, axis=1)
    assert abs(verdict.offset.median_px - np.median(lengths)) < 0.5
    assert verdict.offset.margin_px == np.ceil(verdict.offset.p95_px)
    assert any(words in reason for reason in verdict.reasons), verdict.reasons


def test_of_a_point_the_offset_is_what_it_is_off_and_the_parameter_its_ceiling():
    here = sample(image=picture())
    (u, v), = AS_IS.project(here, TOOL[:3, 3])[0]
    evidence, noise_px = evidence_of_points([here], [Point('tool', u + 6.3, v - 8.4)])
    verdict = judged(evidence, noise_px)
    assert verdict.status == FINE and verdict.offset.median_px == pytest.approx(10.5)
    assert verdict.calibration_error_px == 11.0
    np.testing.assert_allclose(verdict.offset.shift, (6.3, -8.4))


@pytest.mark.parametrize('told, key', [
    (CAMERA @ invert_pose(BODY), 'body_frame'), (invert_pose(CAMERA), 'inverted')])
def test_one_point_tells_a_gross_mistake(told, key):
    (u, v), = AS_IS.project(sample(image=picture()), TOOL[:3, 3])[0]
    evidence, noise_px = evidence_of_points(
        [sample(told=told, image=picture())], [Point('tool', u + 2, v - 3)])
    verdict = judged(evidence, noise_px)
    named = {mistake.key for candidate in (verdict.candidate, *(
        verdict.cause.alike if verdict.cause else ())) for mistake in candidate.mistakes}
    assert verdict.status == WRONG and key in named, verdict.reasons


def test_a_point_in_the_middle_cannot_tell_upside_down_and_it_is_said():
    middle = CAMERA @ np.array([0, 0, 0.8, 1.0])
    here = sample(image=picture())
    here.frames['tool'][:3, 3] = middle[:3]
    evidence, noise_px = evidence_of_points([here], [Point('tool', K[0, 2], K[1, 2])])
    verdict = judged(evidence, noise_px)
    assert verdict.status == FINE
    assert any('cannot tell whether the camera is rolled by 180' in text
               for text in verdict.reasons), verdict.reasons


@pytest.mark.parametrize('told, status, key, words', [
    (CAMERA, UNJUDGED, 'as_is', 'camera is an optical frame'),
    (CAMERA @ invert_pose(BODY), WRONG, 'body_frame', 'would put tool at pixel (287.1, 219.0)'),
    (CAMERA @ pose((0, 0, 0), (0, 180, 0)), WRONG, 'as_is', 'behind the lens'),
    (CAMERA @ pose((0, 0, 0), (0, 60, 0)), UNJUDGED, 'as_is', 'move the arm')])
def test_without_evidence_only_what_geometry_tells_is_said(told, status, key, words):
    verdict = judged_by_geometry([sample(told=told, image=picture())], ('tool',))
    assert (verdict.status, verdict.candidate.key) == (status, key), verdict
    assert words in ' '.join((verdict.headline, *verdict.reasons)), verdict


def test_a_camera_in_millimetres_is_told_by_its_distance_alone():
    told = CAMERA.copy()
    told[:3, 3] *= 1000
    verdict = judged_by_geometry([sample(told=told, image=picture())], ('tool',))
    assert 'is in millimetres' in ' '.join((verdict.headline, *verdict.reasons))


@pytest.mark.parametrize('point, words', [
    (Point('tool', 640.0, 100.0), 'off the image of 640 x 480'),
    (Point('tool', -3.0, 100.0), 'off the image')])
def test_a_point_off_the_image_is_refused(point, words):
    with pytest.raises(ObservationError, match=words):
        evidence_of_points([sample(image=picture())], [point])


def test_a_point_of_an_arm_that_moves_is_refused():
    first, last = sample(image=picture()), sample(image=picture())
    last.frames['tool'][0, 3] += 0.02
    with pytest.raises(ObservationError, match='tool moved by 20 mm'):
        evidence_of_points([first, last], [Point('tool', 100, 100)])
