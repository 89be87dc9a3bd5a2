# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm is told where one action chunk takes over from another: velocity, acceleration, jerk.

A recorded run of the bundled policy is played through the Commander as vla_node does in real
time: each chunk is known LATENCY_S after its image, twists, poses and joint velocities go out at
20, 50 and 100 Hz. `before`: chunks take over at once and nothing limits acceleration. The others
have a fade, limits of acceleration and jerk, or both. Then answers that come late.

    python benchmarks/seams.py            # play the recording: results/seams.json and seams.png
    python benchmarks/seams.py --record   # make it anew, in LIBERO: recordings/libero_goal.npz
"""
import argparse
from dataclasses import replace
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive, TwistDrive
from sqap_vla_ros.control.joint_drive import JointDrive
from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.limits import CommandLimits, JointLimits
from sqap_vla_ros.observation import ActionChunk
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress

HERE = Path(__file__).resolve().parent
RECORDING = HERE / 'recordings' / 'libero_goal.npz'
RATES_HZ = (20, 50, 100)
LATENCY_S, FADE_S = 0.1, 0.2
LATE_S = (0.15, 0.25, 0.3, 0.4, 0.5)
LINEAR, ANGULAR = (0.5, 1.0, 10.0), (4.5, 4.0, 40.0)  # speed, acceleration, jerk
JOINT = (2.0, 5.0, 50.0)  # rad/s, rad/s2, rad/s3
WAYS = {  # how chunks take over, and whether acceleration and jerk are limited
    'before': ('none', False), 'fade only': ('linear', False), 'limits only': ('none', True),
    'linear': ('linear', True), 'ensemble': ('ensemble', True)}
OUTPUTS = ('twist', 'pose', 'joints')


def record(path: Path, seed: int, instruction: str | None) -> None:
    """Let the bundled policy drive the simulated arm; keep its chunks and where the arm was."""
    from sqap_vla_ros.evaluate.rollouts import run_episode
    from sqap_vla_ros.policy import load_policy
    from sqap_vla_ros.sim.env import LiberoEnv
    from sqap_vla_ros.support.resources import model_directory
    policy = load_policy(model_directory('libero_goal'))
    instruction = instruction or policy.instructions[0]
    env = LiberoEnv([instruction])
    kept = {'actions': [], 'stamps_ns': [], 'poses': [], 'joints': []}
    infer = policy.infer

    def recorded(observation):
        chunk, pose = infer(observation), env.end_effector_pose()
        kept['actions'].append(chunk.actions)
        kept['stamps_ns'].append(chunk.stamp_ns)
        kept['poses'].append(pose)
        kept['joints'].append(env.joint_state()[1][:7])
        return chunk
    policy.infer = recorded
    result = run_episode(env, policy, seed, instruction)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, instruction=instruction, seed=seed, success=result.success,
                        **{name: np.array(values) for name, values in kept.items()})
    print(f'{len(kept["actions"])} chunks, succeeded: {result.success} -> {path}')


def chunks_of(path: Path = RECORDING) -> list[SimpleNamespace]:
    """Return the recorded chunks with what was measured at their images' stamps."""
    from sqap_vla_ros.sim.sensors import pose_of
    recording = np.load(path)
    space, found = ActionSpace(execute_steps=4), []
    for actions, stamp, pose, joints in zip(*(recording[name] for name in (
            'actions', 'stamps_ns', 'poses', 'joints'))):
        chunk = ActionChunk(actions, space.dt, space.names, int(stamp) + 10**18, {})
        found.append(SimpleNamespace(
            chunk=chunk, start=Measured(pose_of(pose), np.array(joints, np.float64))))
    return found


def joint_chunks(chunks):
    """
    Return the same run as a checkpoint of joint deltas would say it.

    Rows of joint velocities that lead, within a chunk's executed rows, from the joints measured
    at its image to those at the next, with each row's share of the way that the hand goes.
    """
    found = []
    for this, after in zip(chunks, chunks[1:]):
        speed = np.linalg.norm(this.chunk.actions[:, :3], axis=1) + 1e-3
        way = after.start.joints - this.start.joints
        steps = speed[:, None] / speed[:4].sum() * way
        actions = np.hstack([steps, this.chunk.actions[:, 6:]]).astype(np.float32)
        found.append(SimpleNamespace(chunk=replace(this.chunk, actions=actions),
                                     start=this.start))
    return found


