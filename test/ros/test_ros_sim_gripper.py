# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated gripper as an action server: goals that are reached, stall, follow each other."""
import threading

from action_msgs.msg import GoalStatus
import pytest
from rclpy.action import ActionClient
from sim_doubles import PointEnv
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.simulator.parameters import SimSettings

actions = pytest.importorskip('control_msgs.action', reason='needs control_msgs')

NAME = 'gripper_controller/gripper_cmd'


class SlowFingers(PointEnv):
    """Fingers that take their time, and stop at `blocked_at`."""

    blocked_at = 0.0

    def step(self, twist, gripper_open):
        opening = self.opening
        success = super().step(twist, gripper_open)
        goal = max(gripper_open, self.blocked_at)
        self.opening = opening + min(max(goal - opening, -0.2), 0.2)
        return success


class Holding(SlowFingers):
    """Fingers with an object between them."""

    blocked_at = 0.5


class Client:
    """Sends a goal at each of some control steps (numbers of TF messages), keeps results."""

    def __init__(self, double, kind, goals):
        self.double, self.results, self.done = double, [], threading.Event()
        self._client = ActionClient(double.node, kind, NAME)
        self._goals, self._kind, self._wanted = dict(goals), kind, len(goals)
        self._sent = 0
        double.hooks['/tf'] = self._on_tf

    def _on_tf(self, message):
        if self._goals and self._client.server_is_ready() and (
                len(self.double.messages['/tf']) >= min(self._goals)):
            number = self._sent
            self._sent += 1
            self._client.send_goal_async(self._goal(self._goals.pop(min(self._goals)))
                                         ).add_done_callback(lambda f: self._taken(number, f))

    def _goal(self, position):
        goal = self._kind.Goal()
        goal.command.position = (
            position if self._kind is actions.GripperCommand else [position])
        return goal

    def _taken(self, number, future):
        handle = future.result()
        if not handle.accepted:
            self._keep(number, 'rejected', None)
        else:
            handle.get_result_async().add_done_callback(
                lambda f: self._keep(number, f.result().status, f.result().result))

    def _keep(self, number, status, result):
        self.results.append((number, status, result))
        if len(self.results) == self._wanted:
            self.done.set()


def run(simulator, policy, kind, goals, env=SlowFingers, steps=24):
    """Return what became of goals {step: position}, sorted by when they were sent."""
    double = policy(lambda stamp, count, image: None)
    client = Client(double, kind, goals)
    name = 'gripper_command' if kind is actions.GripperCommand else 'parallel_gripper_command'
    simulator(env, lockstep=False, max_steps=steps, gripper_interface=name).run()
    client.done.wait(2.0)
    return sorted(client.results, key=lambda item: item[0])


@pytest.mark.parametrize('kind', [actions.GripperCommand, actions.ParallelGripperCommand])
def test_a_goal_is_reached_when_the_fingers_are_there(simulator, policy, kind):
    (_, status, result), = run(simulator, policy, kind, {2: 0.0})
    assert status == GoalStatus.STATUS_SUCCEEDED and result.reached_goal and not result.stalled
    position = result.position if hasattr(result, 'position') else result.state.position[0]
    assert position < 0.005


def test_fingers_that_hold_something_are_stalled(simulator, policy):
    (_, status, result), = run(simulator, policy, actions.GripperCommand, {2: 0.0}, Holding)
    assert status == GoalStatus.STATUS_ABORTED and result.stalled and not result.reached_goal
    assert result.position == pytest.approx(0.02)


def test_a_goal_ends_the_one_before_it_and_nonsense_is_rejected(simulator, policy):
    first, second, third = run(simulator, policy, actions.GripperCommand,
                               {2: 0.0, 4: 0.04, 10: float('nan')})
    assert first[1] == GoalStatus.STATUS_ABORTED and not first[2].stalled
    assert second[1] == GoalStatus.STATUS_SUCCEEDED and third[1] == 'rejected'


def test_lockstep_takes_openings_by_topic_alone():
    with pytest.raises(ConfigError, match='gripper_interface: actions need lockstep: false'):
        SimSettings(gripper_interface='gripper_command')
