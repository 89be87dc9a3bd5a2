# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The node over real DDS: its lifecycle, its commands, its services and what it publishes."""

import weakref

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_harness import INSTRUCTION, KnownPolicy, SPEED, speed
from sensor_msgs.msg import Image
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.options import known, VISION_DTYPES
from sqap_vla_ros.ros.vla.config import PARAMETERS
from sqap_vla_ros.ros.vla.node import load_configured_policy, policy_facts
from tiny_checkpoint import save_tiny_checkpoint


def test_it_moves_once_it_has_an_instruction_an_image_and_transforms(world):
    world.until(lambda: world.says('commands', 'no instruction'))
    world.move()
    twist = world.robot.twists[-1]
    assert speed(twist) == pytest.approx(SPEED)
    assert twist.header.frame_id == 'base'
    world.until(lambda: world.robot.grippers)
    assert world.robot.grippers[-1].data == 0.5
    age_ns = world.robot.now_ns() - twist.header.stamp.sec * 10**9 - twist.header.stamp.nanosec
    assert 0 <= age_ns < 0.5e9
    assert world.policy.observations[-1].instruction == INSTRUCTION


def test_commands_are_repeated_at_20_hz_between_images(world):
    world.move()
    world.robot.twists.clear()
    world.until(lambda: len(world.robot.twists) >= 10)
    times = [twist.header.stamp for twist in world.robot.twists]
    stamps = [stamp.sec + stamp.nanosec * 1e-9 for stamp in times]
    assert np.median(np.diff(stamps)) <= 0.055  # a machine that stalls delays one, not most
    assert any(map(speed, world.robot.twists))


def test_past_the_end_of_the_chunk_it_stands_still_and_says_so(world):
    world.node.set_parameters([Parameter('image_timeout', value=5.0)])
    world.move()
    world.until(lambda: world.says('commands', 'or smaller execute_steps, to ask earlier'))
    world.stays_still()


def test_the_policy_runs_on_one_thread_that_is_not_the_executor(world):
    world.policy.gate.clear()
    world.robot.say()
    world.until(lambda: world.policy.observations, meanwhile=world.robot.look)
    world.stays_still(0.3, world.robot.look)
    world.policy.gate.set()
    world.until(world.is_moving, meanwhile=world.robot.look)
    assert len(world.policy.threads) == 1


def test_the_policy_is_made_ready_once_before_it_is_asked(world):
    world.move()
    assert world.policy.made_ready == [(INSTRUCTION, world.robot.size)]
    assert world.policy.events[:2] == ['made ready', 'asked']
    assert 'made ready' not in world.policy.events[1:]


def test_while_the_policy_is_made_ready_nothing_moves_and_then_a_new_image_counts(world):
    """Else the arm would do the end of a plan whose beginning it has never done."""
    world.move()
    world.policy.instructions += ('open the drawer',)
    world.policy.ready_gate.clear()
    world.policy.actions[:, 0] = SPEED * np.arange(1, 9)
    world.robot.say('open the drawer')
    world.until(lambda: world.says('commands', 'made ready for this image size'),
                meanwhile=world.robot.look)
    world.stays_still(0.25, world.robot.look)
    ready_ns = world.robot.now_ns()
    world.policy.ready_gate.set()
    world.until(world.is_moving, meanwhile=world.robot.look)
    first = next(observation for observation in world.policy.observations
                 if observation.instruction == 'open the drawer')
    assert first.stamp_ns >= ready_ns - 10**8
    moved = [speed(twist) for twist in world.robot.twists if speed(twist)]
    assert moved[0] <= 3 * SPEED + 1e-6  # of a chunk that is three rows old at most


def test_preparing_counts_neither_as_overhead_nor_as_inference(world):
    world.policy.ready_gate.clear()
    world.robot.say()
    world.until(lambda: world.says('commands', 'made ready'), meanwhile=world.robot.look)
    world.spin(1.0)
    world.policy.ready_gate.set()
    world.until(lambda: world.robot.chunks, meanwhile=world.robot.look)
    chunk = world.robot.chunks[0]
    assert dict(zip(chunk.stage_names, chunk.stage_ms))['ros_overhead'] < 900
    world.until(lambda: world.says('inference', 'answering'))