def commander_for(output: str, way: str, rate_hz: int) -> Commander:
    """Return what plays the recording."""
    blending, limited = WAYS[way]
    names = tuple(f'j{index + 1}' for index in range(7))
    if output == 'joints':
        space = ActionSpace('joint_delta', (*names, 'gripper'), execute_steps=4)
        free = (np.inf,) * 7
        limits = JointLimits((JOINT[0],) * 7, (JOINT[1],) * 7 if limited else free,
                             (JOINT[2],) * 7 if limited else free)
        drive = JointDrive(names, JointLimits((JOINT[0],) * 7), JointSettings())
    else:
        space, free = ActionSpace(execute_steps=4), (np.inf, np.inf)
        linear, angular = (LINEAR[1:], ANGULAR[1:]) if limited else (free, free)
        limits = CommandLimits(
            LINEAR[0], ANGULAR[0], linear_acceleration=linear[0], linear_jerk=linear[1],
            angular_acceleration=angular[0], angular_jerk=angular[1])
        drive = PoseDrive() if output == 'pose' else TwistDrive()
    return Commander(space, limits, period_ns=round(1e9 / rate_hz), drive=drive,
                     blending=blending, blending_s=FADE_S)


def play(chunks, output: str, way: str, rate_hz: int, latency_s: float = LATENCY_S):
    """Return velocities [T, 6 or 7], zeros where the arm stands, and how many chunks came."""
    control, period_ns = commander_for(output, way, rate_hz), round(1e9 / rate_hz)
    pending = list(joint_chunks(chunks) if output == 'joints' else chunks)
    now_ns, told, taken = pending[0].chunk.stamp_ns, [], 0
    end_ns = pending[-1].chunk.stamp_ns + 10**9
    size = 7 if output == 'joints' else 6
    while now_ns < end_ns:
        while pending and now_ns >= pending[0].chunk.stamp_ns + latency_s * 1e9:
            here = pending.pop(0)
            control.player.ask(here.chunk.stamp_ns)
            control.take(here.chunk, now_ns, here.start)
            taken += 1
        command = control.command(now_ns, here.start) if taken else None
        told.append(command)
        now_ns += period_ns
    if control.gate.fault:
        raise SystemExit(f'{output}, {way}, {rate_hz} Hz: {control.gate.fault}')
    velocities = np.array([np.zeros(size) if x is None else x.velocity for x in told])
    return velocities, taken


def groups_of(output: str):
    """Return (name, columns, limits, unit, whether of the length) of what is limited."""
    if output == 'joints':
        return (('joints', slice(0, 7), JOINT, 'rad', False),)
    return (('linear', slice(0, 3), LINEAR, 'm', True),
            ('angular', slice(3, 6), ANGULAR, 'rad', True))


def figures(velocities, output: str, rate_hz: int) -> dict:
    """Return the greatest speed, acceleration and jerk of each group, and how often it paused."""
    found = {}
    for name, columns, _, unit, is_length in groups_of(output):
        part = velocities[:, columns]
        for order, suffix in enumerate(('speed', 'acceleration', 'jerk')):
            value = np.diff(part, order, axis=0) * rate_hz**order
            size = np.linalg.norm(value, axis=1) if is_length else np.abs(value).max(axis=1)
            found[f'{name}_{suffix}_max'] = round(float(size.max()), 4)
            found[f'{name}_{suffix}_rms'] = round(float(np.sqrt((size**2).mean())), 4)
            found[f'{name}_{suffix}_p99'] = round(float(np.percentile(size, 99)), 4)
        found[f'{name}_way'] = round(float(np.linalg.norm(part, axis=1).sum() / rate_hz), 4)
    moves = velocities.any(axis=1)
    first, last = np.flatnonzero(moves)[[0, -1]]
    found['pauses'] = int(np.sum(np.diff(moves[first:last + 1].astype(int)) == -1))
    return found


