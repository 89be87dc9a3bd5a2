# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `replay` says a node would have commanded is what a running node commands."""
from dataclasses import replace

from made_results import made_results
import numpy as np
import pytest
from ros_harness import INSTRUCTION, KnownPolicy
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.replay.play_options import PlayOptions
from sqap_vla_ros.replay.played import play
from sqap_vla_ros.ros.messages import nanoseconds_of
from sqap_vla_ros.ros.vla.config import NodeConfig

DT_NS, COUNT, ROWS = 50_000_000, 18, 8
START_NS = 10**9
SPACE = ActionSpace(execute_steps=4)
PARAMETERS = {
    'use_sim_time': True, 'image_timeout': 10.0, 'inference_timeout': 10.0,
    'require_resume': False, 'max_linear_speed': 0.3, 'max_linear_acceleration': 0.0,
    'max_angular_acceleration': 0.0}
STAMPS_NS = START_NS + DT_NS * np.arange(COUNT)


def answers_to_all():
    """Return actions float32 [N, T, 7] to images; some are beyond the limit."""
    rng = np.random.default_rng(4)
    arm = rng.uniform(-0.3, 0.3, (COUNT, ROWS, 6))
    return np.concatenate([arm, rng.uniform(0, 1, (COUNT, ROWS, 1))], 2).astype(np.float32)


ACTIONS = answers_to_all()


class ToldPolicy(KnownPolicy):
    """Answers each image with its own actions."""

    def infer(self, observation):
        index = (observation.stamp_ns - START_NS) // DT_NS
        self.actions = ACTIONS[index]
        return super().infer(observation)


def by_replay(parameters, latency_s):
    """Return Played of the same answers."""
    made = made_results(COUNT, ROWS)
    images = replace(made.images, problems=('',) * COUNT, times_ns=STAMPS_NS,
                     stamps_ns=STAMPS_NS, instructions=(INSTRUCTION,) * COUNT)
    answers = replace(made.answers[0], actions=ACTIONS, velocities=ACTIONS[..., :6].astype(float),
                      execute_steps=SPACE.execute_steps)
    config = NodeConfig.from_parameters(parameters)
    return play(images, answers, SPACE, PlayOptions.of(config, SPACE, None, latency_s))


def by_the_node(world, lockstep, waits):
    """Return {time: [twist]} that a node says; an answer comes `waits` images later."""
    robot = world.robot
    world.start()
    clocks = 2 if lockstep else 1
    world.until(lambda: robot.clock_publisher.get_subscription_count() >= clocks)
    robot.say()
    world.until(lambda: world.node._control.instructions.text == INSTRUCTION)
    world.policy.made_ready.append((INSTRUCTION, robot.size))
    parts, due = world.node._parts, None
    for index, stamp_ns in enumerate(STAMPS_NS.tolist()):
        robot.tick(stamp_ns)
        world.until(lambda: world.node._control.now_ns() == stamp_ns)
        if waits and due is None:
            world.policy.gate.clear()
        robot.look(stamp_ns)
        world.until(lambda: parts.inputs.frame is not None
                    and parts.inputs.frame.stamp_ns == stamp_ns)
        if due is None and parts.inference.is_busy:
            due = index + waits
        if due == index:
            world.policy.gate.set()
            world.until(lambda: not parts.inference.is_busy)
            due = None
        count = len(robot.twists)
        world.until(lambda: len(robot.twists) > count + 1 or lockstep and said(robot, stamp_ns))
    return {stamp_ns: said(robot, stamp_ns) for stamp_ns in STAMPS_NS.tolist()}


def said(robot, stamp_ns):
    """Return what the twists stamped so say."""
    return [numbers(message.twist) for message in robot.twists
            if nanoseconds_of(message.header.stamp) == stamp_ns]


def numbers(twist):
    return [getattr(half, axis) for half in (twist.linear, twist.angular) for axis in 'xyz']


@pytest.mark.parametrize('lockstep, waits', [(True, 0), (False, 0), (False, 2)])
def test_a_running_node_says_the_same_commands(make_world, lockstep, waits):
    parameters = {**PARAMETERS, 'lockstep': lockstep}
    played = by_replay(parameters, waits * DT_NS * 1e-9)
    world = make_world(ToldPolicy, parameters)
    live = by_the_node(world, lockstep, waits)
    asked = [(each.stamp_ns - START_NS) // DT_NS for each in world.policy.observations]
    assert played.asked.tolist()[:len(asked)] == asked
    compared = 0
    for stamp_ns in STAMPS_NS[1:].tolist():
        expected = played.velocities[played.stamps_ns == stamp_ns]
        if len(expected) and live[stamp_ns]:
            np.testing.assert_allclose(live[stamp_ns][-1], expected[-1], rtol=0, atol=1e-12)
            compared += 1
    assert compared >= COUNT - 2
    speeds = np.linalg.norm(played.velocities[:, :3], axis=1)
    assert speeds.max() == pytest.approx(0.3), 'a limit was met'
