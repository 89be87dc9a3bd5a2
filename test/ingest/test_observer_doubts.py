# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Poses and cameras that can't be are refused, and told where they need not be known."""

from dataclasses import replace

import numpy as np
from observer_scene import CAMERA, camera_info, D, K, NOW_NS, OPTIONS, picture, Scene, SECOND, told
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.ingest.observer import Observer


def test_a_frame_behind_the_lens_is_refused():
    scene = Scene((0.6, 0.0, -0.1), (0.0, 0.0, 1.0), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])))
    assert told(scene).startswith('hand lies 0.100 m behind the lens, off the image of 64 x 48: '
                                  "is 'camera' an optical frame")


@pytest.mark.parametrize('aside', [(10, 0, 0), (0, -2.6, 0), (0, 0, 1e9)])
@pytest.mark.parametrize('frame', ['hand', 'finger'])
def test_a_frame_out_of_reach_is_refused_with_pixel_and_size(frame, aside):
    scene = Scene(**{frame: aside})
    text = told(scene)
    assert f'{frame} is {np.linalg.norm(aside):.3f} m from base (limit: max_reach, 2.5 m)' in text
    other = {'hand': 'finger', 'finger': 'hand'}[frame]
    assert f'{other} projects to pixel (' in text and 'the image of 64 x 48' in text
    if frame == 'hand':  # proprioception needs no localization
        with pytest.raises(ObservationError, match='limit: max_reach'):
            scene.observe(needs_localization=False)
    with pytest.raises(ObservationError, match='limit: max_reach, 0.5 m'):
        Scene().observe(max_reach=0.5)


def test_a_camera_far_from_the_robot_is_refused():
    scene = Scene(camera=replace(CAMERA, translation=np.array([0.0, -11.0, 0.5])))
    assert ('the camera camera is 11.011 m from base (limit: 4 times max_reach, 10 m)'
            in told(scene))
    assert scene.observe(max_reach=0.0)[0].protected.names == ('hand', 'finger')


@pytest.mark.parametrize('frame, hz, step_m, jumps', [
    ('hand', 30, 0.3, True), ('camera', 30, 0.3, True), ('finger', 5, 0.4, True),
    ('hand', 1000, 0.06, True), ('hand', 1000, 0.04, False), ('hand', 30, 0.045, False)])
