# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Who may start motion, what ends it until ~/resume, and who else commands the arm."""

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import INSTRUCTION, KnownPolicy, speed
from std_msgs.msg import Float64, String
from std_srvs.srv import Trigger

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAREFUL = {'require_resume': True}


def stays_still(world):
    """Assert that images alone do not move the arm."""
    world.stays_still(0.5, world.robot.look)


def moves(world):
    """Show images until the arm moves."""
    world.until(world.is_moving, meanwhile=world.robot.look)


def latched_instruction(world):
    """Publish an instruction before the node is there, as a latched one."""
    world.robot.destroy_publisher(world.robot.instruction)
    world.robot.instruction = world.robot.create_publisher(String, 'instruction', LATCHED)
    world.robot.say()


# Instructions from before activation

def test_an_instruction_latched_before_start_moves_nothing_until_it_is_published_again(make_world):
    world = make_world()
    latched_instruction(world)
    world.start()
    world.until(lambda: world.says('commands', f"the instruction '{INSTRUCTION}' ")
                and world.says('commands', 'publish it again or call ~/resume to begin'),
                meanwhile=world.robot.look)
    stays_still(world)
    assert not world.robot.twists and not world.policy.observations
    world.robot.say()
    moves(world)


def test_one_that_is_latched_by_a_clock_that_is_ahead_moves_nothing_either(
        make_world, monkeypatch):
    """No clock of another machine is believed."""
    monkeypatch.setattr('sqap_vla_ros.ros.vla.permission.time.time_ns', lambda: 0)
    world = make_world()
    latched_instruction(world)
    world.start()
    world.until(lambda: world.says('commands', 'is latched'), meanwhile=world.robot.look)
    stays_still(world)


def test_one_heard_while_inactive_begins_with_resume(world):
    world.move()
    world.node.trigger_deactivate()
    world.node.trigger_activate()
    world.until(lambda: world.says('commands', 'was heard before activation'))
    stays_still(world)
    assert world.call('resume').message == f"begins '{INSTRUCTION}'"
    moves(world)


def test_start_on_activate_begins_with_what_was_latched(make_world):
    world = make_world(KnownPolicy, {'start_on_activate': True})
    latched_instruction(world)
    world.start()
    moves(world)


# A stop outlives states

@pytest.mark.parametrize('transitions', [
    ('deactivate', 'activate'), ('deactivate', 'cleanup', 'configure', 'activate')])
def test_a_stop_outlives_deactivation_and_cleanup(world, transitions):
    world.move()
    world.call('stop')
    for transition in transitions:
        getattr(world.node, f'trigger_{transition}')()
    world.robot.say()
    world.until(lambda: world.says('commands', 'stopped by ~/stop; call ~/resume'),
                meanwhile=world.robot.look)
    stays_still(world)
    assert world.call('resume').message.startswith('cleared: stopped by ~/stop')
    world.robot.say('')
    world.move()


@pytest.mark.parametrize('is_configured', [False, True])
def test_a_stop_before_activation_is_kept(make_world, is_configured):
    world = make_world()
    if is_configured:
        world.node.trigger_configure()
    assert world.call('stop').success
    assert not world.call('reset').success
    if not is_configured:
        world.node.trigger_configure()
    world.node.trigger_activate()
    world.robot.say()
    world.until(lambda: world.says('commands', 'stopped by ~/stop'), meanwhile=world.robot.look)
    stays_still(world)
    assert world.call('resume').success
    moves(world)


# require_resume

def camera(world):
    """Let the camera be lost, and come back."""
    world.until(lambda: world.says('commands', 'no image on /image for more than')
                or world.says('commands', 'call ~/resume'))  # a busy machine has other reasons


def transforms(world):
    """Let TF be lost, and come back."""
    world.robot.publishes.remove('tf')
    world.until(lambda: world.says('commands', 'no transform base -> '),
                meanwhile=world.robot.look)
    world.robot.publishes.add('tf')


def second_camera(world):
    """Let another camera come and go."""
    other = world.robot.create_publisher(world.robot.image.msg_type, 'image', 1)
    world.robot.other_images.append(other)
    world.until(lambda: world.says('commands', '2 publishers on /image'),
                meanwhile=world.robot.look)
    world.robot.other_images.clear()
    world.robot.destroy_publisher(other)
    world.until(lambda: world.node.count_publishers('image') == 1)


def rival(world):
    """Let another commander come and go."""
    other = world.robot.create_publisher(TwistStamped, 'delta_twist_cmds', 1)
    world.until(lambda: world.says('commands', '2 publishers on /delta_twist_cmds'),
                meanwhile=world.robot.look)
    world.robot.destroy_publisher(other)
    world.until(lambda: world.node.count_publishers('delta_twist_cmds') == 1)


def other_size(world):
    """Let the image's size change; ~/reset takes it."""
    world.robot.size = (96, 128)
    world.until(lambda: world.says('commands', 'the image is 128 x 96 pixels'),
                meanwhile=world.robot.look)
    world.call('reset')


@pytest.mark.parametrize('world', [CAREFUL], indirect=True)
@pytest.mark.parametrize('lose', [camera, transforms, second_camera, rival, other_size])
def test_what_interrupts_a_motion_wants_resume_when_that_is_asked_for(world, lose):
    world.move()
    lose(world)
    stays_still(world)
    assert 'call ~/resume' in world.robot.said('commands')[1]
    assert world.call('resume').success
    moves(world)


