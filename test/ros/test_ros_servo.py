# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""MoveIt Servo, by a double with its services: switched, unpaused, and said when it isn't."""
import sys

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import pytest

pytest.importorskip('rclpy')
ServoStatus = pytest.importorskip('moveit_msgs.msg').ServoStatus
ServoCommandType = pytest.importorskip('moveit_msgs.srv').ServoCommandType
from ros_harness import World  # noqa: E402
from sqap_vla_ros.errors import ConfigError  # noqa: E402
from sqap_vla_ros.ros.vla.outputs import servo as servo_module  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

pytestmark = pytest.mark.ros
NAME = '/servo_node'


class Servo:
    """The services of a servo_node, on the robot's node; what it answers is set by the test."""

    def __init__(self, node, with_pause=True):
        self._node = node
        self.asked, self.answers = [], {'type': True, 'pause': True}
        self.status = node.create_publisher(ServoStatus, f'{NAME}/status', 1)
        self._services = [node.create_service(
            ServoCommandType, f'{NAME}/switch_command_type', self._switch)]
        if with_pause:
            self.offer_pause()

    def start_again(self):
        """Be another one, whose predecessor seems to be there for a while yet."""
        self._node.destroy_publisher(self.status)
        self.status = self._node.create_publisher(ServoStatus, f'{NAME}/status', 1)

    def offer_pause(self):
        """Offer the second service, too."""
        self._services.append(self._node.create_service(
            SetBool, f'{NAME}/pause_servo', self._pause))

    def go(self):
        """Offer nothing any more."""
        while self._services:
            self._node.destroy_service(self._services.pop())

    def _switch(self, request, response):
        self.asked.append(('type', request.command_type))
        response.success = self.answers['type']
        return response

    def _pause(self, request, response):
        self.asked.append(('pause', request.data))
        response.success = self.answers['pause']
        return response


@pytest.fixture
def world_of():
    """Return a function that makes a World which is closed at the test's end."""
    worlds = []

    def make(**parameters):
        worlds.append(World(parameters={'servo_node': NAME, **parameters}))
        return worlds[-1]
    yield make
    for world in worlds:
        world.close()


def test_servo_is_switched_to_twists_and_unpaused_before_anything_moves(world_of):
    world = world_of()
    servo = Servo(world.robot)
    world.start()
    world.move()
    assert servo.asked == [('type', ServoCommandType.Request.TWIST), ('pause', False)]
    world.until(lambda: world.robot.said('output') == (
        DiagnosticStatus.OK, 'commands on /delta_twist_cmds'))


def test_servo_is_switched_to_poses_for_the_pose_output_at_each_activation(world_of):
    world = world_of(output='pose')
    servo = Servo(world.robot)
    poses = []
    world.robot.create_subscription(PoseStamped, 'target_pose', poses.append, 10)
    world.start()
    world.robot.say()
    world.until(lambda: poses, meanwhile=world.robot.look)
    assert servo.asked == [('type', 2), ('pause', False)]
    world.node.trigger_deactivate()
    world.node.trigger_activate()
    world.until(lambda: len(servo.asked) == 4, meanwhile=world.robot.look)


def test_without_servo_nothing_moves_and_the_missing_service_is_named(world_of):
    world = world_of()
    world.start()
    world.robot.say()
    world.until(lambda: world.says('output', '/servo_node/switch_command_type and '
                                   '/servo_node/pause_servo'), meanwhile=world.robot.look)
    servo = Servo(world.robot, with_pause=False)
    world.until(lambda: world.says('output', 'offer /servo_node/pause_servo:'),
                meanwhile=world.robot.look)
    assert not world.is_moving() and not servo.asked
    servo.offer_pause()
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_refusal_is_told_and_asked_again_until_it_is_none(world_of, monkeypatch):
    monkeypatch.setattr(servo_module, 'PATIENCE_S', 0.3)
    world = world_of()
    servo = Servo(world.robot)
    servo.answers['pause'] = False
    world.start()
    world.robot.say()
    world.until(lambda: world.says('output', 'refuses pause_servo'), meanwhile=world.robot.look)
    world.until(lambda: servo.asked.count(('pause', False)) > 1, meanwhile=world.robot.look)
    assert not world.is_moving()
    servo.answers['pause'] = True
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_servo_that_hangs_keeps_the_arm_still_and_stop_is_answered(world_of, monkeypatch):
    monkeypatch.setattr(servo_module, 'PATIENCE_S', 0.3)
    world = world_of()
    servo = Servo(world.robot)
    world.start()
    servo._services[0].send_response = lambda *_: None
    world.robot.say()
    world.until(lambda: world.says('output', 'does not answer switch_command_type'),
                meanwhile=world.robot.look)
    world.until(lambda: len(servo.asked) >= 4, meanwhile=world.robot.look)
    client = world.node._parts.output._servo._clients['switch_command_type']
    assert len(client._pending_requests) == 1
    assert 'stopped' in world.call('stop').message
    assert not world.is_moving()
    world.call('resume')
    del servo._services[0].send_response
    world.until(world.is_moving, meanwhile=world.robot.look)


def test_a_servo_that_goes_stops_the_arm_and_is_asked_again_when_it_is_back(world_of):
    world = world_of()
    servo = Servo(world.robot)
    world.start()
    world.move()
    servo.go()
    world.until(lambda: world.says('commands', 'does not offer'), meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    again = Servo(world.robot)
    world.until(world.is_moving, meanwhile=world.robot.look)
    assert ('pause', False) in again.asked


def test_a_servo_that_was_started_again_is_switched_again_though_its_services_never_went(world_of):
    world = world_of()
    servo = Servo(world.robot)
    world.start()
    world.move()
    asked = list(servo.asked)
    servo.answers['type'] = False
    servo.start_again()
    world.until(lambda: world.says('commands', 'refuses switch_command_type'),
                meanwhile=world.robot.look)
    world.stays_still(meanwhile=world.robot.look)
    servo.answers['type'] = True
    world.until(world.is_moving, meanwhile=world.robot.look)
    assert servo.asked[-2:] == asked


def test_why_servo_halts_by_itself_is_told(world_of):
    world = world_of()
    servo = Servo(world.robot)
    world.start()
    world.move()

    def halt():
        servo.status.publish(ServoStatus(code=2, message='Very close to a singularity'))
        world.robot.look()
    world.until(lambda: world.robot.said('output') == (
        DiagnosticStatus.WARN, 'MoveIt Servo: Very close to a singularity'), meanwhile=halt)


def test_messages_that_are_not_installed_are_named_with_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'moveit_msgs.srv', None)
    with pytest.raises(ConfigError, match='moveit_msgs is not installed: `apt install'):
        servo_module.ServoClient(None, NAME, 'TWIST')
