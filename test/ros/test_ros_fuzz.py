# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Random messages of every type that the node hears; benchmarks/fuzz.py sends more of them."""

from rig.random_messages import RandomMessages
from ros_harness import speed, StatePolicy

SEED, ROUNDS, MESSAGES = 7, 8, 40
TOPICS = {'image': 'image', 'info': 'info', 'tf': 'tf', 'tf_static': 'tf_static',
          'joints': 'joints', 'words': 'instruction'}


def test_random_messages_neither_end_the_node_nor_move_the_arm_too_fast(make_world):
    world = make_world(StatePolicy, {'gripper_joint': 'finger'})
    world.start()
    robot, messages = world.robot, RandomMessages(SEED)
    robot.publishes.add('joints')
    moved = 0
    for _ in range(ROUNDS):
        world.call('resume')
        world.call('reset')
        robot.say()
        world.spin(0.2, robot.look)
        moved += world.is_moving()
        for _ in range(MESSAGES):
            name, message = messages.drawn(robot.now_ns())
            getattr(robot, TOPICS[name]).publish(message)
            world.spin(0.002)
    world.until(world.stands_still)  # nothing good comes in any more
    limit = world.node.get_parameter('max_linear_speed').value
    assert moved >= ROUNDS / 2
    assert max(map(speed, robot.twists)) <= limit
    assert not any('crashed' in text for _, text in robot.history)
