# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of TF, joint_states and the clock."""
import numpy as np

from .faults import fault, GO_ON, REPORT, STOP
from .of_cameras import offset, silent
from .robot import CAMERA_AT, transform

NAN, INF = float('nan'), float('inf')


def moved(name, change, **options):
    """Register a fault that changes the end effector's transform."""
    @fault(name, 'TF', **options)
    def run(rig):
        def hook(message):
            change(message.transforms[0], rig.robot)
            return message
        rig.robot.hooks['tf'] = hook
        yield
        del rig.robot.hooks['tf']


def joints(name, change, **options):
    """Register a fault that changes joint_states."""
    @fault(name, 'joints', **options)
    def run(rig):
        def hook(message):
            change(message)
            return message
        rig.robot.hooks['joints'] = hook
        yield
        del rig.robot.hooks['joints']


def _aside(metres, axis='x'):
    def change(message, robot):
        place = message.transform.translation
        setattr(place, axis, getattr(place, axis) + metres)
    return change


def _jumping(message, robot):
    message.transform.translation.x += 0.15 * (1 - 2 * (robot._count % 2))


def _set(part, **values):
    def change(message, robot):
        for key, value in values.items():
            setattr(getattr(message.transform, part), key, value)
    return change


def _frozen(message, robot):
    kept = robot.__dict__.setdefault('kept_place', message.transform.translation)
    message.transform.translation = kept


silent('TF stops', 'tf', 'TF')
offset('TF 5 s old', 'tf', -5.0, 'TF')
offset('TF 5 s ahead', 'tf', 5.0, 'TF', watch_s=8.0)
offset('TF 60 s ahead', 'tf', 60.0, 'TF')
offset('TF 0.3 s late', 'tf', -0.3, 'TF')
moved('end effector jumps 30 cm each message', _jumping)
moved('end effector 10 m aside', _aside(10.0))
moved('end effector 1.5 m aside, in sight', lambda m, robot: _aside(1.5, 'y')(m, robot))
moved('end effector behind the camera', _aside(2.0, 'z'))
moved('end effector NaN', _set('translation', x=NAN))
moved('end effector infinite', _set('translation', z=INF))
moved('quaternion zero', _set('rotation', x=0.0, y=0.0, z=0.0, w=0.0))
moved('quaternion of length 2', _set('rotation', x=2.0), wanted=REPORT)
moved('quaternion NaN', _set('rotation', w=NAN))
moved('end effector stands still while it is told to move', _frozen, wanted=REPORT, watch_s=4.0)
moved('TF of other frames', lambda m, robot: setattr(m, 'child_frame_id', 'flange'))


@fault('end effector drifts 2 m/s', 'TF')
def drifts(rig):
    """Let the arm's pose run away from what it was told."""
    way = [0.0]

    def hook(message):
        way[0] += 2.0 / 60
        message.transforms[0].transform.translation.y += way[0]
        return message
    rig.robot.hooks['tf'] = hook
    yield
    del rig.robot.hooks['tf']


@fault('two robots tell TF, 1 m apart', 'TF')
def two_places(rig):
    """Let a second publisher tell another place of the same frame."""
    def hook(message):
        place = rig.robot.position + [0.0, 1.0, 0.0]
        rig.robot.tf.publish(type(message)(transforms=[transform(
            'base', 'end_effector', place, (1.0, 0.0, 0.0, 0.0), rig.robot.now_ns() - 5000000)]))
        return message
    rig.robot.hooks['tf'] = hook
    yield
    del rig.robot.hooks['tf']


def loop(name, times):
    """Register a loop in TF, told so many times."""
    @fault(name, 'TF', wanted=STOP if times > 1 else REPORT)
    def run(rig):
        left = [times]

        def hook(message):
            if left[0]:
                left[0] -= 1
                message.transforms.append(transform(
                    'end_effector', 'base', (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0),
                    rig.robot.now_ns()))
            return message
        rig.robot.hooks['tf'] = hook
        yield
        del rig.robot.hooks['tf']


