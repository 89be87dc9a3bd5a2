# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the topics: each ends in a clear message and no motion."""

import threading

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: run `make setup`')
pytest.importorskip('sqap_vla_ros.msg', reason='needs the built messages: run `make setup`')

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from ros_harness import KnownPolicy, SPEED, speed, StatePolicy, WAIT_S  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from sqap_vla_ros.ros.vla.node import load_configured_policy  # noqa: E402
from std_msgs.msg import Float64, String  # noqa: E402
from tiny_checkpoint import save_tiny_checkpoint  # noqa: E402

pytestmark = pytest.mark.ros


@pytest.fixture
def world(request, make_world):
    """Return an active node; a test's parameter `world` gives the node's parameters."""
    world = make_world(KnownPolicy, getattr(request, 'param', {}))
    world.start()
    return world


def assert_stopped(world, text, status='commands'):
    """Assert that a message says why and that nothing moves although images come in."""
    world.until(lambda: world.says(status, text), meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    assert world.says(status, text)


def test_no_camera_info(world):
    world.robot.publishes.remove('info')
    world.robot.say()
    assert_stopped(world, 'no camera_info has come in on /camera_info')
    world.robot.publishes.add('info')
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_an_uncalibrated_camera(world):
    calibrated = world.robot.camera_info

    def uncalibrated(stamp_ns):
        message = calibrated(stamp_ns)
        message.k = [0.0] * 9
        return message
    world.robot.camera_info = uncalibrated
    world.robot.say()
    assert_stopped(world, 'the camera is not calibrated')


def test_an_image_whose_data_is_truncated(world):
    world.move()
    whole = world.robot.picture

    def truncated(stamp_ns):
        message = whole(stamp_ns)
        message.data = message.data[:-1]
        return message
    world.robot.picture = truncated
    assert_stopped(world, 'do not fit together')


def test_another_image_size_in_the_middle_of_a_run(world):
    world.move()
    world.robot.size = (96, 128)
    assert_stopped(world, 'the image is 128 x 96 pixels now and was 64 x 48 before')
    world.call('resume')
    world.robot.twists.clear()
    assert_stopped(world, 'the image is 128 x 96 pixels now and was 64 x 48 before')
    world.call('reset')
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_transforms_that_stopped_coming(world):
    world.move()
    world.robot.publishes.remove('tf')
    assert_stopped(world, 'no transform base -> ')
    world.robot.publishes.add('tf')
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_no_instruction_and_an_empty_one(world):
    assert_stopped(world, 'no instruction: publish one on /instruction')
    world.move()
    world.robot.say('   ')
    assert_stopped(world, 'no instruction')


def test_an_instruction_that_the_policy_does_not_know(world):
    world.move()
    world.robot.say('make coffee')
    assert_stopped(world, "not trained on the instruction 'make coffee', the nearest is 'put the "
                   "bowl on the stove'; it knows ")


def test_two_publishers_of_the_image(world):
    world.move()
    second = world.robot.create_publisher(Image, 'image', 1)
    assert_stopped(world, '2 publishers on /image (robot, robot): which camera is it?')
    world.robot.destroy_publisher(second)
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_two_publishers_of_the_instruction_are_reported(world):
    world.move()
    second = world.robot.create_publisher(String, 'instruction', 1)
    world.until(lambda: world.says('inputs', '2 publishers on /instruction: robot, robot'))
    world.robot.destroy_publisher(second)
    world.until(lambda: world.says('inputs', 'well'))


@pytest.mark.parametrize('topic', ['delta_twist_cmds', 'gripper_command'])
def test_another_node_that_commands_the_arm_is_reported(world, topic):
    from geometry_msgs.msg import TwistStamped
    kind = TwistStamped if topic == 'delta_twist_cmds' else Float64
    other = world.robot.create_publisher(kind, topic, 1)
    world.until(lambda: world.says(
        'inputs', f'2 publishers on /{topic}: robot, vla_node; stop all but this node'))
    world.move()
    world.robot.destroy_publisher(other)
    world.until(lambda: world.says('inputs', 'well'))


def test_an_instruction_with_incompatible_qos(world):
    world.robot.destroy_publisher(world.robot.instruction)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    world.robot.instruction = world.robot.create_publisher(String, 'instruction', best_effort)
    world.robot.say()
    world.until(lambda: world.says(
        'inputs', 'a publisher on /instruction offers an incompatible RELIABILITY'))
    assert_stopped(world, 'no instruction')


def test_a_controller_that_cannot_receive_commands_is_reported(world):
    from geometry_msgs.msg import TwistStamped
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    world.robot.create_subscription(
        TwistStamped, 'delta_twist_cmds', lambda message: None, latched)
    world.until(lambda: world.says(
        'inputs', 'a subscriber of /delta_twist_cmds asks for an incompatible DURABILITY'))


def test_no_joint_states_for_a_policy_that_needs_them(make_world):
    world = make_world(StatePolicy, {'gripper_joint': 'finger'})
    world.start()
    world.robot.say()
    assert_stopped(world, "joint_states has not told the position of 'finger'")
    world.robot.publishes.add('joints')
    world.until(world.is_moving, meanwhile=world.robot.look)
    state = world.policy.observations[-1].state
    assert state == pytest.approx([0.1, 0, 1, 0, 0, 0, 1, 0.75])


@pytest.mark.parametrize('parameters, text', [
    ({'output': 'pose'}, "parameter output is 'pose', which this version does not offer"),
    ({'selection_method': 'best'}, "selection_method is 'best', expected one of"),
    ({'int8_parts': ['vision', 'engine']}, "(parameter int8_parts) is 'engine', expected one of"),
    ({'lockstep': True}, 'use_sim_time is false'),
    ({'end_effector_frames': ['']}, 'end_effector_frames'),
    ({'gripper_open_position': 0.0}, 'gripper_closed_position are both')])
def test_parameters_that_cannot_be_used_fail_configure(make_world, parameters, text):
    world = make_world(KnownPolicy, parameters)
    assert_unconfigured(world, text)


def test_a_policy_with_a_state_that_the_node_cannot_build_fails_configure(make_world):
    world = make_world(StatePolicy)
    assert not world.node.start()
    assert 'parameter gripper_joint is empty' in world.node.problem


@pytest.mark.parametrize('checkpoint, text', [
    ('', 'parameter checkpoint is empty'), ('no_such_model', "no bundled model 'no_such_model'"),
    ('{tmp}/nothing', 'does not exist'), ('{tmp}', 'config.json')])
def test_a_missing_checkpoint(make_world, tmp_path, checkpoint, text):
    world = make_world(load_configured_policy, {'checkpoint': checkpoint.format(tmp=tmp_path)})
    assert_unconfigured(world, text)


@pytest.mark.parametrize('name, text', [
    ('model.safetensors', 'truncated or damaged'), ('config.json', 'is not valid JSON')])
def test_a_truncated_checkpoint(make_world, tmp_path, name, text):
    save_tiny_checkpoint(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:len(content) // 2])
    world = make_world(load_configured_policy,
                       {'checkpoint': str(tmp_path), 'gripper_joint': 'finger'})
    assert_unconfigured(world, text)
    (tmp_path / name).write_bytes(content)
    assert world.node.start(), world.node.problem


def assert_unconfigured(world, text):
    """Assert that configure fails with a message, and that it can be tried again."""
    for _ in range(2):
        assert not world.node.start()
        assert text in world.node.problem
    world.until(lambda: world.says('policy', text))
    assert world.node._state_machine.current_state[1] == 'unconfigured'
    assert not world.robot.twists


def test_the_robot_of_these_tests_moves_at_all(world):
    world.move()
    assert speed(world.robot.twists[-1]) == pytest.approx(SPEED)


def test_an_inference_that_outlives_its_run_tells_nobody(world):
    """Else the bug of a policy that is gone would stop the one that was loaded after it."""
    gate, asked = threading.Event(), threading.Event()

    def hang(observation):
        asked.set()
        gate.wait(WAIT_S)
        raise RuntimeError('too late')
    world.policy.infer = hang
    world.robot.say()
    world.until(asked.is_set, meanwhile=world.robot.look)
    world.node.trigger_deactivate()
    world.node.trigger_cleanup()  # leaves the thread behind
    world.start()
    world.move()
    gate.set()
    world.spin(0.3, world.robot.look)
    assert world.is_moving() and 'crashed' not in world.robot.said('commands')[1]
