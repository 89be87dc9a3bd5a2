# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers that are driven by goals, over real actions: when goals are sent, and what then."""
from types import SimpleNamespace

import pytest

np = pytest.importorskip('numpy')
pytest.importorskip('rclpy')
actions = pytest.importorskip('control_msgs.action')
from rclpy.action import ActionServer, CancelResponse, GoalResponse  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402
from ros_harness import KnownPolicy, World  # noqa: E402
from sqap_vla_ros.errors import ConfigError  # noqa: E402
from sqap_vla_ros.ros.vla.outputs import gripper_action  # noqa: E402

pytestmark = pytest.mark.ros
NAME = 'gripper_controller/gripper_cmd'
KINDS = {'gripper_command': actions.GripperCommand,
         'parallel_gripper_command': actions.ParallelGripperCommand}


class OpeningPolicy(KnownPolicy):
    """Says what `opening` says, 0 closed .. 1 open."""

    opening = 1.0

    def infer(self, observation):
        self.actions[:, 6] = self.opening
        return super().infer(observation)


class Gripper:
    """A gripper's action server; what it does with goals is set by the test."""

    def __init__(self, node, kind):
        self.goals, self.handles, self.cancelled = [], [], 0
        self.accepts, self.ends = True, 'succeed'
        self.result = {'reached_goal': True}
        self._kind = kind
        self.server = ActionServer(
            node, kind, NAME, self._execute, goal_callback=self._asked,
            handle_accepted_callback=self.handles.append, cancel_callback=self._cancel)

    def _asked(self, goal):
        self.goals.append(goal.command)
        return GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT

    def _cancel(self, handle):
        self.cancelled += 1
        return CancelResponse.ACCEPT

    def finish(self):
        """Carry out the goals that were accepted."""
        while self.handles:
            self.handles.pop(0).execute()

    def _execute(self, handle):
        getattr(handle, self.ends)()
        return self._kind.Result(**self.result)


@pytest.fixture
def world_of():
    """Return a function that makes a World which is closed at the test's end."""
    worlds = []

    def make(output='gripper_command', with_server=True, **parameters):
        world = World(OpeningPolicy, {
            'gripper_output': output, 'blending': 'none', **parameters})
        worlds.append(world)
        world.gripper = Gripper(world.robot, KINDS[output]) if with_server else None
        return world
    yield make
    for world in worlds:
        if world.gripper is not None:
            world.gripper.server.destroy()
        world.close()


def started(world):
    """Start a world; returns its gripper once that has been sent a goal."""
    world.start()
    world.robot.say()
    world.until(lambda: world.gripper.goals, meanwhile=world.robot.look, period_s=0.03)
    return world.gripper


def says_of_gripper(world, text):
    """Return whether the status `output` says so of the gripper."""
    status = world.robot.diagnostics.get('vla_node: output')
    return status is not None and text in {v.key: v.value for v in status.values}['gripper']


@pytest.mark.parametrize('kind', KINDS)
def test_one_goal_is_sent_for_an_opening_and_another_when_it_flips(world_of, kind):
    world = world_of(kind, gripper_joint='finger', gripper_max_effort=7.5)
    gripper = started(world)
    world.spin(0.4, world.robot.look)
    assert len(gripper.goals) == 1 and world.is_moving()
    world.policy.opening = 0.0
    world.until(lambda: len(gripper.goals) == 2, meanwhile=world.robot.look)
    opened, closed = gripper.goals
    if kind == 'gripper_command':
        assert (opened.position, closed.position) == (0.04, 0.0)
        assert opened.max_effort == 7.5
    else:
        assert (list(opened.position), list(closed.position)) == ([0.04], [0.0])
        assert list(opened.name) == ['finger'] and list(opened.effort) == [7.5]
    world.until(lambda: gripper.cancelled == 1)
    assert not world.robot.grippers


