# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of two cameras is shown to an OpenVLA-OFT, as the node would have shown it."""
from dataclasses import replace
import shutil

import golden_data
from made_recording import (
    beginning, IMAGE, INFO, MadeRecording, MS, STATIC, tick, TOPICS, transforms)
import numpy as np
from observer_scene import CAMERA, NOW_NS, OPTIONS, picture
import pytest
from sqap_vla_ros.control.states import STATES
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.results import DROPPED
from sqap_vla_ros.replay.run import Replay
from sqap_vla_ros.replay.variants import VariantOptions, Variants

WRIST, COUNT, PERIOD = '/wrist', 4, 50
TWO = replace(TOPICS, images={'full': IMAGE, 'wrist': WRIST}, infos={'full': INFO, 'wrist': INFO})
EYE = replace(OPTIONS, end_effector_frames=('hand',), state_base_frame='base',
              state_end_effector_frame='hand', max_image_change=0.0, tf_timeout=0.0)
LOOKING = LookOptions(
    {'full': replace(EYE, camera='full', camera_frame='camera'),
     'wrist': replace(EYE, camera='wrist', camera_frame='wrist')},
    'full', STATES['libero'], seen=('full', 'wrist'))


def of_the_wrist(index, copies=False):
    """Return what its camera sends 2 ms after the other one was triggered."""
    stamp_ns = NOW_NS + index * PERIOD * MS
    (_, _, _, (_, _, main)) = tick(index)
    pixels = np.reshape(np.array(main.data, np.uint8), (48, 64, 3))
    return (stamp_ns + 2 * MS, WRIST, picture(
        stamp_ns, 'wrist', pixels=pixels if copies else 255 - pixels))


def recording(lacks=(), copies=()):
    """Return a recording; lacks, copies: images of which the wrist's is none, or the other's."""
    messages = [(NOW_NS, STATIC, transforms(('wrist', CAMERA, NOW_NS))), *beginning()]
    for index in range(COUNT):
        if index not in lacks:
            messages.append(of_the_wrist(index, index in copies))
        messages += tick(index)
    for _, topic, message in messages:
        if topic in (IMAGE, WRIST):  # as rosbags has them
            message.data = np.frombuffer(bytes(message.data), np.uint8)
    return MadeRecording(messages)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return an OpenVLA-OFT that may drive a robot."""
    path = shutil.copytree(golden_data.oft('oft_tiny'), tmp_path_factory.mktemp('oft') / 'oft')
    golden_data.recipe().write_json(path / 'deployment.json', {
        'action_space': {'preset': 'libero', 'execute_steps': 8}})
    return path


def test_what_a_camera_lacks_leaves_its_image_unanswered_and_names_it(checkpoint, tmp_path):
    variants = Variants(VariantOptions(
        checkpoint, PolicyOptions(threads=1), ('fp', 'prune'), (96,)))
    made = recording(lacks=(1, 2, 3))
    results, _ = Replay(made, TWO, LOOKING, variants, (), {'stride': 1}, tmp_path / 'out').run(
        lambda text: None)
    assert results.images.problems[:3] == ('', '', '')  # up to camera_tolerance, 0.1 s
    assert results.images.problems[3] == (
        'camera wrist: no image on /wrist goes with the one that is asked about: the nearest was '
        'taken 0.150 s before it (limit: camera_tolerance, 0.1 s): synchronize the clocks of the '
        'cameras, or let them send as often')
    for answers in results.answers:
        assert np.isfinite(answers.actions[:3]).all() and np.isnan(answers.actions[3]).all()
        assert answers.actions.shape[1:] == (8, 7) and answers.reasons.shape == (COUNT, 512)
    kept = results.answers[1].reasons[0] != DROPPED
    assert kept.sum() == 96 and kept[:256].any() and kept[256:].any()
    assert results.answers[1].covered[0][:256].any() and results.answers[1].covered[0][256:].any()


def test_a_recording_of_one_camera_twice_is_not_answered():
    looks = list(Looking(recording(copies=(2,)), TWO, LOOKING))
    assert [look.problem.partition(' show one')[0] for look in looks] == [
        '', '', *2 * ['cameras full and wrist']]
    states = [look.observation.state for look in looks[:2]]
    np.testing.assert_allclose(states[1], [
        0.352, 0.1, 0.55, 0, 0, np.pi / 6, 0.001, -0.001], atol=1e-9)
    alone = replace(LOOKING, seen=('full',))
    assert not any(look.problem for look in Looking(recording(copies=(2,)), TWO, alone))
