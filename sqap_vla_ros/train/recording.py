# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One demonstration: disturbed actions are executed, the expert's own are recorded.

What a record holds goes into a shard; shards.py says how.
"""
import numpy as np

from sqap_vla_ros.observation import end_effector_state

JPEG_QUALITY = 95


def record_episode(env, expert, perturbation, config, transform):
    """Run an episode; return its record, lists by name in a dict, or None for a failure."""
    record = {name: [] for name in
              ('jpeg', 'state', 'points_px', 'points_xyz', 'frame_step', 'actions')}
    tail = None
    for step in range(config.max_steps):
        twist, gripper = expert.act()
        early = tail is None or tail > config.tail_steps // 2
        if step % config.frame_stride == 0 and early:
            _record_frame(record, env, step, transform)
        record['actions'].append(np.append(twist, gripper).astype(np.float32))
        success = env.step(*perturbation.apply(twist, gripper))
        if tail is None and success:
            tail = config.tail_steps
        elif tail is not None:
            tail -= 1
            if tail == 0:
                return record
    return None


def _record_frame(record, env, step, transform):
    import cv2
    image = transform.apply(env.render())
    jpeg = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    points = np.array([*env.task_points(), *env.object_centers().values()])
    record['jpeg'].append(jpeg)
    record['state'].append(environment_state(env))
    record['points_xyz'].append(points.astype(np.float32))
    record['points_px'].append(project_points(env, points, transform).astype(np.float32))
    record['frame_step'].append(step)


def environment_state(env):
    """Return the proprioception float32 [8] of an environment, as the policy takes it."""
    from scipy.spatial.transform import Rotation
    pose = env.end_effector_pose()
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return end_effector_state(pose[:3, 3], quaternion, env.gripper_open())


def project_points(env, points, transform):
    """Return where points [P, 3] (base frame, m) lie in the transformed image, [P, 2] px."""
    camera = env.camera_pose()
    in_camera = (points - camera[:3, 3]) @ camera[:3, :3]
    pixels = in_camera @ env.camera_intrinsics().T
    return transform.pixels_to_input(pixels[:, :2] / pixels[:, 2:], env.image_size)


def pack_shard(records, seeds, failed, instructions, point_names):
    """Return a shard's arrays (see shards.py) of [(instruction index, record), ...]."""
    def joined(name, shape):
        values = [value for _, record in records for value in record[name]]
        return np.array(values).reshape(-1, *shape)
    frames = [frame for _, record in records for frame in record['jpeg']]
    return {
        'jpeg': np.concatenate(frames) if frames else np.zeros(0, np.uint8),
        'jpeg_offsets': np.cumsum([0] + [len(frame) for frame in frames]),
        'state': joined('state', (8,)),
        'points_px': joined('points_px', (len(point_names), 2)),
        'points_xyz': joined('points_xyz', (len(point_names), 3)),
        'frame_step': joined('frame_step', ()).astype(np.int32),
        'frame_episode': np.repeat(np.arange(len(records), dtype=np.int32),
                                   [len(record['jpeg']) for _, record in records]),
        'actions': joined('actions', (7,)),
        'action_offsets': np.cumsum([0] + [len(record['actions']) for _, record in records]),
        'instruction': np.array([instruction for instruction, _ in records], np.int32),
        'seed': np.array(seeds, np.int64),
        'failed_seeds': np.array(failed, np.int64),
        'instructions': np.array(instructions), 'point_names': np.array(point_names)}
