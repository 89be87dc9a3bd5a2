# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the topics: each ends in a clear message and no motion."""

import threading

from geometry_msgs.msg import TwistStamped
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import KnownPolicy, StatePolicy, WAIT_S
from sensor_msgs.msg import Image
from sqap_vla_ros.ros.vla.node import load_configured_policy
from std_msgs.msg import String
from tiny_checkpoint import save_tiny_checkpoint


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


def test_another_image_size_in_the_middle_of_a_run(world):
    world.move()
    world.robot.size = (96, 128)
    assert_stopped(world, "the image is 128 x 96 pixels of 'rgb8' now and was 64 x 48 of")
    world.call('resume')
    world.robot.twists.clear()
    assert_stopped(world, "the image is 128 x 96 pixels of 'rgb8' now and was 64 x 48 of")
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
    world.robot.other_images.append(second)
    assert_stopped(world, '2 publishers on /image (robot, robot): which camera is it?')
    world.spin(1.5, world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    world.robot.other_images.remove(second)
    world.robot.destroy_publisher(second)
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_second_publisher_of_the_image_that_delivers_nothing(world):
    """As a camera driver that was killed: it stays in the graph for up to 20 s."""
    world.move()
    second = world.robot.create_publisher(Image, 'image', 1)
    world.until(lambda: world.says('commands', 'which camera is it?'), meanwhile=world.robot.look)
    world.until(world.is_moving, meanwhile=world.robot.look)
    world.robot.other_images.append(second)  # but now
    world.until(lambda: world.says('commands', 'which camera is it?'), meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)


def test_two_publishers_of_the_instruction_are_reported(world):
    other = world.robot.create_publisher(String, 'instruction', 1)
    world.until(lambda: world.says('inputs', '2 publishers on /instruction: robot, robot'))
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


def test_a_policy_with_a_state_that_the_node_cannot_build_fails_configure(make_world):
    assert_unconfigured(make_world(StatePolicy), 'parameter gripper_joint is empty')


@pytest.mark.parametrize('factory, parameters, text', [
    (KnownPolicy, {'lockstep': True}, 'use_sim_time is false'),
    (load_configured_policy, {'checkpoint': 'no_such_model'}, "no bundled model 'no_such_model'")])
def test_what_cannot_be_used_fails_configure(make_world, factory, parameters, text):
    assert_unconfigured(make_world(factory, parameters), text)


def test_a_truncated_checkpoint(make_world, tmp_path):
    save_tiny_checkpoint(tmp_path)
    weights = tmp_path / 'model.safetensors'
    content = weights.read_bytes()
    weights.write_bytes(content[:len(content) // 2])
    world = make_world(load_configured_policy,
                       {'checkpoint': str(tmp_path), 'gripper_joint': 'finger'})
    assert_unconfigured(world, 'truncated or damaged')
    weights.write_bytes(content)
    assert world.node.start(), world.node.problem


def assert_unconfigured(world, text):
    """Assert that configure fails with a message, and that it can be tried again."""
    for _ in range(2):
        assert not world.node.start()
        assert text in world.node.problem
    world.until(lambda: world.says('policy', text))
    assert world.node._state_machine.current_state[1] == 'unconfigured'
    assert not world.robot.twists


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


# Clocks and cameras that stop, or that disagree about the time

def test_a_camera_that_falls_silent(world):
    world.move()
    world.until(lambda: world.says('commands', 'no image on /image for more than 0.4 s'))
    world.stays_still()


def test_a_camera_whose_clock_is_behind_or_ahead(world):
    world.robot.say()
    for offset_s, text in ((-1.0, 's old when they come in'), (1.0, 'in the future')):
        def look():
            world.robot.look(world.robot.now_ns() + int(offset_s * 1e9))
        world.until(lambda: world.says('commands', text), meanwhile=look)
        world.stays_still(meanwhile=look)


def test_one_image_from_the_future_does_not_silence_those_after_it(world):
    world.move()
    world.robot.image.publish(world.robot.picture(world.robot.now_ns() + int(60e9)))
    world.until(lambda: world.says('commands', 'in the future'))
    world.until(world.is_moving, meanwhile=world.robot.look)
    world.spin(0.6, meanwhile=world.robot.look)
    assert world.says('commands', 'moving')


@pytest.mark.parametrize('world', [{'use_sim_time': True}], indirect=True)
def test_a_clock_that_dies_while_images_go_on(world):
    time_ns = [int(100e9)]

    def look(step_ns=int(20e6)):
        time_ns[0] += step_ns
        if step_ns:
            world.robot.tick(time_ns[0])
        world.robot.look(time_ns[0])
    world.robot.say()
    world.until(world.is_moving, meanwhile=look)
    world.until(lambda: world.says('commands', 'the action chunk is over by wall time'),
                meanwhile=lambda: look(0))
    world.stays_still(meanwhile=lambda: look(0))
    world.until(world.is_moving, meanwhile=look)


def test_a_clock_that_is_set_back_does_not_silence_the_camera(world):
    world.move()
    world.node._control.player.asked_ns += int(3600e9)  # as if now were an hour earlier
    seen = len(world.policy.observations)
    world.until(lambda: len(world.policy.observations) > seen + 1, meanwhile=world.robot.look)
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_clock_that_is_set_back_while_the_arm_stands_still(world):
    """The machine's own clock, by NTP: nothing may wait until the old time comes again."""
    world.node._control.player.forget(world.robot.now_ns() + int(3600e9))
    world.robot.say()
    world.until(world.is_moving, meanwhile=world.robot.look)
