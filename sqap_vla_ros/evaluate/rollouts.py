# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Episodes of a policy in the simulator, without ROS: the same observations and commands, faster.

Observations are built by ingest/ and commands by control/, as in the policy node: a lockstep run
through ROS with the same seed gives the same episodes, and test/ros/test_ros_one_path.py shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .conventions import middle_state, takes_the_benchmarks_frames
from .motion import path_length, rms_jerk
from .simulated_robot import SimulatedRobot
from ..control.command import STOP
from ..control.commander import Commander
from ..errors import ConfigError, ObservationError
from ..model.prompt import PAD
from ..observation import Observation
from ..sim.units import COMMAND_SCALES

# what the policy is given instead of the truth
CONTROLS = {
    'none': 'everything as it is',
    'blank-image': 'a black image; instruction and proprioception as they are',
    'other-instruction': "another task's instruction than the one that is judged",
    'no-state': 'the mean proprioception of the training data, or the middle of its range',
    'state-only': 'a black image and an empty instruction; proprioception as it is',
}
MAX_STEPS = 300


@dataclass(frozen=True)
class EpisodeResult:
    """
    One episode: what was asked, whether it succeeded, after how many control steps.

    fault: why the arm was stopped for good, empty if it was not.  path_m, jerk: the length of the
    hand's way and the root mean square of its jerk (m/s3), None where they were not taken.
    """

    seed: int
    instruction: str
    success: bool
    steps: int
    infer_ms: float
    fault: str = ''
    path_m: float | None = None
    jerk: float | None = None


def controlled(observation: Observation, control: str, mean_state=None) -> Observation:
    """Return what a control leaves of it; mean_state: [S], shown under 'no-state'."""
    if control in ('blank-image', 'state-only'):
        views = {name: replace(view, image=np.zeros_like(view.image))
                 for name, view in observation.views.items()}
        return replace(observation, image=np.zeros_like(observation.image), views=views)
    if control == 'no-state':
        return replace(observation, state=np.asarray(mean_state, observation.state.dtype))
    return observation


def run_episode(env, policy, seed: int, instruction: str, control: str = 'none',
                max_steps: int = MAX_STEPS, start: int | None = None) -> EpisodeResult:
    """
    Run one episode in lockstep: infer, execute the first rows of the chunk, look again.

    control: one of CONTROLS.  start: seed of the initial state, None for `seed`.  Raises
    ConfigError for a control that this environment or policy cannot serve.
    """
    mean_state = middle_state(policy.statistics)
    if control == 'no-state' and mean_state is None:
        raise ConfigError('no-state needs a policy with proprioception')
    env.reset(seed if start is None else start, instruction)
    policy.reset()
    told = told_instruction(env.instructions, instruction, control, seed)
    drive = Drive(env, policy, lambda seen: controlled(seen, control, mean_state))
    success, way = False, [_hand(env)]
    while len(way) <= max_steps and not success and not drive.fault:
        success = drive.step(len(way) - 1, told)
        way.append(_hand(env))
    return EpisodeResult(seed, instruction, bool(success), len(way) - 1, drive.infer_ms,
                         drive.fault, path_length(np.array(way)), rms_jerk(np.array(way), env.dt))


def _hand(env) -> np.ndarray:
    """Return where the end effector is, m."""
    return np.array(env.end_effector_pose()[:3, 3])


class Drive:
    """
    Lets a policy drive the simulated arm for an episode, as vla_node does in lockstep.

    fault: why it must not go on, empty while it may.
    """

    def __init__(self, env, policy, shown=lambda observation: observation):
        """Begin; shown(observation) is what the policy is given instead."""
        space, selection = policy.config.action_space, policy.selection
        env.command_scale = COMMAND_SCALES[space.kind]
        self._env, self._policy, self._shown = env, policy, shown
        self._robot = SimulatedRobot(
            env, policy.state_names, needs_localization=(
                selection is not None and selection.method == 'sqap' and selection.protect),
            cameras=policy.cameras, upside_down=takes_the_benchmarks_frames(
                policy.image_transform))
        self._commander = Commander(space, env.command_scale.limits, lockstep=True)
        self._gripper, self._spent_ms, self._count = 1.0, 0.0, 0
        self.fault = ''

    @property
    def infer_ms(self) -> float:
        """Return the mean time of an inference."""
        return self._spent_ms / max(1, self._count)

    def step(self, step: int, instruction: str) -> bool:
        """Infer if it is time to, move for one control step, and return whether that succeeded."""
        return self._env.step(*self.command(step, instruction))

    def command(self, step: int, instruction: str) -> tuple[np.ndarray, float]:
        """Infer if it is time to; return (twist [6], gripper 0 closed .. 1 open) of a step."""
        time_ns = step * round(self._env.dt * 1e9)
        if self._commander.player.wants_image(time_ns):
            self._ask(time_ns, instruction)
        command = self._commander.command(time_ns) or STOP
        self.fault = self.fault or self._commander.gate.fault or ''
        if command.gripper is not None:
            self._gripper = command.gripper
        return command.velocity, self._gripper

    def _ask(self, time_ns: int, instruction: str) -> None:
        self._commander.player.ask(time_ns)
        try:
            observation = self._shown(self._robot.observe(time_ns, instruction))
            chunk = self._policy.infer(observation)
        except ObservationError as error:
            self.fault = str(error)
            return
        self._spent_ms, self._count = self._spent_ms + chunk.timings['total'], self._count + 1
        self._commander.take(chunk, time_ns)


def told_instruction(instructions, judged: str, control: str, seed: int) -> str:
    """Return what the policy is told; raise ConfigError where there is no other instruction."""
    if control == 'state-only':
        return PAD
    if control != 'other-instruction':
        return judged
    others = [text for text in instructions if text != judged]
    if not others:
        raise ConfigError('other-instruction needs an environment with two instructions')
    return others[seed // len(instructions) % len(others)]
