# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What looking for blind cameras costs, and whether it ever raises a false alarm in the simulator.

    MUJOCO_GL=egl python benchmarks/blind_cameras.py --episodes 4

Each rendered frame of the bundled policy's episodes is judged, as it is, with a sensor's noise and
compressed by JPEG; frozen pictures are counted as a real-time node counts them.
"""
import argparse
import time

import cv2
import numpy as np
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.evaluate.rollouts import Drive
from sqap_vla_ros.ingest.frozen_images import FrozenImages
from sqap_vla_ros.ingest.image_health import ImageHealth, neighbours_alike, statistics
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.sim.env import LiberoEnv
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.resources import model_directory

START_NS = 10**18
MIN_CONTRAST, MAX_CHANGE, TIMEOUT_S = 3.0, 80.0, 0.5  # the defaults


def cost():
    """Print the time of a look [ms], best and median of 200."""
    print(f'{"pixels":>12} {"statistics":>18} {"frozen":>18}   best and median, ms')
    for height, width in ((256, 256), (480, 640), (1080, 1920)):
        noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
        image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        images = [image + np.uint8(index) for index in range(9)]
        health, frozen = ImageHealth(), FrozenImages()
        looks = (
            lambda k: health.check(image, START_NS + k * 10**8, MIN_CONTRAST, MAX_CHANGE),
            lambda k: frozen.heard(images[k % 9]))
        told = ' '.join(f'{best:8.3f} {median:8.3f} ' for best, median in map(timed, looks))
        print(f'{width:>7}x{height:<4} {told}', flush=True)


def timed(look, repeats=200):
    """Return the least and the median time of a call, ms."""
    times = []
    for index in range(repeats):
        start = time.perf_counter()
        look(index)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times), float(np.median(times))


class Judges:
    """One camera as it is rendered, one with noise and one that compresses."""

    def __init__(self):
        """Begin."""
        self._random = np.random.default_rng(0)
        self._cameras = {name: (ImageHealth(), FrozenImages())
                         for name in ('rendered', 'noise', 'jpeg')}
        self.alarms, self.frames, self.facts = [], 0, []

    def new_episode(self):
        """Forget, as ~/reset does."""
        for health, frozen in self._cameras.values():
            health.reset()
            frozen.clear()

    def see(self, rendered, now_s, velocity):
        """Judge a frame; velocity: what the arm is told from now on."""
        self.frames += 1
        noisy = np.clip(rendered + self._random.normal(0, 3, rendered.shape), 0, 255)
        jpeg = cv2.imdecode(cv2.imencode('.jpg', rendered)[1], 1)
        self.facts.append((statistics(rendered).contrast, neighbours_alike(rendered)))
        for name, image in (('rendered', rendered), ('noise', noisy.astype(np.uint8)),
                            ('jpeg', jpeg)):
            health, frozen = self._cameras[name]
            frozen.heard(image)
            frozen.commanded(velocity, now_s)
            try:
                health.check(image, START_NS + round(now_s * 1e9), MIN_CONTRAST, MAX_CHANGE)
            except ObservationError as error:
                self.alarms.append(f'{name}, {now_s:.2f} s: {error}')
            told = frozen.why_stop(TIMEOUT_S, name)
            self.alarms += [told] if told else []


def main():
    """Print the costs, and the alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--episodes', type=int, default=4)
    parser.add_argument('--max-steps', type=int, default=150)
    args = parser.parse_args()
    cost()
    with Progress('loading the policy and the simulator'):
        policy = load_policy(
            model_directory('libero_goal'), PolicyOptions(precision='fp', keep=154))
        env, judges = LiberoEnv(), Judges()
    move = env.step
    for seed in range(args.episodes):
        instruction = env.instructions[seed % len(env.instructions)]
        env.reset(seed, instruction)
        policy.reset()
        judges.new_episode()
        drive, done, step = Drive(env, policy), False, 0

        def step_and_see(velocity, *more, **options):
            judges.see(env.render(), step * env.dt, np.asarray(velocity))
            return move(velocity, *more, **options)
        env.step = step_and_see
        with Progress(f'seed {seed}', total=args.max_steps, unit='step') as progress:
            while step < args.max_steps and not done and not drive.fault:
                done = drive.step(step, instruction)
                step += 1
                progress.advance()
        print(f'seed {seed}: {step} steps, success {bool(done)} {drive.fault}', flush=True)
    contrast, alike = np.array(judges.facts).T
    print(f'{judges.frames} frames, least contrast {contrast.min():.1f}, neighbours correlate by '
          f'{alike.min():.2f} or more; {len(judges.alarms)} false alarms')
    print('\n'.join(judges.alarms[:20]))


if __name__ == '__main__':
    main()
