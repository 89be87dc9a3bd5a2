# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla error` can be asked for; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..options import PolicyOptions

VARIANTS = ('w4a4', 'w4a4t8', 'w4a8', 'w8a8', 'prune', 'w4a4-prune', 'w4a4t8-prune', 'w4a8-prune')
SHARES = (0.6, 0.4, 0.25)  # of all tokens, that are kept unless numbers are given


@dataclass(frozen=True)
class ErrorOptions:
    """
    What is asked for; commands/error.py explains each.

    checkpoint: the original.  samples: a source of recorded observations, see samples/.  keep:
    empty for SHARES.  quantized: a converted directory of the checkpoint, or None.  calibrate:
    numbers of frames of `calibration` for a curve, see curve.py.  Raises ConfigError for counts
    without sense, and for int8 beside converted weights.
    """

    checkpoint: Path
    samples: str
    variants: tuple[str, ...] = VARIANTS
    keep: tuple[int, ...] = ()
    quantized: Path | None = None
    policy: PolicyOptions = PolicyOptions()
    frames: int = 64
    calibrate: tuple[int, ...] = ()
    calibration: str | None = None

    def __post_init__(self):
        """Check the counts."""
        if self.frames < 1:
            raise ConfigError(f'--frames is {self.frames}, expected at least 1')
        if not self.variants:
            raise ConfigError('--variants is empty: name some, such as ' + ','.join(VARIANTS))
        if bool(self.calibrate) != bool(self.calibration):
            raise ConfigError('--calibrate is how many frames GPTQ learns from, and --calibration '
                              'where they are: give both or neither')
        if any(count < 1 for count in self.calibrate):
            raise ConfigError(f'--calibrate {",".join(map(str, self.calibrate))}: each number of '
                              'frames is at least 1; 0, rounding to nearest, is always measured')
        if self.policy.int8 and (self.quantized or self.calibrate):
            option = '--quantized' if self.quantized else '--calibrate'
            raise ConfigError(f'--int8 {",".join(self.policy.int8)} and {option}: weights that '
                              'are converted already are not quantized again at load; leave one '
                              'of both out')