def test_small_changes_are_no_goals_and_larger_ones_are(world_of):
    world = world_of()
    gripper = started(world)
    world.policy.opening = 0.97
    world.spin(0.5, world.robot.look)
    assert len(gripper.goals) == 1
    world.policy.opening = 0.7
    world.until(lambda: len(gripper.goals) == 2, meanwhile=world.robot.look)
    assert gripper.goals[1].position == pytest.approx(0.7 * 0.04, abs=1e-6)


def test_the_ends_are_gone_to_however_small_the_change(world_of):
    world = world_of()
    gripper = started(world)
    world.policy.opening = 0.02
    world.until(lambda: len(gripper.goals) == 2, meanwhile=world.robot.look)
    world.policy.opening = 0.0
    world.until(lambda: len(gripper.goals) == 3, meanwhile=world.robot.look)
    assert gripper.goals[2].position == 0.0


@pytest.mark.parametrize('ends, result, text', [
    ('succeed', {'reached_goal': True}, 'reached'),
    ('succeed', {'stalled': True}, 'stalled'),
    ('abort', {'stalled': True}, 'it holds something'),
    ('abort', {}, 'ended as aborted')])
def test_what_became_of_a_goal_is_told(world_of, ends, result, text):
    world = world_of()
    gripper = started(world)
    gripper.ends, gripper.result = ends, result
    gripper.finish()
    world.until(lambda: says_of_gripper(world, text), meanwhile=world.robot.look)
    assert world.says('output', 'gripper: the goal ended') == (text == 'ended as aborted')


