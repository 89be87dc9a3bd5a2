# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""~/run_policy over real topics: goals, feedback, cancel, and every way in which a goal ends."""

from types import SimpleNamespace

from action_msgs.msg import GoalStatus
import pytest
import rclpy
from rclpy.action import ActionClient
from ros_harness import INSTRUCTION, KnownPolicy, speed, spinner
from sqap_vla_ros.action import RunPolicy
from sqap_vla_ros.ros.vla import running
from std_msgs.msg import Bool

Result = RunPolicy.Result


class Client:
    """A client of ~/run_policy on the robot's node, or another."""

    def __init__(self, world, node=None):
        self.world, self.feedback = world, []
        self.client = ActionClient(node or world.robot, RunPolicy, 'vla_node/run_policy')
        world.until(self.client.server_is_ready)

    def send(self, instruction=INSTRUCTION, max_duration_s=0.0):
        """Send a goal; returns its handle."""
        goal = RunPolicy.Goal(instruction=instruction, max_duration_s=max_duration_s)
        future = self.client.send_goal_async(
            goal, lambda message: self.feedback.append(message.feedback))
        self.world.until(future.done)
        return future.result()

    def run(self, **goal):
        """Send a goal and show images until the arm moves; returns the future of its result."""
        self.handle = self.send(**goal)
        assert self.handle.accepted
        result = self.handle.get_result_async()
        self.world.until(self.world.is_moving, meanwhile=self.world.robot.look)
        return result

    def ended(self, result):
        """Wait for a result, with images; returns (status, result)."""
        self.world.until(result.done, meanwhile=self.world.robot.look)
        return result.result().status, result.result().result

    def stays_ended(self):
        """Assert that images, and the topic repeating itself, do not move the arm."""
        self.world.stays_still(0.4, self.world.robot.look)


@pytest.fixture
def client(world):
    """Return a client of an active node."""
    client = Client(world)
    yield client
    client.client.destroy()


def test_a_goal_moves_the_arm_for_its_time_and_feedback_tells_how_it_goes(client):
    status, result = client.ended(client.run(max_duration_s=1.0))
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.termination_reason == Result.DURATION == 'duration'
    assert 1.0 <= result.elapsed_s < 20 and result.commands >= 5 and result.inferences >= 2
    client.stays_ended()
    last = client.feedback[-1]
    assert len(client.feedback) >= 2 and last.hold_reason == ''
    assert last.commands > client.feedback[0].commands and last.elapsed_s <= result.elapsed_s
    assert last.latency_ms > 0


def test_cancel_stops_the_arm_before_it_is_answered(client):
    result = client.run()
    cancelled = client.handle.cancel_goal_async()
    client.world.until(cancelled.done)
    client.world.until(client.world.stands_still)
    status, ended = client.ended(result)
    assert (status, ended.termination_reason) == (GoalStatus.STATUS_CANCELED, Result.CANCELLED)
    client.stays_ended()
    status, _ = client.ended(client.run(max_duration_s=0.2))  # another one may follow
    assert status == GoalStatus.STATUS_SUCCEEDED


@pytest.mark.parametrize('world', [{'max_linear_acceleration': 0.2}], indirect=True)
@pytest.mark.parametrize('is_cancelled', [True, False])
def test_cancel_stops_at_once_and_the_end_of_the_time_within_the_limits(client, is_cancelled):
    world, twists = client.world, client.world.robot.twists
    result = client.run(max_duration_s=30.0 if is_cancelled else 2.0)
    world.until(lambda: speed(twists[-1]) > 0.09, meanwhile=world.robot.look)
    if is_cancelled:
        client.handle.cancel_goal_async()
    client.ended(result)
    world.until(world.stands_still)
    speeds = [speed(twist) for twist in twists]
    last = max(index for index, value in enumerate(speeds) if value > 0.09)
    slows_down = any(0 < value < 0.08 for value in speeds[last:])
    assert slows_down != is_cancelled, speeds[last:]


