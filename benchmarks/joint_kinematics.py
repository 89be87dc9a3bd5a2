# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What it costs to turn twists into joints, and how straight the way is that comes out.

Cost: microseconds of processor time a control tick, median and 99th percentile, of the whole
drive (kinematics, limits of joints, reference) and of its parts, for the simulated Panda and for
an arm of six joints. Ways: a twist of 0.2 m/s along a line, once every period, followed by joints
that lag by 60 ms; how far the end effector leaves the line and turns, and the fastest joint.

    python benchmarks/joint_kinematics.py
"""
import json
from pathlib import Path
import sys
import time

import numpy as np
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.command import Command, Measured
from sqap_vla_ros.control.joint_drive import JointDrive
from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.row_positions import step_between
from sqap_vla_ros.sim.robot_description import robot_description
from sqap_vla_ros.sim.sensors import BASE_FRAME, END_EFFECTOR_FRAME
from sqap_vla_ros.support.machine import machine
from sqap_vla_ros.support.progress import Progress

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test'))
RESULTS = Path(__file__).resolve().parent / 'results' / 'joint_kinematics.json'
READY = [0.0, 0.2, 0.0, -2.6, 0.0, 2.9, 0.8]
BENT = [0.1, 0.4, 1.2, 0.1, 0.9, 0.0]
SPEED, LAG_S, TICKS = 0.2, 0.06, 2000
WAYS = {  # arm, joints, direction, m, Hz
    '30 cm sideways, 20 Hz': ('Panda', READY, (0, 1, 0), 0.3, 20),
    '30 cm sideways, 50 Hz': ('Panda', READY, (0, 1, 0), 0.3, 50),
    '30 cm sideways, 100 Hz': ('Panda', READY, (0, 1, 0), 0.3, 100),
    '20 cm past a wrist singularity': (
        'six joints', [0.3, 0.2, 1.6, 0.02, -0.35, 0], (0.8, 0, 0.3), 0.2, 50),
    '30 cm back from stretched out': (
        'six joints', [0, 0.7, 0, 0, 0.9, 0], (-1, 0, -0.3), 0.3, 50),
    '60 cm out, of which 7 are within reach': (
        'six joints', [0, 0.3, 0.8, 0, 0.9, 0], (1, 0, 0.3), 0.6, 50)}


def drive_of(arm, joints) -> JointDrive:
    """Return a drive that has begun at joints."""
    from arms import six_joints
    described = {'Panda': (robot_description(), BASE_FRAME, END_EFFECTOR_FRAME),
                 'six joints': (six_joints(), 'base_link', 'tool0')}[arm]
    drive = JointDrive.of(ActionSpace(), JointSettings(margin=0.05, acceleration=10.0), *described)
    drive.begin(Measured(drive._inverse.kinematics.forward(joints), joints))
    return drive


def cost_us(call) -> dict:
    """Return processor time a call, in microseconds."""
    times = []
    for index in range(TICKS):
        began = time.process_time_ns()
        call(index)
        times.append((time.process_time_ns() - began) * 1e-3)
    return {'p50': round(float(np.median(times)), 1), 'p99': round(float(
        np.percentile(times, 99)), 1)}


def costs(arm, joints) -> dict:
    """Return what a tick costs, and its parts."""
    joints, drive = np.array(joints), drive_of(arm, np.array(joints))
    inverse, twist = drive._inverse, np.array([0.02, 0.05, 0, 0, 0, 0.1])
    return {
        'forward': cost_us(lambda index: inverse.kinematics.forward(joints)),
        'Jacobian': cost_us(lambda index: inverse.kinematics.jacobian(joints)),
        'inverse kinematics': cost_us(lambda index: inverse.step(joints, twist, 0.02)),
        'the whole drive': cost_us(lambda index: drive.advance(
            Command(twist * np.sign(index // 50 % 2 - 0.5)), index * 20_000_000, 20_000_000))}


def way(arm, joints, direction, length_m, rate_hz) -> dict:
    """Follow a line; return how it went."""
    drive, joints = drive_of(arm, np.array(joints, float)), np.array(joints, float)
    forward, period_ns = drive._inverse.kinematics.forward, round(1e9 / rate_hz)
    along = np.array(direction) / np.linalg.norm(direction)
    start, astray_m, turned_rad, speeds = forward(joints), 0.0, 0.0, []
    ticks = round(1.2 * length_m / SPEED * rate_hz)
    for tick in range(ticks):
        twist = np.append(SPEED * along, np.zeros(3))
        sent = drive.advance(Command(twist), tick * period_ns, period_ns)
        speeds.append(np.abs(sent.velocity).max())
        for _ in range(20):
            joints = joints + period_ns * 1e-9 / 20 / LAG_S * (sent.position - joints)
        step = step_between(start, forward(joints), 'base')
        gone_m = float(step[:3] @ along)
        astray_m = max(astray_m, float(np.linalg.norm(step[:3] - gone_m * along)))
        turned_rad = max(turned_rad, float(np.linalg.norm(step[3:])))
        if gone_m >= length_m:
            break
    return {'gone_mm': round(1e3 * gone_m), 'seconds': round((tick + 1) / rate_hz, 2),
            'off_the_line_mm': round(1e3 * astray_m, 2),
            'turned_deg': round(float(np.degrees(turned_rad)), 2),
            'fastest_joint_rad_s': round(float(max(speeds)), 2)}


def main():
    """Measure, print and keep."""
    with Progress('measuring'):
        result = {'machine': machine(), 'cost_us': {
            'Panda': costs('Panda', READY), 'six joints': costs('six joints', BENT)}}
        result['ways'] = {f'{name}, {facts[0]}': way(*facts) for name, facts in WAYS.items()}
    for table in (*result['cost_us'].items(), *result['ways'].items()):
        print(*table)
    RESULTS.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