def test_nothing_moves_without_the_server_and_again_when_it_has_gone(world_of):
    world = world_of(with_server=False)
    world.start()
    world.robot.say()
    world.until(lambda: world.says('output', f'no GripperCommand server {NAME}'),
                meanwhile=world.robot.look)
    world.spin(0.3, world.robot.look)
    assert not world.is_moving()
    world.gripper = Gripper(world.robot, actions.GripperCommand)
    world.until(lambda: world.is_moving() and world.gripper.goals, meanwhile=world.robot.look)
    world.gripper.server.destroy()
    world.until(lambda: world.says('commands', 'no GripperCommand server'),
                meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    world.gripper = Gripper(world.robot, actions.GripperCommand)
    world.until(lambda: world.gripper.goals, meanwhile=world.robot.look)


def test_an_arm_whose_gripper_is_not_required_moves_without_it(world_of):
    world = world_of(with_server=False, gripper_required=False)
    world.start()
    world.move()


def test_a_dry_run_sends_no_goal_and_needs_no_server(world_of):
    world = world_of(dry_run=True)
    world.start()
    world.robot.say()
    world.until(lambda: world.policy.observations, meanwhile=world.robot.look)
    world.spin(0.3, world.robot.look)
    assert not world.gripper.goals
    world.node.set_parameters([Parameter('dry_run', value=False)])
    world.call('resume')
    world.until(lambda: world.gripper.goals and world.is_moving(), meanwhile=world.robot.look)


def test_a_refused_goal_is_told_and_tried_again_but_not_with_every_command(world_of):
    world = world_of()
    world.gripper.accepts = False
    gripper = started(world)
    world.until(lambda: says_of_gripper(world, 'refuses the goal'), meanwhile=world.robot.look)
    world.spin(0.4, world.robot.look)
    assert len(gripper.goals) == 1
    gripper.accepts = True
    world.until(lambda: gripper.handles, meanwhile=world.robot.look)
    assert len(gripper.goals) == 2


def test_a_gripper_that_never_answers_does_not_keep_the_arm_from_stopping(world_of):
    world = world_of()
    gripper = started(world)
    world.until(world.is_moving, meanwhile=world.robot.look)
    world.policy.opening = 0.0  # its goal is taken and never carried out
    world.until(lambda: len(gripper.goals) == 2, meanwhile=world.robot.look)
    assert 'stopped' in world.call('stop').message
    world.stays_still(meanwhile=world.robot.look)
    assert len(gripper.goals) == 2 and gripper.cancelled == 1
    world.node.trigger_deactivate()


@pytest.mark.parametrize('ends', ['stop', 'deactivate'])
def test_an_opening_that_waits_for_an_answer_is_not_gone_to_after_a_stop(
        world_of, monkeypatch, ends):
    monkeypatch.setattr(gripper_action, 'PATIENCE_S', 60.0)
    world = world_of()
    started(world)
    action, asked = world.node._parts.output._gripper, []
    world.until(lambda: action._goal is not None, meanwhile=world.robot.look)

    def send(goal):
        asked.append((goal.command.position, Future()))
        return asked[-1][1]
    monkeypatch.setattr(action._client, 'send_goal_async', send)
    world.policy.opening = 0.0
    world.until(lambda: asked, meanwhile=world.robot.look)
    world.policy.opening = 1.0
    world.until(lambda: action._wanted == 1.0, meanwhile=world.robot.look)
    if ends == 'stop':
        world.call('stop')
    else:
        world.node.trigger_deactivate()
    asked[0][1].set_result(SimpleNamespace(accepted=True, get_result_async=Future))
    world.spin(0.3, world.robot.look)
    assert len(asked) == 1 and action._wanted is None
    if ends == 'stop':
        world.policy.opening = 0.0  # where it is sent already
        world.call('resume')
        world.until(world.is_moving, meanwhile=world.robot.look)
        world.spin(0.2, world.robot.look)
        assert len(asked) == 1


def test_a_goal_that_was_aborted_is_sent_again_and_one_that_was_cancelled_is_not(
        world_of, monkeypatch):
    monkeypatch.setattr(gripper_action, 'AGAIN_S', 0.2)
    world = world_of()
    gripper = started(world)
    gripper.ends, gripper.result = 'abort', {}
    gripper.finish()
    world.until(lambda: len(gripper.goals) == 2, meanwhile=world.robot.look)
    assert gripper.goals[1].position == gripper.goals[0].position
    world.until(lambda: says_of_gripper(world, 'aborted; on its way to 0.04 again'),
                meanwhile=world.robot.look)
    handle = world.node._parts.output._gripper._goal
    handle.cancel_goal_async()
    world.until(lambda: gripper.cancelled, meanwhile=world.robot.look)
    gripper.ends = 'canceled'
    gripper.finish()
    world.until(lambda: says_of_gripper(world, 'ended as cancelled'), meanwhile=world.robot.look)
    world.spin(0.5, world.robot.look)
    assert len(gripper.goals) == 2


def test_a_goal_that_is_never_answered_is_sent_again_and_nothing_piles_up(
        world_of, monkeypatch):
    monkeypatch.setattr(gripper_action, 'PATIENCE_S', 0.3)
    world = world_of()
    world.start()
    world.robot.say()
    client = world.node._parts.output._gripper._client
    asked, send = [], client.send_goal_async
    monkeypatch.setattr(client, 'send_goal_async',
                        lambda goal: asked.append(goal) or send(goal))
    monkeypatch.setattr(client, 'execute', ignore)
    world.until(lambda: len(asked) >= 5, meanwhile=world.robot.look)
    assert {goal.command.position for goal in asked} == {0.04}
    assert len(client._pending_goal_requests) <= 2  # the last, and one that is being let go
    world.until(lambda: says_of_gripper(world, 'does not answer'), meanwhile=world.robot.look)


async def ignore(taken):
    """Hear nothing of an action."""


def test_messages_that_are_not_installed_are_named_with_the_package(monkeypatch):
    monkeypatch.delattr('control_msgs.action.ParallelGripperCommand')
    with pytest.raises(ConfigError, match=r'ParallelGripperCommand, which is not installed: '
                       r'`apt install ros-\$ROS_DISTRO-control-msgs`'):
        gripper_action.ParallelGripperCommandAction(None, None)