def stop(client):
    assert client.world.call('stop').success


def press(client):
    client.estop.publish(Bool(data=True))


def crash(client):
    client.world.policy.infer = lambda observation: 1 / 0


def deactivate(client):
    client.world.node.trigger_deactivate()


def clear_the_topic(client):
    client.world.robot.say('')


@pytest.mark.parametrize('world', [{'estop_topic': 'estop'}], indirect=True)
@pytest.mark.parametrize('end, reason, text', [
    (stop, Result.STOPPED, 'stopped by ~/stop'), (press, Result.ESTOP, 'is pressed'),
    (crash, Result.FAULT, 'the policy crashed'), (deactivate, Result.DEACTIVATED, 'deactivated'),
    (clear_the_topic, Result.STOPPED, 'an empty instruction')])
def test_what_stops_the_arm_ends_the_goal_with_its_reason(client, end, reason, text):
    client.estop = client.world.robot.create_publisher(Bool, 'estop', 1)
    client.world.until(client.estop.get_subscription_count)
    client.estop.publish(Bool(data=False))
    client.world.until(lambda: not client.world.node._parts.estop.why_not_move)
    result = client.run()
    end(client)
    status, ended = client.ended(result)
    assert status == GoalStatus.STATUS_ABORTED
    assert ended.termination_reason == reason and text in ended.message
    client.stays_ended()


@pytest.mark.parametrize('goal, text', [
    ({'instruction': 'make coffee'}, "the nearest is 'put the bowl on the stove'"),
    ({'instruction': 'x' * 10**6}, 'has 1000000 characters, at most 256'),
    ({'instruction': ' '}, 'is empty'),
    ({'instruction': 'put\x07'}, "control characters ('\\x07')"),
    ({'max_duration_s': float('nan')}, 'max_duration_s is nan'),
    ({'max_duration_s': float('inf')}, 'max_duration_s is inf'),
    ({'max_duration_s': -1.0}, 'max_duration_s is -1.0')])
def test_a_goal_that_makes_no_sense_is_rejected_with_the_reason(client, goal, text):
    assert not client.send(**goal).accepted
    client.world.until(lambda: client.world.says('run_policy', 'a goal was rejected: '))
    assert text in client.world.robot.said('run_policy')[1]
    client.stays_ended()


def test_an_inactive_node_and_one_that_is_stopped_reject_goals(make_world):
    world = make_world()
    client = Client(world)
    assert not client.send().accepted
    world.until(lambda: world.says('run_policy', 'the node is not active'))
    world.start()
    world.call('stop')
    assert not client.send().accepted
    world.until(lambda: world.says('run_policy', 'stopped by ~/stop; call ~/resume'))
    world.call('resume')
    client.run()


@pytest.mark.parametrize('world', [{'estop_topic': 'estop'}], indirect=True)
def test_a_goal_is_rejected_while_nothing_is_known_of_the_emergency_stop(client):
    assert not client.send().accepted
    client.world.until(lambda: client.world.says('run_policy', 'no message yet on /estop'))


def test_the_arm_is_stopped_before_the_result_which_may_fail_to_go_out(client, monkeypatch):
    """As when the executor was shut down before the node was told to stop."""
    world, zeros = client.world, []
    client.run()
    monkeypatch.setattr(type(world.node), 'executor', None)
    run, end = world.node._run, world.node._run.end
    output = world.node._parts.output
    monkeypatch.setattr(output, 'flush', lambda: zeros.append('flushed'))
    monkeypatch.setattr(run, 'end', lambda *reason: (zeros.append('ended'), end(*reason)))
    world.node.take_apart()
    assert zeros == ['flushed', 'ended'] and not run.is_running
    world.executors[1].spin_once(timeout_sec=1)
    world.until(world.stands_still)