loop('TF loops', 10**6)
loop('one message of TF loops', 1)


@fault('TF tells itself its own parent', 'TF', wanted=REPORT)
def own_parent(rig):
    """Send a transform from a frame to itself beside the good one."""
    def hook(message):
        message.transforms.append(transform('base', 'base', (0, 0, 0), (0, 0, 0, 1),
                                            rig.robot.now_ns()))
        return message
    rig.robot.hooks['tf'] = hook
    yield
    del rig.robot.hooks['tf']


@fault('static camera moves 20 cm', 'TF')
def camera_moves(rig):
    """Let somebody push the camera, and the calibration be published anew."""
    rig.robot.camera_at = CAMERA_AT + [0.2, 0.0, 0.0]
    rig.robot.look_down()
    yield
    rig.robot.camera_at = CAMERA_AT.copy()
    rig.robot.look_down()


@fault('static camera looks away', 'TF')
def camera_turns(rig):
    """Let the camera's frame look up, as a body frame would."""
    rig.robot.sends.discard('tf_static')
    rig.robot.look_down((0.0, 0.0, 0.0, 1.0))
    yield
    rig.robot.sends.add('tf_static')
    rig.robot.look_down()


def _positions(value):
    def change(message):
        message.position = [value] * len(message.name)
    return change


silent('joint_states stop', 'joints', 'joints')
joints('joint positions NaN', _positions(NAN))
joints('joint positions infinite', _positions(INF))
joints('gripper 10 m open', lambda m: m.position.__setitem__(-1, 10.0))
joints('joint names of another robot', lambda m: setattr(
    m, 'name', [f'other_{name}' for name in m.name]))
joints('joint_states without names', lambda m: setattr(m, 'name', []))
joints('joint_states without positions', lambda m: setattr(m, 'position', []))
joints('fewer positions than names', lambda m: setattr(m, 'position', m.position[:3]))
offset('joint_states 5 s old', 'joints', -5.0, 'joints')
offset('joint_states 5 s ahead', 'joints', 5.0, 'joints')


@fault('joint_states at 5 Hz', 'joints', wanted=REPORT)
def joints_at_5_hz(rig):
    """Send every twelfth."""
    rig.robot.hooks['joints'] = lambda m: m if rig.robot._count % 12 == 0 else None
    yield
    del rig.robot.hooks['joints']


@fault('joint_states at 1 kHz', 'joints', wanted=GO_ON)
def joints_at_1_khz(rig):
    """Send seventeen at once, sixty times a second."""
    def hook(message):
        for _ in range(16):
            rig.robot.joints.publish(message)
        return message
    rig.robot.hooks['joints'] = hook
    yield
    del rig.robot.hooks['joints']


def clock(name, begin, end=None, **options):
    """Register a fault of /clock."""
    @fault(name, 'clock', simulated=True, **options)
    def run(rig):
        begin(rig.robot)
        yield
        if end:
            end(rig.robot)


def _rate(rate):
    return lambda robot: setattr(robot, 'clock_rate', rate)


clock('clock back by 10 s', lambda robot: robot.jump(-10.0), wanted=REPORT)
clock('clock back by 0.3 s', lambda robot: robot.jump(-0.3), wanted=REPORT)
clock('clock ahead by 10 s', lambda robot: robot.jump(10.0), wanted=REPORT)
clock('clock stops', _rate(0.0), _rate(1.0))
clock('clock at a tenth of its rate', _rate(0.1), _rate(1.0), wanted=REPORT)


@fault('clock jumps to and fro', 'clock', simulated=True)
def two_clocks(rig):
    """Let two simulators tell the time, an hour apart."""
    def hook(message):
        rig.robot.jump(3600.0 if rig.robot._count % 2 else -3600.0)
        return message
    rig.robot.hooks['tf'] = hook
    yield
    del rig.robot.hooks['tf']
    if np.abs(rig.robot.now_ns() - 1_000_000 * 10**9) > 1800 * 10**9:
        rig.robot.jump(-3600.0)
