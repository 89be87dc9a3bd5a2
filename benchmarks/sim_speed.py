# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How fast the simulator renders, against mujoco.Renderer: episodes in turn, in one run.

    python benchmarks/sim_speed.py [--rounds 3] [--processes 1 2] [--out FILE.json]

The scripted expert acts, a frame every four control steps as in an episode of the policy. All
processes run the same side at the same time; frames/s are those of all of them together, with
physics (`step+render`) and without (`render`). On a machine that does other things, too, go by
the processor time of a frame. A last episode compares the two sides' frames.
"""
import argparse
from contextlib import closing
from functools import partial
import json
import multiprocessing
from pathlib import Path
import time

import numpy as np
from sqap_vla_ros.sim.env import LiberoEnv
from sqap_vla_ros.sim.expert import Expert
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.processes import run_jobs

import mujoco  # noqa: I100 (behind sqap_vla_ros.sim, which chooses how it renders)

STEPS_PER_FRAME = 4
LONGEST_S = 300.0  # that one process waits for another
SIDES = ('mujoco.Renderer', 'SceneCamera')
UNITS = {'render': 'render, frames/s', 'step+render': 'step+render, frames/s',
         'render_cpu_ms': 'render, CPU ms/frame',
         'step+render_cpu_ms': 'step+render, CPU ms/frame'}


class PlainCamera:
    """The same camera by MuJoCo's own renderer, with the flags that SceneCamera sets."""

    def __init__(self, env, camera='agentview'):
        env.model.vis.quality.offsamples = 0
        self._data, self._camera = env.data, camera
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0
        self._renderer = mujoco.Renderer(env.model, *env.image_size)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = 0

    def render(self):
        """Return the frame uint8 [H, W, 3]."""
        self._renderer.update_scene(self._data, self._camera, self._options)
        return self._renderer.render()


def run_episode(env, seed, frames, look):
    """Act, and look() a frame; return s a frame [2, 2]: steps, look; by clock and processor."""
    env.reset(seed)
    expert, laps = Expert(env), np.zeros((2, 2))
    for _ in range(frames):
        for _ in range(STEPS_PER_FRAME):
            action = expert.act()
            laps[0] += seconds(lambda: env.step(*action))
        laps[1] += seconds(look)
    return laps / frames


def seconds(function):
    """Call a function; return how long it took by the clock and of processor time."""
    start = np.array([time.perf_counter(), time.process_time()])
    function()
    return np.array([time.perf_counter(), time.process_time()]) - start


def pixel_difference(env, plain, frames):
    """Return how the two sides' frames of one episode differ, in grey levels."""
    gaps = []

    def look():
        gaps.append(np.abs(env.render().astype(int) - plain.render()))
    run_episode(env, 0, frames, look)
    return {'frames': frames, 'mean': float(np.mean(gaps)), 'max': int(np.max(gaps)),
            'identical_frames': sum(not gap.any() for gap in gaps)}


def measure(options, barrier, number):
    """Be one process: run all episodes in step with the others; return laps and difference."""
    env = LiberoEnv(image_size=(options.size, options.size))
    plain = PlainCamera(env)
    looks = dict(zip(SIDES, (plain.render, env.render)))
    run_episode(env, 0, 2, lambda: [look() for look in looks.values()])
    laps = []
    for episode in range(options.rounds):
        for side in SIDES[::(-1)**episode]:
            barrier.wait(LONGEST_S)
            seed = 100 * number + episode
            laps.append((side, run_episode(env, seed, options.frames, looks[side])))
    difference = None if number else pixel_difference(env, plain, options.frames)
    return laps, difference


def summarize(processes):
    """Return {side: frames/s of all processes together, processor ms a frame}."""
    summary = {}
    for side in SIDES:
        laps = np.array([np.mean([lap for name, lap in laps if name == side], axis=0)
                         for laps in processes])
        whole_s, look_s = laps.sum(axis=1), laps[:, 1]
        summary[side] = {'render': (1 / look_s[:, 0]).sum(),
                         'step+render': (1 / whole_s[:, 0]).sum(),
                         'render_cpu_ms': 1e3 * look_s[:, 1].mean(),
                         'step+render_cpu_ms': 1e3 * whole_s[:, 1].mean()}
    return summary


def run(count, options):
    """Measure with a number of processes; return their summary and the pixel difference."""
    with multiprocessing.Manager() as manager:
        one = partial(measure, options, manager.Barrier(count))
        with closing(run_jobs(one, range(count), count)) as jobs:
            found = [result for _, result in jobs]
    return summarize([laps for laps, _ in found]), next(gap for _, gap in found if gap)


def main():
    """Measure with each number of processes and print frames/s."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3, help='episodes of each side')
    parser.add_argument('--frames', type=int, default=24, help='of an episode')
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--size', type=int, default=256, help='height and width of a frame')
    parser.add_argument('--out', type=Path)
    options = parser.parse_args()
    print(f'{options.rounds} episodes of {options.frames} frames, {machine()}, {versions()}')
    print(f'{"processes":11}{"":26}' + ''.join(f'{name:>17}' for name in (*SIDES, 'ratio')))
    rows = []
    for count in options.processes:
        summary, difference = run(count, options)
        for key, unit in UNITS.items():
            old, new = (summary[side][key] for side in SIDES)
            print(f'{count:<11}{unit:26}{old:17.1f}{new:17.1f}{new / old:17.2f}')
        print(f'{"":11}pixels differ by {difference}', flush=True)
        rows.append({'processes': count, **summary, 'difference': difference})
    if options.out:
        options.out.write_text(json.dumps(
            {'rounds': options.rounds, 'frames': options.frames, 'size': options.size,
             'steps_per_frame': STEPS_PER_FRAME, 'machine': machine(), 'versions': versions(),
             'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
