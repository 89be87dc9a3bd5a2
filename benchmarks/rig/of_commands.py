# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults on the way to the arm: others who command it, and signals in mid-motion."""
import signal
import time

from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sqap_vla_ros.ros.vla.config import PARAMETERS as KNOWN
from std_msgs.msg import Bool, Float64

from .faults import fault, GO_ON, REPORT
from .measure import reaction
from .policy import INSTRUCTION
from .processes import NodeProcess


def commander(name, speed, kind=TwistStamped, topic='delta_twist_cmds', **options):
    """Register a second publisher of commands; speed: m/s, None says nothing."""
    @fault(name, 'commanders', **options)
    def run(rig):
        publisher, start_s = rig.robot.publisher(kind, topic, 10), time.monotonic()
        message, timer = kind(), None
        if kind is TwistStamped:
            message.header.frame_id, message.twist.linear.y = 'other', speed or 0.0
        if speed is not None:
            timer = rig.robot.node.create_timer(0.05, lambda: publisher.publish(message))
        yield start_s
        if timer:
            rig.robot.node.destroy_timer(timer)
        rig.robot.node.destroy_publisher(publisher)


commander('a second commander that is silent', None)
commander('a second commander that says zeros', 0.0)
commander('a second commander that moves the arm', 0.1)
commander('a second publisher of the gripper', None, Float64, 'gripper_command')


@fault('a second vla_node with the same task', 'commanders', watch_s=6.0)
def second_node(rig):
    """Start another node on the same topics; both hear camera and instruction."""
    other = NodeProcess(name='vla_node_2')
    _until(lambda: rig.robot.node.count_publishers('delta_twist_cmds') > 1, 20.0)
    start_s = time.monotonic()
    rig.robot.say(INSTRUCTION)
    yield start_s
    other.close()


@fault('a second vla_node without a task', 'commanders', wanted=REPORT, watch_s=4.0)
def idle_node(rig):
    """Start another node that has no instruction and may say zeros in between."""
    other = NodeProcess(name='vla_node_2')
    _until(lambda: rig.robot.node.count_publishers('delta_twist_cmds') > 1, 20.0)
    start_s = time.monotonic()
    yield start_s
    rig.note(flips=flips(rig.robot.log, start_s, time.monotonic()))
    other.close()


def flips(log, start_s, end_s):
    """Return how often commands changed between zero and motion."""
    _, twists = log.window(start_s, end_s)
    moving = np.abs(twists).max(axis=1) > 1e-4
    return int((moving[1:] != moving[:-1]).sum())


@fault('a controller of incompatible QoS', 'commanders', wanted=REPORT)
def incompatible(rig):
    """Subscribe as a controller that asks for what is not offered."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscription = rig.robot.node.create_subscription(
        TwistStamped, 'delta_twist_cmds', lambda message: None, latched)
    yield
    rig.robot.node.destroy_subscription(subscription)


def signalled(number, **options):
    """Register a signal in mid-motion."""
    @fault(f'{number.name} in mid-motion', 'death', recovers=False, **options)
    def run(rig):
        yield rig.node.signal(number)
        rig.node.process.wait(10.0)
        rig.note(exit_status=rig.node.process.returncode)


for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signalled(_number)
signalled(signal.SIGKILL, wanted=REPORT)


@fault('the process is suspended for 2 s (SIGSTOP)', 'death', wanted=REPORT, watch_s=4.0)
def suspended(rig):
    """Suspend and continue: nothing old may be played afterwards."""
    start_s = rig.node.signal(signal.SIGSTOP)
    time.sleep(2.0)
    continued_s = rig.node.signal(signal.SIGCONT)
    time.sleep(0.3)
    rig.note(first_after_ms=_first(rig.robot.log, continued_s),
             mm_in_300_ms_after=reaction(rig.robot.log, continued_s, time.monotonic()).way_mm)
    yield start_s


def _first(log, since_s):
    later = [time_s for time_s in log.times if time_s > since_s]
    return round((later[0] - since_s) * 1e3) if later else None


@fault('~/stop in mid-motion', 'asked to stop')
def stop(rig):
    """Call the service."""
    start_s = time.monotonic()
    rig.note(answer=rig.call('stop'))
    yield start_s


@fault('deactivate in mid-motion', 'asked to stop', recovers=False)
def deactivate(rig):
    """Ask for the transition."""
    start_s = time.monotonic()
    rig.note(answer=rig.change_state('deactivate'))
    yield start_s


@fault('shutdown in mid-motion', 'asked to stop', recovers=False)
def shutdown(rig):
    """Ask for the transition."""
    start_s = time.monotonic()
    rig.note(answer=rig.change_state(7))
    yield start_s


def estop(name, press, goes_away=False, **options):
    """Register an emergency stop; versions without one are not tried."""
    if 'estop_topic' not in KNOWN:
        return

    @fault(name, 'asked to stop', moving=False, recovers=False,
           parameters={'estop_topic': 'estop'}, **options)
    def run(rig):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        publisher = rig.robot.publisher(Bool, 'estop', latched)
        publisher.publish(Bool(data=False))
        time.sleep(1.0)
        rig.have_motion()
        start_s = time.monotonic()
        press(rig, publisher)
        yield start_s
        if not goes_away:
            publisher.publish(Bool(data=False))
            time.sleep(0.3)
            rig.note(moves_when_released=bool(rig.moves_within(1.5)))
            rig.robot.node.destroy_publisher(publisher)


estop('e-stop pressed', lambda rig, publisher: publisher.publish(Bool(data=True)))
estop('e-stop told every 10 ms', lambda rig, publisher: [
    (publisher.publish(Bool(data=True)), time.sleep(0.01)) for _ in range(100)])
estop('e-stop publisher goes away', lambda rig, publisher: rig.robot.node.destroy_publisher(
    publisher), goes_away=True)


@fault('max_linear_speed lowered to 0.03 in mid-motion', 'asked to stop', wanted=GO_ON)
def lowered(rig):
    """Set the parameter on the running node."""
    start_s = time.monotonic()
    rig.set_parameter('max_linear_speed', 0.03)
    yield start_s
    rig.set_parameter('max_linear_speed', 0.25)


def _until(condition, timeout_s):
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