def test_whatever_ends_the_loop_the_arm_is_stopped_while_results_go_out(monkeypatch):
    did, context = [], SimpleNamespace(ok=lambda: True)
    node = SimpleNamespace(
        context=context, get_parameter=lambda name: SimpleNamespace(value=False),
        interrupted=SimpleNamespace(is_set=lambda: False),
        take_apart=lambda: did.append('taken apart'))
    monkeypatch.setattr(running, 'SingleThreadedExecutor', lambda context: SimpleNamespace(
        add_node=lambda node: None, shutdown=lambda: did.append('shut down')))
    monkeypatch.setattr(running, 'serve', lambda *_: False)  # each callback raises
    assert not running.spin(node)
    assert did == ['taken apart', 'shut down']


def test_a_second_goal_is_rejected_while_one_runs(client):
    result = client.run(max_duration_s=1.0)
    assert not Client(client.world).send().accepted
    client.world.until(lambda: client.world.says('run_policy', 'cancel that goal first'))
    assert client.ended(result)[1].termination_reason == Result.DURATION


def test_the_topic_does_not_override_a_goal_nor_go_on_after_it(client):
    """As of a publisher that repeats its instruction all the time."""
    world = client.world
    world.policy.instructions += ('another',)
    result = client.run(max_duration_s=1.0)
    world.until(lambda: world.says('instruction', "'another' on the topic is not followed"),
                meanwhile=lambda: (world.robot.look(), world.robot.say('another')))
    assert client.ended(result)[1].termination_reason == Result.DURATION

    def repeat():
        world.robot.look()
        world.robot.say('another')
    world.stays_still(0.5, repeat)
    assert {seen.instruction for seen in world.policy.observations} == {INSTRUCTION}
    world.until(lambda: world.says('commands', 'was already on the topic while ~/run_policy ran'),
                meanwhile=repeat)
    world.robot.say()  # something else, and now
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_goal_takes_the_place_of_the_topic_which_does_not_go_on_after_it(client):
    client.world.move()
    assert client.ended(client.run(max_duration_s=0.3))[0] == GoalStatus.STATUS_SUCCEEDED
    client.stays_ended()


def test_a_goal_without_a_duration_ends_when_its_client_is_gone(world, monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.ros.vla.run_policy.CLIENT_GONE_S', 0.3)
    context = rclpy.Context()
    rclpy.init(context=context)
    other = rclpy.create_node('other', context=context)
    world.executors.append(spinner(other, context))
    client = Client(world, other)
    client.run()
    world.spin(0.5, world.robot.look)
    assert world.node._run.is_running  # somebody listens
    world.executors.pop().shutdown()
    client.client.destroy()
    other.destroy_node()
    rclpy.shutdown(context=context)
    world.until(lambda: world.says('run_policy', 'client_gone'), meanwhile=world.robot.look)
    client.stays_ended()


def test_feedback_says_why_the_arm_stands_still(client):
    client.run(max_duration_s=3.0)
    client.world.until(lambda: client.feedback and 'no image on /image' in
                       client.feedback[-1].hold_reason)


@pytest.mark.parametrize('world', [{'require_resume': True}], indirect=True)
def test_a_loss_that_is_latched_ends_the_goal(client):
    result = client.run(max_duration_s=9.0)
    client.world.until(result.done)  # no images any more
    ended = result.result().result
    assert ended.termination_reason == Result.FAULT and 'no image on /image' in ended.message
    client.stays_ended()


def test_moving_is_counted_and_zero_is_not(make_world):
    class Still(KnownPolicy):

        def __init__(self, config):
            super().__init__(config)
            self.actions[:, :6] = 0
    world = make_world(Still)
    world.start()
    client = Client(world)
    _, result = client.ended(client.send(max_duration_s=0.5).get_result_async())
    assert result.commands == 0 and result.inferences >= 1
    assert not any(speed(twist) for twist in world.robot.twists)
