# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One demonstration: others act, what the expert would do is recorded.

What a record holds goes into a shard; shards.py says how.  acting.py has who acts.
"""
import numpy as np

from sqap_vla_ros.observation import end_effector_state
from sqap_vla_ros.sim.undone import undone
from sqap_vla_ros.sim.units import SPEEDS

JPEG_QUALITY = 95
EXPERT, POLICY = 0, 1  # who acted
CHUNK_ROWS = 8  # of what the expert would do from a frame on
_LISTS = ('jpeg', 'state', 'points_px', 'points_xyz', 'frame_step', 'actions')
_FURTHER = ('acted', 'chunks')  # where not the expert alone acts


def record_episode(env, expert, actor, config, transform):
    """
    Run an episode; return its record, lists by name in a dict, or None for one to leave out.

    actor: who acts, see acting.py.  Where the expert is not alone (config.policy), failures are
    kept, up to a state in which it could do nothing, and each frame is given what it would do
    from then on: along another's path its single actions make no plan.
    """
    shared = bool(config.policy)
    record = {name: [] for name in _LISTS + _FURTHER * shared}
    tail = None
    for step in range(config.max_steps):
        if tail == 0 or shared and not expert.can_act():
            break
        twist, gripper = expert.act()
        early = tail is None or tail > config.tail_steps // 2
        if step % config.frame_stride == 0 and early:
            _record_frame(record, env, step, transform)
            if shared:
                record['chunks'].append(expert_chunk(env, expert))
        record['actions'].append(np.append(twist, gripper).astype(np.float32))
        *command, who = actor.act(step, twist, gripper)
        if shared:
            record['acted'].append(who)
        success = env.step(*command)
        if tail is not None:
            tail -= 1
        elif success:
            tail = config.tail_steps
    record['solved'] = tail is not None
    return record if shared or tail == 0 else None


def expert_chunk(env, expert, rows=CHUNK_ROWS):
    """Return float32 [rows, 7]: what the expert would do from now on, alone; nothing is done."""
    actions = []
    with undone(env):
        env.command_scale = SPEEDS
        for _ in range(rows):
            twist, gripper = expert.act()
            actions.append(np.append(twist, gripper))
            env.step(twist, gripper)
    return np.array(actions, np.float32)


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
    further = {} if not records or 'chunks' not in records[0][1] else {
        'acted': joined('acted', ()).astype(np.uint8),
        'chunks': joined('chunks', (CHUNK_ROWS, 7)),
        'solved': np.array([record['solved'] for _, record in records])}
    return {
        **further,
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
