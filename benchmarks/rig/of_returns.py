# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What was lost comes back: with require_resume nothing moves until somebody says so."""
import time

from sqap_vla_ros.ros.vla.config import PARAMETERS as KNOWN

from .faults import fault, STILL
from .of_cameras import own_camera, start_camera, with_camera

LATCHING = {'require_resume': True}
LOSSES = {'camera': 'image', 'camera_info': 'info', 'TF': 'tf', 'joint_states': 'joints'}


def returns(name, **options):
    """Register a loss whose end must move nothing; versions without the option are not tried."""
    parameters = {**LATCHING, 'camera_info_max_age': 1.5}

    def register(run):
        if 'require_resume' in KNOWN:
            fault(name, 'returns', wanted=STILL, parameters=parameters, recovers=False,
                  **options)(run)
    return register


def lost(name, topic):
    """Register a loss of one topic for as long as it takes until the arm stands."""
    @returns(f'require_resume: {name} comes back')
    def run(rig):
        rig.robot.sends.discard(topic)
        _at_rest(rig)
        rig.robot.sends.add(topic)
        start_s = time.monotonic()
        yield start_s
        rig.note(answer=rig.call('resume'), moves_when_resumed=rig.moves_within(3.0))


def _at_rest(rig):
    """Wait until the arm has stood for a second."""
    end_s, moved_s = time.monotonic() + 8.0, time.monotonic()
    while time.monotonic() < min(end_s, moved_s + 1.0):
        if rig.is_moving():
            moved_s = time.monotonic()
        time.sleep(0.01)


for _name, _topic in LOSSES.items():
    lost(_name, _topic)


@returns('require_resume: camera driver is killed and starts again', watch_s=6.0)
def driver(rig):
    """Kill the driver's process, start it again, and wait."""
    with_camera(rig, restart=True)
    _at_rest(rig)
    camera, start_s = start_camera(), time.monotonic()
    yield start_s
    rig.note(answer=rig.call('resume'), moves_when_resumed=rig.moves_within(5.0))
    camera.terminate()
    camera.wait()
    own_camera(rig)


@returns('require_resume: ~/reset behind a loss')
def reset(rig):
    """Call ~/reset, which is not ~/resume."""
    rig.robot.sends.discard('image')
    _at_rest(rig)
    rig.robot.sends.add('image')
    start_s = time.monotonic()
    rig.note(reset=rig.call('reset'))
    yield start_s
    rig.note(answer=rig.call('resume'), moves_when_resumed=rig.moves_within(3.0))


@returns('require_resume: the same instruction again behind a loss')
def said_again(rig):
    """Say the instruction once more, as many nodes do with a timer."""
    rig.robot.sends.discard('image')
    _at_rest(rig)
    rig.robot.sends.add('image')
    start_s = time.monotonic()
    rig.robot.say('put the bowl on the stove')
    yield start_s
    rig.note(answer=rig.call('resume'), moves_when_resumed=rig.moves_within(3.0))


if 'dry_run' in KNOWN:
    @fault('dry_run', 'returns', wanted=STILL, moving=False, recovers=False, fresh=True,
           parameters={'dry_run': True}, watch_s=4.0)
    def dry(rig):
        """Let everything run but the commands."""
        start_s = time.monotonic()
        rig.robot.say('put the bowl on the stove')
        yield start_s
        rig.note(last_said=rig.last_said())
