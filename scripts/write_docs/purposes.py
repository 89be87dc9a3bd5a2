# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What each topic, service and action of vla_node is for, by its name."""

PURPOSES = {
    'image': 'what the policy sees; the newest one only',
    'image/compressed': 'the same as JPEG or PNG; remap `image`',
    'camera_info': 'the calibration, latched or not',
    'instruction': 'what to do, latched or not; an empty one stops',
    'joint_states': "the gripper's opening, or the joints that are commanded; 5 Hz to 1 kHz",
    'robot_description': 'the URDF, once at configure, unless `urdf_file` names one',
    '/tf': 'base to end effector, base to camera',
    '/tf_static': 'the same, of what does not move',
    'estop_topic': 'the topic that the parameter names (std_msgs/Bool): true stops',
    '/servo_node/status': 'whether Servo slows down or halts',
    'delta_twist_cmds': "how fast the end effector is to be: m/s and rad/s, or Servo's units",
    'target_pose': 'where the end effector is to be, in `base_frame`',
    'joint_trajectory': 'for a joint_trajectory_controller; stamp 0',
    'joint_commands': 'positions for a forward_command_controller',
    'gripper_command': '0 closed .. 1 open',
    '~/action_chunk': 'what the policy answered, in its own units',
    '~/token_selection': 'which patches were kept, and why',
    '~/overlay': 'the same as a picture, made while somebody looks',
    '~/planned_trajectory': 'what is coming, made while somebody looks',
    '~/planned_poses': 'the same as poses, where the URDF tells them',
    '/diagnostics': 'once a second, and at once when something changes',
    '~/stop': 'stops, until `~/resume`; in any state',
    '~/resume': 'clears what is latched, or begins with what is held',
    '~/reset': 'begins an episode; takes the next image as the new normal',
    '~/run_policy': 'one instruction for a time, with feedback and a reason for its end',
    'gripper_controller/gripper_cmd': 'parameter `gripper_action`',
    '/servo_node/switch_command_type': 'at activation: twists or poses',
    '/servo_node/pause_servo': 'at activation: go on',
}
