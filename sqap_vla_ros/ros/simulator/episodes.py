# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which episodes a simulator run consists of, and what it reports of each; no ROS in here.

The goal is what the benchmark's success predicate judges; the instruction is what the policy
is told. They differ only under the control 'other-instruction'.
"""
from dataclasses import asdict, dataclass, field
import json

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.rollouts import told_instruction

CONTROLS = ('none', 'blank-image', 'other-instruction')


@dataclass(frozen=True)
class Episode:
    """One planned episode: its number from 0, placement seed, goal and instruction."""

    index: int
    seed: int
    goal: str
    instruction: str


@dataclass
class EpisodeRecord:
    """
    What a run tells of one episode, as JSON on `~/episode` (units in the names).

    phase: 'started' or 'finished'.  mode: 'lockstep' or 'real_time'.  steps: control steps
    taken.  idle_steps: those without a usable command (real time only).  duration_s: simulated
    time.  real_time_factor: simulated over wall time.  late_steps, worst_delay_ms: control
    steps that began later than a period after their due time (real time only).
    repeated_ticks: ticks sent again (lockstep only).  refused: commands that were not
    executed, by reason.
    """

    index: int
    episodes: int
    seed: int
    goal: str
    instruction: str
    control: str
    mode: str
    phase: str = 'started'
    success: bool = False
    steps: int = 0
    idle_steps: int = 0
    duration_s: float = 0.0
    wall_s: float = 0.0
    real_time_factor: float = 0.0
    late_steps: int = 0
    worst_delay_ms: float = 0.0
    repeated_ticks: int = 0
    render_ms: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self))


def plan_episodes(
    instructions: tuple[str, ...], instruction: str, control: str, episodes: int, seed: int,
) -> list[Episode]:
    """
    Return the episodes of a run; the same arguments give the same scenes under every control.

    instructions: those of the scene; they take turns with the seed unless `instruction` fixes
    one of them. Episode i is placed with seed + i. Raises ConfigError for an instruction that
    the scene does not have, or 'other-instruction' in a scene with one.
    """
    if instruction and instruction not in instructions:
        raise ConfigError(f'instruction {instruction!r} is none of the scene: {instructions}')
    goals = [instruction] if instruction else list(instructions)
    plan = []
    for index in range(episodes):
        goal = goals[(seed + index) % len(goals)]
        told = told_instruction(instructions, goal, control, seed + index)
        plan.append(Episode(index, seed + index, goal, told))
    return plan
