# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions that are not allowed, and callbacks that raise: the process lives, the arm stops."""

from types import SimpleNamespace

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import pytest
from sqap_vla_ros.ros.vla.running import serve
from sqap_vla_ros.ros.vla.transitions import state_name
from std_srvs.srv import Trigger

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE


def change(world, number=0, label=''):
    """Ask for a transition as launch and `ros2 lifecycle set` do; returns success."""
    client = world.robot.create_client(ChangeState, 'vla_node/change_state')
    world.until(client.service_is_ready)
    future = client.call_async(
        ChangeState.Request(transition=Transition(id=number, label=label)))
    world.until(future.done)
    world.robot.destroy_client(client)
    return future.result().success


@pytest.mark.parametrize('transition', [
    {'number': CONFIGURE}, {'number': ACTIVATE}, {'number': Transition.TRANSITION_CLEANUP},
    {'number': 99}, {'number': 255}, {'number': Transition.TRANSITION_UNCONFIGURED_SHUTDOWN},
    {'number': Transition.TRANSITION_ON_CONFIGURE_SUCCESS}, {'label': 'configure'},
    {'label': 'fly'}, {'number': Transition.TRANSITION_DEACTIVATE, 'label': 'activate'}])
def test_an_active_node_refuses_what_is_not_allowed_and_goes_on(world, transition):
    world.move()
    assert not change(world, **transition)
    assert state_name(world.node) == 'active'
    world.robot.twists.clear()
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_every_other_state_refuses_what_is_not_allowed(make_world):
    world = make_world()
    assert not change(world, ACTIVATE) and not change(world, 99)
    assert change(world, CONFIGURE) and not change(world, CONFIGURE)
    assert change(world, label='activate') and change(world, label='deactivate')
    assert change(world, Transition.TRANSITION_INACTIVE_SHUTDOWN)
    assert not change(world, CONFIGURE) and not change(world, 99)
    assert state_name(world.node) == 'finalized'


def test_transitions_asked_for_while_autostart_loads_are_answered(make_world):
    """As of launch's ChangeState beside autostart: one of the two comes too late."""
    world = make_world()
    client = world.robot.create_client(ChangeState, 'vla_node/change_state')
    world.until(client.service_is_ready)
    futures = [client.call_async(ChangeState.Request(transition=Transition(id=number)))
               for number in (CONFIGURE, ACTIVATE)]
    assert world.node.start(lambda: world.until(lambda: futures[1].done()))
    world.until(lambda: all(future.done() for future in futures))
    assert [future.result().success for future in futures] == [False, True]
    assert state_name(world.node) == 'active'


def test_a_stop_asked_for_while_autostart_loads_comes_before_activation(make_world):
    world = make_world()
    client = world.robot.create_client(Trigger, 'vla_node/stop')
    world.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    assert world.node.start(lambda: world.until(future.done))
    assert future.result().success
    world.robot.say()
    world.until(lambda: world.says('commands', 'stopped by ~/stop'), meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    assert not world.policy.observations


def test_a_callback_that_raises_stops_the_arm_and_the_node_goes_on(world, monkeypatch):
    executor = world.executors[0]
    world.executors[0] = SimpleNamespace(
        spin_once=lambda timeout_sec: serve(world.node, executor), shutdown=executor.shutdown)
    world.move()
    with monkeypatch.context() as patch:
        patch.setattr(world.node._control, 'reset', lambda: 1 / 0)
        client = world.robot.create_client(Trigger, 'vla_node/reset')
        world.until(client.service_is_ready)
        client.call_async(Trigger.Request())
        world.until(lambda: world.says('commands', 'a bug in the node'),
                    meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    assert 'ZeroDivisionError' in world.node.problem
    assert world.call('resume').success
    world.until(world.is_moving, meanwhile=world.robot.look)
