# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What vla_node is made of; its own file, for all parts may name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """What a Control works with; each has its own module."""

    node: object
    steady_clock: object
    inputs: object
    transforms: object
    inference: object
    drive: object
    arm: object
    output: object
    results: object
    planned: object
    diagnostics: object
    estop: object
    run: object
    namesakes: object