def test_frames_that_jump_are_refused_for_a_second(frame, hz, step_m, jumps):
    scene, period_ns = Scene(stamp_ns=NOW_NS - 5 * SECOND), SECOND // hz
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    found = {}
    for tick in range(-2 * hz, 2 * hz + 1):
        stamp_ns = NOW_NS + tick * period_ns
        aside = [0, 0, step_m if -5 < tick <= 0 and tick % 2 else 0]
        for name in ('hand', 'finger', 'camera'):
            pose = scene.camera if name == 'camera' else Pose(
                scene.points[name], np.array([0, 0, 0, 1.0]))
            moved = pose.translation + (aside if name == frame else 0)
            scene.buffer.insert('base', name, replace(pose, translation=moved, stamp_ns=stamp_ns))
        if tick % max(1, hz // 5) == 0:
            scene.heard.camera_info = camera_info(stamp_ns)
            try:
                observer.observe(picture(stamp_ns), 'go')
                found[tick / hz] = ''
            except ObservationError as error:
                found[tick / hz] = str(error)
    assert len(found) >= 20
    refused = [when for when, text in found.items() if text]
    assert bool(refused) == jumps
    if jumps:
        assert -5 / hz <= min(refused) <= 0.2 and max(refused) <= 1.3
        assert f'TF of {frame} jumps: base -> {frame} moved by {step_m:.3f} m' in found[
            refused[0]]
        assert 'projects to pixel' in found[refused[0]]


@pytest.mark.parametrize('aside_m, drift_m_s, hz', [(0.3, 0, 30), (1.5, 0, 30), (0, 2.0, 60)])
def test_a_frame_that_jumped_or_flew_is_refused_until_it_is_back_or_reset(aside_m, drift_m_s, hz):
    scene = Scene(stamp_ns=NOW_NS - 5 * SECOND)
    observer, away = Observer(OPTIONS, scene.heard, scene.buffer), np.zeros(3)

    def looks(first_s, last_s):
        """Return what is said of five images a second."""
        told = []
        for tick in range(round(first_s * hz), round(last_s * hz)):
            stamp_ns = NOW_NS + tick * SECOND // hz
            aside = away + [0, drift_m_s * max(0, min(tick, hz // 2)) / hz * bool(away[0]), 0]
            scene.buffer.insert('base', 'hand', Pose(
                scene.points['hand'] + aside, np.array([0, 0, 0, 1.0]), stamp_ns))
            for name in ('finger', 'camera'):
                scene.place(name, stamp_ns)
            if tick % (hz // 5) == 0:
                scene.heard.camera_info = camera_info(stamp_ns)
                try:
                    observer.observe(picture(stamp_ns), 'go')
                    told.append('')
                except ObservationError as error:
                    told.append(str(error))
        return told
    assert not any(looks(-1, 0))
    away = np.array([aside_m or 1e-9, 0, 0])
    told = looks(0, 4)
    assert all('TF of hand jumps' in text for text in told[2:])
    away = np.zeros(3)
    assert looks(4, 5)[-1] and not any(looks(5.4, 6))
    away = np.array([aside_m or 1e-9, 0, 0])
    looks(6, 8)
    observer.reset()
    assert not any(looks(8, 9)[2:]) or aside_m == 0


def test_an_arm_that_may_be_fast_is_believed_to_be():
    scene = Scene(stamp_ns=NOW_NS)
    moved = scene.points['hand'] + [0.0, 0.1, 0.0]  # 3 m/s
    scene.buffer.insert('base', 'hand', Pose(
        moved, Rotation.from_euler('z', 30, True).as_quat(), NOW_NS - SECOND // 30))
    assert scene.observe(max_linear_speed=2.0)[0].protected.names
    with pytest.raises(ObservationError, match='moved by 0.100 m'):
        scene.observe(max_linear_speed=1.0)


def test_a_hand_that_turns_at_once_jumps_and_limits_of_0_look_at_nothing():
    scene = Scene(stamp_ns=NOW_NS)
    scene.buffer.insert('base', 'hand', Pose(
        scene.points['hand'], np.array([1.0, 0, 0, 0]), NOW_NS - SECOND // 30))
    assert 'moved by 0.000 m and 3.14 rad within 0.033 s' in told(scene)
    for options in ({'max_end_effector_speed': 0.0}, {'lockstep': True}):
        assert scene.observe(**options)[0].protected.names


def test_a_static_camera_that_moves_is_refused_until_reset():
    scene = Scene().forget('camera')
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    scene.buffer.insert('base', 'camera', CAMERA, static=True)
    observer.observe(picture(), 'go')
    scene.buffer.insert('base', 'camera', CAMERA, static=True)  # is said again
    observer.observe(picture(), 'go')
    moved = replace(CAMERA, translation=CAMERA.translation + [0, 0.01, 0])
    scene.buffer.insert('base', 'camera', moved, static=True)
    for _ in range(2):
        with pytest.raises(ObservationError, match='moved by 10 mm and 0.000 rad, though /tf_st'):
            observer.observe(picture(), 'go')
    observer.reset()
    observer.observe(picture(), 'go')


def test_a_camera_on_a_mast_that_turns_is_no_static_one():
    scene = Scene(stamp_ns=NOW_NS - SECOND)
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    for tick in range(100):
        stamp_ns = NOW_NS + tick * SECOND // 30
        scene.camera = replace(CAMERA, translation=CAMERA.translation + [0, 0.005 * tick, 0])
        for name in ('hand', 'finger', 'camera'):
            scene.place(name, stamp_ns)
        observer.observe(picture(stamp_ns), 'go')


@pytest.mark.parametrize('changes', [{'k': [61.0, *K[1:]]}, {'d': [0.06, *D[1:]]}])
def test_a_camera_info_that_changes_is_refused_until_reset(changes):
    scene = Scene()
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    observer.observe(picture(), 'go')
    scene.heard.camera_info = camera_info(NOW_NS + 1)
    observer.observe(picture(), 'go')
    scene.heard.camera_info = camera_info(**changes)
    with pytest.raises(ObservationError, match='camera_info changed: [kd] is .*6.* and was'):
        observer.observe(picture(), 'go')
    observer.reset()
    observer.observe(picture(), 'go')
