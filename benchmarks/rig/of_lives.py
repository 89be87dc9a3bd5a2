# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of starting, of transitions, and motion that nobody asked for."""
import time

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from .faults import fault, REFUSE, REPORT, STILL
from .policy import INSTRUCTION
from .processes import NodeProcess

INACTIVE = {'autostart': False}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def illegal(name, transition, **options):
    """Register a transition that is not allowed while the node is active."""
    @fault(name, 'transitions', wanted=REFUSE, watch_s=1.0, **options)
    def run(rig):
        answer = rig.change_state(transition)
        rig.note(answer=answer, refused=answer is False and _lives(rig))
        yield


illegal('configure while active', 'configure')
illegal('activate while active', 'activate')
illegal('cleanup while active', 'cleanup')
illegal('transition 99', 99)
illegal('transition 0', 0)
illegal('transition 60, an internal one', 60)
illegal('shutdown of the wrong state', 5)


@fault('activate before configure', 'transitions', wanted=REFUSE, watch_s=1.0, moving=False,
       recovers=False, fresh=True, starts=False)
def too_early(rig):
    """Ask an unconfigured node to activate."""
    bare(rig, INACTIVE)
    answer = rig.change_state('activate')
    rig.note(answer=answer, refused=answer is False and _lives(rig))
    yield


@fault('ChangeState beside autostart', 'transitions', wanted=REFUSE, watch_s=2.0, moving=False,
       recovers=False, fresh=True, starts=False)
def beside_autostart(rig):
    """Configure and activate as launch does, while the node does so itself."""
    bare(rig, {'autostart': True})
    rig.note(answers=[rig.change_state(name, 8.0) for name in (
        'configure', 'activate', 'configure', 'activate')])
    rig.note(refused=_lives(rig) and rig.state() == 'active')
    yield


@fault('configure fifty times at once', 'transitions', wanted=REFUSE, watch_s=2.0)
def fifty(rig):
    """Ask for many transitions without waiting."""
    rig.note(answers=sorted({str(rig.change_state('configure')) for _ in range(50)}))
    rig.note(refused=_lives(rig))
    yield


def _lives(rig):
    time.sleep(0.3)
    return rig.node.alive and rig.state() is not None


def bare(rig, parameters):
    """Start a node without waiting for its subscriptions."""
    rig.node = NodeProcess(parameters)
    rig.until(lambda: not rig.node.alive or rig.state() is not None, 30.0, 'no node')


def unasked(name, **options):
    """Register steps after which the arm must not move."""
    return fault(name, 'unasked', wanted=STILL, moving=False, recovers=False, fresh=True,
                 starts=False, watch_s=3.0, **options)


def go(rig, *transitions):
    """Go through transitions."""
    rig.note(answers=[rig.change_state(name, 20.0) for name in transitions])


@unasked('instruction heard while inactive, then activate')
def while_inactive(rig):
    """Configure, say, activate."""
    bare(rig, INACTIVE)
    go(rig, 'configure')
    time.sleep(0.5)
    rig.robot.say(INSTRUCTION)
    time.sleep(0.5)
    start_s = time.monotonic()
    go(rig, 'activate')
    yield start_s
    rig.note(moves_when_said=bool(_said_again(rig)))


@unasked('~/stop while inactive, then activate')
def stopped_inactive(rig):
    """Stop a node that is not active, then activate and say."""
    bare(rig, INACTIVE)
    go(rig, 'configure')
    rig.note(answer=rig.call('stop'))
    start_s = time.monotonic()
    go(rig, 'activate')
    time.sleep(0.5)
    rig.robot.say(INSTRUCTION)
    yield start_s
    rig.note(moves_when_resumed=bool(_resumed(rig)))


@unasked('~/stop, deactivate, activate')
def stopped_and_again(rig):
    """Keep the stop over a deactivation."""
    yield _stopped(rig, 'deactivate', 'activate')
    rig.note(moves_when_resumed=bool(_resumed(rig)))


@unasked('~/stop, cleanup, configure, activate')
def stopped_and_cleaned(rig):
    """Keep the stop over cleanup and configure."""
    yield _stopped(rig, 'deactivate', 'cleanup', 'configure', 'activate')
    rig.note(moves_when_resumed=bool(_resumed(rig)))


def _stopped(rig, *transitions):
    rig.have_node()
    rig.have_motion()
    rig.call('stop')
    time.sleep(0.3)
    start_s = time.monotonic()
    go(rig, *transitions)
    time.sleep(0.5)
    rig.robot.say(INSTRUCTION)
    return start_s


def _resumed(rig):
    rig.call('resume')
    rig.robot.say(INSTRUCTION)
    return rig.moves_within(5.0)


def _said_again(rig):
    time.sleep(0.2)
    rig.robot.say(INSTRUCTION)
    return rig.moves_within(5.0)


@unasked('deactivate and activate in mid-motion')
def again(rig):
    """Activate once more: the instruction of before is an old one."""
    rig.have_node()
    rig.have_motion()
    go(rig, 'deactivate')
    time.sleep(0.3)
    start_s = time.monotonic()
    go(rig, 'activate')
    yield start_s


def latched(name, begin):
    """Register a start beside an instruction that was latched before."""
    @unasked(name)
    def run(rig):
        publisher = rig.robot.publisher(String, 'instruction', LATCHED)
        publisher.publish(String(data=INSTRUCTION))
        start_s = begin(rig)
        yield start_s
        rig.robot.node.destroy_publisher(publisher)
        rig.note(moves_when_said=bool(_said_again(rig)))


def _started(rig):
    start_s = time.monotonic()
    rig.have_node()
    time.sleep(2.0)
    return start_s


def _respawned(rig):
    rig.have_node()
    rig.have_motion()
    rig.node.process.kill()
    rig.node.process.wait()
    time.sleep(0.5)
    return _started(rig)


latched('instruction latched before the start', _started)
latched('killed in mid-motion and respawned, instruction latched', _respawned)


@fault('first motion', 'motion', wanted=REPORT, moving=False, recovers=False, fresh=True,
       watch_s=3.0)
def first_motion(rig):
    """Begin to move at 0.24 m/s: the first step."""
    rig.node.behave('fast')
    rig.until(lambda: rig.state() == 'active', 30.0, 'not active')
    time.sleep(1.0)
    start_s = time.monotonic()
    rig.robot.say(INSTRUCTION)
    yield start_s


@fault('20 s of motion at 0.24 m/s', 'motion', wanted=REPORT, watch_s=20.0, recovers=False)
def seams(rig):
    """Move for a while: seams."""
    yield rig.node.behave('fast')


def refused(name, **parameters):
    """Register parameters with which the node must not start."""
    @fault(name, 'parameters', wanted=REFUSE, moving=False, recovers=False, fresh=True,
           starts=False, watch_s=0.5)
    def run(rig):
        start_s = time.monotonic()
        rig.node = NodeProcess({'raw': parameters})
        while rig.node.alive and time.monotonic() - start_s < 30.0:
            time.sleep(0.05)
        lines = rig.node.text.strip().splitlines() or ['']
        rig.note(refused=not rig.node.alive and bool(rig.node.process.returncode),
                 exit_status=rig.node.process.poll(), words=lines[-1][:300])
        yield


refused('max_linear_sped: 0.02', max_linear_sped=0.02)
refused('max_linear_speed: NaN', max_linear_speed=float('nan'))
refused('max_linear_speed: -0.1', max_linear_speed=-0.1)
refused('image_timeout: a word', image_timeout='soon')
