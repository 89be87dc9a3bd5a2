# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An emergency stop on a topic: pressed, released, unknown and lost."""

from types import SimpleNamespace

import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sqap_vla_ros.ros.vla.permission import HEARD_BEFORE, Permission
from std_msgs.msg import Bool

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ESTOP = {'estop_topic': 'estop'}


def stays_still(world):
    """Assert that images alone do not move the arm."""
    world.stays_still(0.5, world.robot.look)


def moves(world):
    """Show images until the arm moves."""
    world.until(world.is_moving, meanwhile=world.robot.look)


def released(world, profile, times=1):
    """Return a publisher that has said, and was heard to say, that it is not pressed."""
    estop = world.robot.create_publisher(Bool, 'estop', profile)
    world.until(estop.get_subscription_count)
    for _ in range(times):
        estop.publish(Bool(data=False))
    heard = world.node._parts.estop
    world.until(lambda: not heard.why_not_move and (times == 1 or len(heard._heard_s) == times))
    return estop


def set_parameter(world, name, value):
    """Set a parameter of the running node."""
    result, = world.node.set_parameters([Parameter(name, value=value)])
    assert result.successful


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_nothing_moves_before_the_emergency_stop_is_heard(world):
    world.robot.say()
    world.until(lambda: world.says('commands', 'no message yet on /estop'),
                meanwhile=world.robot.look)
    stays_still(world)
    assert not world.call('resume').success
    world.robot.create_publisher(Bool, 'estop', LATCHED).publish(Bool(data=False))
    world.until(lambda: world.says('commands', 'was not heard before motion was asked for'))
    stays_still(world)  # a false alone moves nothing
    assert world.call('resume').success
    moves(world)


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_a_press_stops_until_it_is_released_and_resumed(world):
    estop = released(world, LATCHED)
    world.move()
    estop.publish(Bool(data=True))
    world.until(lambda: world.says('commands', 'the emergency stop on /estop is pressed'))
    refused = world.call('resume')
    assert not refused.success and 'release it first' in refused.message
    estop.publish(Bool(data=False))
    world.spin(0.1)
    stays_still(world)
    assert world.call('resume').success
    moves(world)


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_two_publishers_of_the_emergency_stop_are_reported(world):
    for _ in range(2):
        world.robot.create_publisher(Bool, 'estop', 1)
    world.until(lambda: world.says('inputs', '2 publishers on /estop: robot, robot'))


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_a_press_that_is_released_at_once_is_not_missed(world):
    estop = released(world, LATCHED)
    world.move()
    for pressed in (True, False):
        estop.publish(Bool(data=pressed))
    world.until(lambda: world.says('commands', 'the emergency stop'), meanwhile=world.robot.look)
    stays_still(world)


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
@pytest.mark.parametrize('how', ['silent', 'out of rhythm', 'gone'])
def test_an_emergency_stop_that_is_lost_stops(world, how):
    estop = released(world, 10, 6 if how == 'out of rhythm' else 1)
    world.move()
    if how == 'silent':
        set_parameter(world, 'estop_timeout', 0.3)
    elif how == 'gone':
        world.robot.destroy_publisher(estop)
    text = 'the publisher of /estop' if how == 'gone' else 'no message on /estop for more'
    world.until(lambda: world.says('commands', text), meanwhile=world.robot.look)
    stays_still(world)
    refused = world.call('resume')
    assert not refused.success and 'nothing is cleared before it is heard' in refused.message
    if how == 'gone':
        estop = world.robot.create_publisher(Bool, 'estop', LATCHED)
    estop.publish(Bool(data=False))
    world.until(lambda: not world.node._parts.estop.why_not_move)
    stays_still(world)  # though it is back
    set_parameter(world, 'estop_timeout', 0.0)
    estop.publish(Bool(data=False))
    assert world.call('resume').success


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_one_that_was_lost_while_the_node_was_inactive_is_missed_at_activation(world):
    estop = released(world, 10)
    world.node.trigger_deactivate()
    world.robot.destroy_publisher(estop)
    world.until(lambda: not world.node.count_publishers('estop'))
    world.node.trigger_activate()
    assert 'the publisher of /estop' in world.node._control.gate.fault  # with no check yet


@pytest.mark.parametrize('world', [ESTOP], indirect=True)
def test_messages_that_wait_behind_a_busy_executor_are_read_before_it_counts_as_lost(world):
    released(world, 10)
    set_parameter(world, 'estop_timeout', 50.0)
    control, heard = world.node._control, world.node._parts.estop
    heard._last_s -= 60.0  # as if nothing had been served for so long
    control.check()  # which comes first, as timers do
    assert not control.gate.fault
    heard._last_s += 60.0  # then what waited
    control.check()
    assert not control.gate.fault
    heard._last_s -= 60.0
    control.check()
    assert not control.gate.fault  # once after all was well
    control.check()
    assert 'no message on /estop' in control.gate.fault


@pytest.mark.parametrize('set_by_s, age_s, is_old', [
    (0, 1.0, False), (0, 3.0, True), (-3600, 1.0, False), (-3600, 3.0, True), (3600, 3.0, True),
    (0, -1.0, True)])
def test_an_instruction_is_as_old_as_it_is_however_the_clock_is_set(
        monkeypatch, set_by_s, age_s, is_old):
    """Activated 2 s ago; the machine's clock was set after that."""
    control = Permission(SimpleNamespace(max_instruction_length=9, start_on_activate=False),
                         SimpleNamespace(inference=SimpleNamespace(check_instruction=None)))
    clock = {'wall': 1_795_000_000.0, 'steady': 100.0}
    monkeypatch.setattr('sqap_vla_ros.ros.vla.permission.time', SimpleNamespace(
        time_ns=lambda: int(clock['wall'] * 1e9), perf_counter=lambda: clock['steady']))
    control.permit_from_now()
    clock.update(wall=clock['wall'] + 2 + set_by_s, steady=102.0)
    heard_ns = int((clock['wall'] - age_s) * 1e9)
    assert control._why_old(heard_ns) == (HEARD_BEFORE if is_old else '')