def late(latency_s: float, way: str, rate_hz: int = 50, seconds: float = 20.0) -> dict:
    """
    Return what a policy of 8 rows of 0.05 s at 0.2 m/s, asked about every 4, does when late.

    One image is in hand at a time, from a camera of 30 Hz.
    """
    control, period_ns = commander_for('twist', way, rate_hz), round(1e9 / rate_hz)
    control.missed_chunks = 10 if WAYS[way][1] else 0
    actions = np.tile(np.float32([0.2, 0, 0, 0, 0, 0, 1]), (8, 1))
    begin_ns, in_hand, speeds, latched_s = 10**18, None, [], None
    for now_ns in range(begin_ns, begin_ns + round(seconds * 1e9), period_ns):
        seen_ns = now_ns - (now_ns - begin_ns) % 33_333_333
        if in_hand is None and latched_s is None and control.player.wants_image(seen_ns):
            control.player.ask(seen_ns)
            in_hand = seen_ns
        if in_hand is not None and now_ns >= in_hand + latency_s * 1e9:
            control.take(ActionChunk(actions, 0.05, control.space.names, in_hand, {}), now_ns)
            in_hand = None
        command = control.command(now_ns)
        speeds.append(0.0 if command is None else float(command.velocity[0]))
        if control.gate.fault and latched_s is None:
            latched_s = round((now_ns - begin_ns) * 1e-9, 2)
    moves = np.array(speeds) > 0
    under_way_s = latched_s or seconds
    return {'stops_per_s': round(int(np.sum(np.diff(moves.astype(int)) == -1)) / under_way_s, 2),
            'largest_step_mm_s': round(1e3 * float(np.abs(np.diff(speeds)).max()), 1),
            'latched_after_s': latched_s}


def plot(runs, path: Path) -> None:
    """Draw speed and acceleration before and after, at 50 Hz."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(2, len(OUTPUTS), figsize=(16, 7), sharex=True)
    for column, output in enumerate(OUTPUTS):
        name, columns, limits, unit, _ = groups_of(output)[0]
        for way, colour in (('before', '#c44'), ('linear', '#27a')):
            part = runs[output, way, 50][:, columns]
            times = np.arange(len(part)) / 50
            axes[0, column].plot(times, np.linalg.norm(part, axis=1), color=colour, lw=1,
                                 label=way)
            change = np.diff(part, axis=0) * 50
            size = np.linalg.norm(change, axis=1) if unit == 'm' else np.abs(change).max(axis=1)
            axes[1, column].plot(times[1:], size, color=colour, lw=1, label=way)
        axes[1, column].axhline(limits[1], color='k', lw=0.8, ls='--', label='limit')
        axes[0, column].set(title=output, ylabel=f'speed [{unit}/s]')
        axes[1, column].set(ylabel=f'acceleration [{unit}/s2]', xlabel='time [s]')
        axes[1, column].set_yscale('log')
        axes[1, column].set_ylim(1e-2, None)
        axes[1, column].legend(loc='lower right', fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Record, or play and tell."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--record', action='store_true')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--instruction')
    parser.add_argument('--out', type=Path, default=HERE / 'results')
    args = parser.parse_args()
    if args.record:
        record(RECORDING, args.seed, args.instruction)
        return
    chunks, runs, results = chunks_of(), {}, {}
    for output in OUTPUTS:
        for way in WAYS:
            for rate_hz in RATES_HZ:
                with Progress(f'{output}, {way}, {rate_hz} Hz'):
                    velocities, taken = play(chunks, output, way, rate_hz)
                runs[output, way, rate_hz] = velocities
                found = {'seams': taken - 1, **figures(velocities, output, rate_hz)}
                results[f'{output}, {way}, {rate_hz} Hz'] = found
                print(f'{output:7}{way:12}{rate_hz:4} Hz  ' + '  '.join(
                    f'{name} {value:g}' for name, value in found.items()
                    if name.endswith(('max', 'pauses'))))
    with Progress('late answers'):
        late_runs = {f'{latency_s} s, {way}': late(latency_s, way)
                     for latency_s in LATE_S for way in ('before', 'linear')}
    for name, found in late_runs.items():
        print(f'answers after {name:14}', found)
    plot(runs, args.out / 'seams.png')
    facts = {'machine': machine(), 'versions': versions(), 'latency_s': LATENCY_S,
             'fade_s': FADE_S, 'linear_limits': LINEAR, 'angular_limits': ANGULAR,
             'joint_limits': JOINT, 'runs': results, 'late_answers': late_runs}
    (args.out / 'seams.json').write_text(json.dumps(facts, indent=1) + '\n')


if __name__ == '__main__':
    main()
