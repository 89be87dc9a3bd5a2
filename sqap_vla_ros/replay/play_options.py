# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How the node commands whose commands played.py tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..control.drive_choice import make_drive
from ..control.drives import Drive, TwistDrive
from ..control.limits import CommandLimits, JointLimits
from ..control.output_modes import check_output
from ..errors import ConfigError

LONGEST_S = 60.0


@dataclass(frozen=True)
class PlayOptions:
    """
    How a node commands; names, units and defaults are those of its parameters.

    limits: of what the actions are about.  drive: the pure half of its output, which each run
    takes a copy of.  has_workspace: whether a pose has to be known for the limits.
    latency_s: from when an image comes in until its answer is known; None for as measured.
    """

    limits: CommandLimits | JointLimits = CommandLimits(0.25, 1.0)
    drive: Drive = field(default_factory=TwistDrive)
    has_workspace: bool = False
    control_rate: float = 20.0
    lockstep: bool = False
    pipelined: bool = False
    blending: str = 'linear'
    blending_time: float = 0.2
    missed_chunks: int = 10
    speed_scale: float = 1.0
    image_timeout: float = 0.5
    latency_s: float | None = None

    def __post_init__(self):
        """Raise ConfigError for a latency that none can be."""
        check_latency(self.latency_s)

    def period_ns(self, space) -> int:
        """Return the time from one command to the next."""
        return space.dt_ns if self.lockstep else round(1e9 / self.control_rate)

    @classmethod
    def of(cls, config, space, urdf: str | None = None,
           latency_s: float | None = None) -> PlayOptions:
        """
        Return those of a NodeConfig, for an ActionSpace; urdf: its text, for joint outputs.

        Raises ConfigError for an output that the actions cannot drive, and where the URDF does
        not fit, or is missing.
        """
        check_output(space.kind, config.output)
        drive = make_drive(config, space, urdf)
        return cls(
            config.limits if space.is_cartesian else drive.limits, drive,
            config.limits.has_workspace, config.control_rate, config.lockstep, config.pipelined,
            config.blending, config.blending_time, config.missed_chunks, config.speed_scale,
            config.image_timeout, latency_s)


def check_latency(latency_s: float | None) -> None:
    """Raise ConfigError for a latency to play with that none can be."""
    if latency_s is not None and not 0 <= latency_s <= LONGEST_S:
        raise ConfigError(f'the latency to play with (--latency) is {latency_s:g} s, expected '
                          f'0..{LONGEST_S:g} s')
