# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A data set through the node's ingest: images, instruction, and where the robot is seen."""
from __future__ import annotations

from types import SimpleNamespace as Fields

from made_data_set import Made, made_data_set, number, read_number, TASKS
import numpy as np
import pytest
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.dataset_robot import as_robot
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.recorded_commands import CommandSettings, recorded_commands
from sqap_vla_ros.replay.topics import topic_map

MEANING = """
action: &arm {kind: joint_position, names: [shoulder, elbow, gripper], gripper_open: 100,
              gripper_closed: 0, scale: {shoulder: 0.01, elbow: 0.01}}
state: *arm
static_transforms:
  - {parent: base_link, child: camera, xyz: [0, 0, -1]}
  - {parent: base_link, child: tool0, xyz: [0.1, 0, 0]}
"""
INFO = Fields(header=Fields(frame_id='camera', stamp=Fields(sec=0, nanosec=0)), width=128,
              height=64, distortion_model='plumb_bob', d=[0.0] * 5, binning_x=0, binning_y=0,
              k=[100.0, 0, 64, 0, 100, 32, 0, 0, 1], r=[1.0, 0, 0, 0, 1, 0, 0, 0, 1],
              p=[100.0, 0, 64, 0, 0, 100, 32, 0, 0, 0, 1, 0],
              roi=Fields(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False))


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_data_set_is_seen_as_a_camera_and_a_robot_are(tmp_path, version):
    (tmp_path / 'meaning.yaml').write_text(MEANING)
    settings = CommandSettings(gripper_joint='finger')
    recording, _ = as_robot(open_recording(made_data_set(tmp_path / 'set', Made(version))),
                            tmp_path / 'meaning.yaml', settings)
    topics = topic_map(recording.topics)
    options = ObserverOptions(camera_frame='camera', min_contrast=0.0, max_image_change=0.0)
    looking = Looking(recording, topics, LookOptions({'': options}, infos={'': INFO}))
    looks = list(looking)
    assert [look.problem for look in looks] == [''] * 15
    assert [read_number(look.observation.image) for look in looks] == [
        number(episode, frame) for episode, length in ((0, 6), (1, 9)) for frame in range(length)]
    assert [look.instruction for look in looks] == [TASKS[0]] * 6 + [TASKS[1]] * 9
    assert [look.begins for look in looks] == [at in (0, 6) for at in range(15)]
    protected = looks[3].observation.protected
    assert protected.names == ('tool0',) and np.allclose(protected.pixels, [[74, 32]])
    assert looking.joint_names == ('shoulder', 'elbow', 'finger')
    assert np.allclose(looks[7].joints, [0.11, -0.01, 0.02])  # half open
    (arm, gripper), _ = recorded_commands(recording, topics, settings)
    assert np.allclose(arm.values[7], [0.12, 0.0]) and gripper.values[7] == [0.51]
    assert arm.times_ns.tolist() == [look.time_ns for look in looks]
