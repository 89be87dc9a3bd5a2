# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node as a process of its own: how it ends, and what it leaves on the wire."""

from pathlib import Path
import signal
import subprocess
import sys
import time

from geometry_msgs.msg import TwistStamped
import pytest
from rclpy.duration import Duration
from rclpy.qos import LivelinessPolicy, QoSProfile
from ros_harness import speed
from sqap_vla_ros.ros import qos

TESTS = Path(__file__).resolve().parents[1]  # ros_harness is there
NODE = """
import signal
import sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored where tests run
from ros_harness import KnownPolicy
from sqap_vla_ros.ros.vla import node
node.VlaNode.__init__.__defaults__ = (KnownPolicy, 'vla_node')
sys.exit(node.main())
"""
CAMERA = """
import rclpy, time
from ros_harness import Robot
context = rclpy.Context()
rclpy.init(context=context)
robot = Robot(context)
while True:
    robot.say()
    robot.look()
    time.sleep(0.03)
"""
ARGUMENTS = ['--ros-args', '-p', 'base_frame:=base', '-p', 'end_effector_frames:=[end_effector]',
             '-p', 'keep_tokens:=8', '-p', 'autostart:=true', '-p', 'image_timeout:=0.4']


@pytest.fixture
def outside(make_world):
    """Return a robot that spins here; the node is in another process."""
    return make_world(None)


@pytest.fixture
def start(ros_process_environment):
    """Return a function that starts Python code as a process; all are killed at the end."""
    processes = []

    def start_process(code, *arguments):
        environment = dict(ros_process_environment)
        environment['PYTHONPATH'] = f'{TESTS}:{environment.get("PYTHONPATH", "")}'
        processes.append(subprocess.Popen(
            [sys.executable, '-c', code, *arguments], env=environment, stderr=subprocess.PIPE,
            text=True))
        return processes[-1]
    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


def move(outside):
    """Say an instruction, which counts from activation on, and show images till the arm moves."""
    outside.until(outside.is_moving, 60, lambda: (outside.robot.say(), outside.robot.look()))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_arm_before_the_node_ends_with_success(outside, start, number):
    process = start(NODE, *ARGUMENTS)
    move(outside)
    process.send_signal(number)
    outside.until(lambda: process.poll() is not None, meanwhile=outside.robot.look)
    outside.spin(0.2)
    assert process.returncode == 0
    assert speed(outside.robot.twists[-1]) == 0.0
    assert 'Traceback' not in process.stderr.read()


def test_a_receiver_hears_from_its_middleware_that_the_node_was_killed(outside, start):
    """As a controller may that has no time-out of its own; the node can't say anything."""
    missed, lost = [], []
    asked = QoSProfile(depth=1, deadline=Duration(seconds=0.3),
                       liveliness=LivelinessPolicy.AUTOMATIC,
                       liveliness_lease_duration=Duration(seconds=1))
    outside.robot.create_subscription(
        TwistStamped, 'delta_twist_cmds', lambda message: None, asked,
        event_callbacks=qos.SubscriptionEventCallbacks(
            deadline=lambda event: missed.append(time.monotonic()),
            liveliness=lambda event: event.alive_count == 0 and lost.append(time.monotonic())))
    process = start(NODE, *ARGUMENTS)
    move(outside)
    process.kill()
    killed_s = time.monotonic()
    missed.clear()
    outside.until(lambda: missed and lost, meanwhile=outside.robot.look)
    assert killed_s < missed[0] and killed_s < lost[0]


def test_a_killed_camera_process_stops_the_arm(outside, start):
    for publisher in (outside.robot.image, outside.robot.info, outside.robot.instruction):
        outside.robot.destroy_publisher(publisher)
    start(NODE, *ARGUMENTS)
    camera = start(CAMERA)
    outside.until(outside.is_moving, 60)
    camera.kill()
    outside.until(lambda: outside.says('commands', 'no image on /image for more than 0.4 s'))
    outside.stays_still()


@pytest.mark.parametrize('arguments, text', [
    (['-p', 'autostart:=true', '-p', 'checkpoint:=/no/such/checkpoint'], '/no/such/checkpoint'),
    (['-p', 'control_rate:=fast'], 'control_rate'), (['-p', 'control_rate:=5.0'], 'control_rate')])
def test_it_exits_with_an_error_and_a_message_where_it_cannot_start(start, arguments, text):
    process = start(
        'import sys; from sqap_vla_ros.ros.vla import node; sys.exit(node.main())', '--ros-args',
        *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert text in errors.splitlines()[-1]
    assert 'Traceback' not in errors