def test_an_inference_that_takes_too_long_stops_the_arm(world):
    world.move()
    world.policy.gate.clear()
    world.until(lambda: world.says('commands', 'inference takes more than 0.5 s'),
                meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    world.policy.gate.set()
    world.until(world.is_moving, meanwhile=world.robot.look)


@pytest.mark.parametrize('value, message', [(np.nan, 'not finite'), (100.0, 'speed of 100 m/s')])
def test_a_non_finite_or_absurd_chunk_stops_it_until_resume(world, value, message):
    world.move()
    good = world.policy.actions.copy()
    world.policy.actions[7, 2] = value
    world.until(lambda: world.says('commands', message), meanwhile=world.robot.look)
    world.policy.actions = good
    world.stays_still(meanwhile=world.robot.look)
    assert message in world.call('resume').message
    world.until(world.is_moving, meanwhile=world.robot.look)
    assert all(np.isfinite(speed(twist)) for twist in world.robot.twists)


def test_too_fast_commands_are_shortened_to_the_limit_in_force(world):
    world.node.set_parameters([Parameter('max_linear_speed', value=0.05)])
    world.move()
    assert speed(world.robot.twists[-1]) == pytest.approx(0.05)


def test_a_crash_of_the_policy_stops_it_and_is_reported(world):
    world.move()
    world.policy.actions = 'nonsense'
    world.until(lambda: world.says('commands', 'the policy crashed'), meanwhile=world.robot.look)
    world.until(lambda: world.says('inference', 'AttributeError'))
    world.stays_still(meanwhile=world.robot.look)


def test_a_crash_is_reported_even_if_a_reset_came_in_between(world):
    world.move()
    inference = world.node._control.parts.inference
    inference.crashed('Traceback\nAttributeError: nonsense')
    inference.reset()
    world.until(lambda: world.says('commands', 'the policy crashed'))


@pytest.mark.parametrize('how', ['stop and resume', 'new instruction', 'no images for a while'])
@pytest.mark.parametrize(
    'world', [{'image_timeout': 0.3, 'inference_timeout': 60.0}], indirect=True)
def test_after_a_stop_the_rest_of_a_long_chunk_is_never_played(world, how):
    """The chunk lasts 16 s, and no other answer comes before the gate is opened."""
    world.policy.config.action_space = world.node._control.commander.space = ActionSpace(dt=2.0)
    world.move()
    world.policy.gate.clear()
    if how == 'stop and resume':
        assert 'call ~/resume' in world.call('stop').message
        world.stays_still(meanwhile=world.robot.look)
        assert 'stopped by ~/stop' in world.call('resume').message
    elif how == 'new instruction':
        world.policy.instructions += ('another',)
        world.robot.say('another')
    else:
        world.until(lambda: world.says('commands', 'no image on'))
    world.until(world.stands_still, meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    world.policy.gate.set()
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_reset_begins_an_episode_of_the_policy(world):
    world.move()
    resets = world.policy.resets
    assert world.call('reset').success
    world.until(lambda: world.policy.resets == resets + 1, meanwhile=world.robot.look)


def test_deactivation_sends_zero_and_then_nothing(world):
    world.move()
    world.node.trigger_deactivate()
    world.until(world.stands_still)
    world.robot.twists.clear()
    world.spin(0.3, world.robot.look)
    assert not world.robot.twists
    assert 'not active' in world.call('reset').message


def test_cleanup_frees_policy_and_topics_and_configure_comes_back(world):
    world.move()
    policy, world.policy = weakref.ref(world.policy), None
    world.node.trigger_deactivate()
    world.node.trigger_cleanup()
    world.spin(0.1)  # the executor lets go of what it waited for
    assert policy() is None
    assert world.node.count_publishers('delta_twist_cmds') == 0
    world.start()
    world.move()


def test_chunk_and_selection_are_published_with_the_stamp_of_their_image(world):
    world.move()
    world.until(lambda: world.robot.chunks and world.robot.selections)
    chunk, selection = world.robot.chunks[0], world.robot.selections[0]
    assert chunk.header == selection.header
    stamp = chunk.header.stamp.sec + chunk.header.stamp.nanosec * 1e-9
    assert stamp == pytest.approx(world.policy.observations[0].stamp_ns * 1e-9, rel=0, abs=1e-6)
    np.testing.assert_allclose(np.reshape(chunk.data, (chunk.horizon, chunk.dim)),
                               world.policy.actions)
    assert list(chunk.names)[-1] == 'gripper' and chunk.kind == 'twist'
    assert {'total', 'observation', 'ros_overhead'} <= set(chunk.stage_names)
    assert (selection.rows, selection.cols, len(selection.kept)) == (4, 4, 8)
    assert list(selection.frames) == ['end_effector']
    assert selection.PROTECTED in selection.reason


def test_the_overlay_is_drawn_only_while_someone_subscribes(world):
    world.move()
    images = []
    subscription = world.robot.create_subscription(Image, 'vla_node/overlay', images.append, 5)
    world.until(lambda: images, meanwhile=world.robot.look)
    assert images[0].encoding == 'rgb8' and images[0].header.frame_id == 'camera'
    assert len(images[0].data) == images[0].step * images[0].height
    world.robot.destroy_subscription(subscription)


def test_every_parameter_has_a_description_and_reloads_are_read_only(world):
    for name, item in PARAMETERS.items():
        told = world.node.describe_parameter(name)
        assert told.description and told.read_only != known(item).live, name
    limits = world.node.describe_parameter('control_rate').floating_point_range[0]
    assert limits.from_value == 20.0


@pytest.mark.parametrize('name, value, is_taken', [
    ('checkpoint', 'other', False), ('int8_parts', ['head'], False),
    ('max_linear_speed', -1.0, False), ('image_timeout', 1.5, True)])
def test_only_live_parameters_within_their_range_can_be_set(world, name, value, is_taken):
    result, = world.node.set_parameters([Parameter(name, value=value)])
    assert result.successful == is_taken


def test_a_workspace_may_be_set_while_it_moves_without_one(make_world):
    world = make_world(KnownPolicy, {'keep_tokens': 0})  # and so without TF
    assert world.node.start(), world.node.problem
    world.until(lambda: world.robot.image.get_subscription_count()
                and world.robot.instruction.get_subscription_count())
    world.move()
    for high, moves in ((1.0, True), (0.05, False), (1.0, True)):  # it is at 0.1
        result, = world.node.set_parameters([Parameter(
            'workspace_high', value=[high, 1.0, 2.0])])
        assert result.successful
        world.until(lambda: world.is_moving() == moves, meanwhile=world.robot.look)
        world.robot.twists.clear()
        world.until(lambda: len(world.robot.twists) > 8, meanwhile=world.robot.look)
        assert world.is_moving() == moves


def test_a_change_reaches_every_part_that_keeps_the_configuration(world):
    world.node.set_parameters([Parameter('camera_info_max_age', value=5.0)])
    parts = world.node._parts
    kept = [value for part in (*vars(parts).values(), world.node._control)
            for name, value in vars(part).items() if name in ('config', '_config')]
    assert len(kept) >= 3
    assert {config.camera_info_max_age for config in kept} == {5.0}


def test_a_real_policy_moves_the_arm_from_its_checkpoint(make_world, tmp_path):
    save_tiny_checkpoint(tmp_path)
    world = make_world(load_configured_policy, {
        'checkpoint': str(tmp_path), 'precision': 'auto', 'keep_tokens': 38,
        'gripper_joint': 'finger', 'torch_threads': 1})
    world.start()
    world.robot.publishes.add('joints')
    world.move()
    world.until(lambda: world.robot.selections and world.robot.chunks)
    chunk, selection = world.robot.chunks[-1], world.robot.selections[-1]
    assert (chunk.horizon, chunk.dim, len(selection.kept)) == (8, 7, 38)
    assert {'vision', 'prefill_1', 'selection', 'head'} <= set(chunk.stage_names)
    policy = world.robot.diagnostics['vla_node: policy']
    values = {v.key: v.value for v in policy.values}
    assert values['precision'] in PRECISIONS and 'this CPU' in values['precision_reason']
    name, _, reason = values['vision_dtype'].partition(': ')
    assert name in VISION_DTYPES[1:] and reason


def test_no_reason_is_told_of_a_precision_that_auto_did_not_choose():
    facts = policy_facts(KnownPolicy(None))
    assert facts['precision'] == 'fp' and 'precision_reason' not in facts
    assert 'vision_dtype' not in facts


def test_nodes_do_not_share_names_when_two_robots_have_namespaces(make_world):
    world = make_world(KnownPolicy, {}, {'namespace': 'left'})
    assert world.node.start()
    topics = dict(world.node.get_publisher_names_and_types_by_node('vla_node', '/left'))
    assert '/left/delta_twist_cmds' in topics
    assert '/left/vla_node/action_chunk' in topics