@pytest.mark.parametrize('lose', [camera, transforms, second_camera, rival])
def test_without_it_motion_goes_on(world, lose):
    world.move()
    lose(world)
    moves(world)


@pytest.mark.parametrize('world', [CAREFUL], indirect=True)
def test_an_instruction_that_could_not_begin_for_long_does_not_begin_by_itself(
        world, monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.ros.vla.permission.BEGIN_WITHIN_S', 0.3)
    world.robot.publishes.remove('tf')
    world.robot.say()
    world.until(lambda: world.says('commands', 'call ~/resume'), meanwhile=world.robot.look)
    world.robot.publishes.add('tf')
    stays_still(world)
    world.call('resume')
    moves(world)


# Others on the command topics, and silence

@pytest.mark.parametrize('topic, kind', [
    ('delta_twist_cmds', TwistStamped), ('gripper_command', Float64)])
def test_another_commander_is_an_error_and_nothing_is_commanded_beside_it(world, topic, kind):
    world.move()
    other = world.robot.create_publisher(kind, topic, 1)
    world.until(lambda: world.says('commands', f'2 publishers on /{topic} (robot, vla_node)'),
                meanwhile=world.robot.look)
    assert world.robot.said('inputs')[0] == DiagnosticStatus.ERROR
    stays_still(world)
    world.spin(0.5, world.robot.look)
    world.robot.twists.clear()
    world.spin(0.3, world.robot.look)
    assert not world.robot.twists  # not even zeros
    world.robot.destroy_publisher(other)
    moves(world)


def test_a_node_without_a_task_says_its_stop_for_a_while_and_then_nothing(world):
    world.spin(0.3, world.robot.look)
    assert not world.robot.twists
    world.move()
    world.call('stop')
    world.until(world.stands_still)
    world.spin(0.7, world.robot.look)
    world.robot.twists.clear()
    world.spin(0.3, world.robot.look)
    assert not world.robot.twists
    world.call('stop')  # whoever calls again is heard again
    world.until(world.stands_still)


@pytest.mark.parametrize('world', [{'idle_zeros': True}], indirect=True)
def test_idle_zeros_are_repeated_where_they_are_asked_for(world):
    world.spin(0.7)
    world.robot.twists.clear()
    world.until(lambda: len(world.robot.twists) >= 3)
    assert not any(speed(twist) for twist in world.robot.twists)


# Dry run

@pytest.mark.parametrize('world', [{'dry_run': True}], indirect=True)
def test_a_dry_run_publishes_all_but_commands_and_going_live_wants_resume(world):
    assert world.node.count_publishers('delta_twist_cmds') == 0
    world.robot.say()
    world.until(lambda: len(world.robot.chunks) > 3, meanwhile=world.robot.look)
    world.until(lambda: world.says('commands', 'DRY RUN, nothing is commanded: moving'))
    assert world.robot.said('commands')[0] == DiagnosticStatus.WARN
    set_parameter(world, 'dry_run', False)
    world.until(lambda: world.says('commands', 'dry_run was switched off; call ~/resume'),
                meanwhile=world.robot.look)
    stays_still(world)
    assert not any(speed(twist) for twist in world.robot.twists)
    world.call('resume')
    moves(world)
    set_parameter(world, 'dry_run', True)
    world.until(world.stands_still, meanwhile=world.robot.look)
    world.until(lambda: world.node.count_publishers('delta_twist_cmds') == 0)


def set_parameter(world, name, value):
    """Set a parameter of the running node."""
    result, = world.node.set_parameters([Parameter(name, value=value)])
    assert result.successful


# The watchdog

def test_a_callback_that_hangs_does_not_leave_the_arm_moving(world):
    """The executor thread is this one: while the test does not spin, it stands still."""
    world.move()
    twists = world.robot.twists
    end = world.robot.now_ns() + int(5e9)
    while speed(twists[-1]) and world.robot.now_ns() < end:
        world.executors[1].spin_once(timeout_sec=0.05)  # the robot's alone
    assert speed(twists[-1]) == 0
    world.until(lambda: any('watchdog' in text for _, text in world.robot.history),
                meanwhile=world.robot.look)
    moves(world)


# Instructions that are no use

@pytest.mark.parametrize('text, reason', [
    ('x' * 10**7, 'has 10000000 characters, at most 256'), ('put\x07', 'control characters'),
    ('bowl the put on the stove', f"the nearest is '{INSTRUCTION}'")])
def test_an_instruction_that_is_no_use_stops_the_arm(world, text, reason):
    world.move()
    world.robot.say(text)
    world.until(lambda: world.says('commands', reason), meanwhile=world.robot.look)
    assert len(world.robot.said('commands')[1]) < 400
    stays_still(world)
    world.move()


def test_a_flood_of_instructions_leaves_room_for_stop(world):
    """Long ones and others in turns, one in 10 ms; the one that is known moves nothing alone."""
    world.policy.instructions += ('another',)
    texts = ['x' * 10**6, 'another', INSTRUCTION]

    def flood():
        texts.append(texts.pop(0))
        world.robot.say(texts[0])
    world.until(lambda: world.says('commands', 'has 1000000 characters'), meanwhile=flood,
                period_s=0.01)
    client = world.robot.create_client(Trigger, 'vla_node/stop')
    world.until(client.service_is_ready, meanwhile=flood, period_s=0.01)
    future = client.call_async(Trigger.Request())
    world.until(future.done, meanwhile=flood, period_s=0.01)
    assert future.result().success
