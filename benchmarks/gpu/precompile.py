# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Fill Triton's cache by several processes, so that tuning in the benchmark only has to measure.

    python3 -m gpu.precompile INDEX COUNT

compiles share INDEX of COUNT.  Each process runs a decoder of the true width, with the fewest
blocks that have every shape.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import time

from sqap_vla_ros.model.vla import VLAConfig
import torch

from .shapes import FULL, Plan, SMALL_VISION, Variant

SQAP_PRECISION = 'w4a4'
PRECISIONS = (SQAP_PRECISION, 'w8a8', 'w4a16')
_MOST = 12
_GIB_EACH = 5


def processes(device: torch.device) -> int:
    """Return how many processes there is room for."""
    free = torch.cuda.mem_get_info(device)[0] / 2 ** 30
    return max(1, min(_MOST, (os.cpu_count() or 2) - 2, int(free / _GIB_EACH)))


def measure(device: torch.device, seconds: float) -> dict:
    """Start all processes, and end those that are not done in time; return how it went."""
    if device.type != 'cuda':
        return {'processes': 0}
    count, end = processes(device), time.perf_counter() + seconds
    command = [sys.executable, '-m', 'gpu.precompile']
    started = [subprocess.Popen([*command, str(index), str(count)], text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for index in range(count)]
    failures = []
    for process in started:
        try:
            _, errors = process.communicate(timeout=max(1.0, end - time.perf_counter()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            failures.append('ended: no time left')
            continue
        if process.returncode:
            failures.append(errors.strip().splitlines()[-1] if errors.strip() else 'no message')
    return {'processes': count, 'failures': failures}


def compile_share(plan: Plan, index: int, count: int, device: torch.device) -> None:
    """Run one inference of every shape, with this process's share of the candidates."""
    from sqap_vla_ros.kernels.cuda import tuning

    from .engine import Side
    from .models import ready_model
    tuning.compile_share(index, count)
    small = small_decoder(plan)
    for precision in PRECISIONS:
        model = ready_model(small, Variant('', precision), device, torch.bfloat16)
        is_grown = precision == SQAP_PRECISION
        for keep in (None, plan.keep, *(plan.kept if is_grown else ())):
            texts = plan.texts if is_grown and keep == plan.keep else ()
            for text in (small.text_length, *texts):
                config = dataclasses.replace(small, text_length=text)
                Side(Variant('', precision, keep, eager=True), model, config, device,
                     torch.bfloat16).infer()


def small_decoder(plan: Plan) -> VLAConfig:
    """Return the network that decodes, with few blocks and encoders that cost nothing."""
    config = plan.models['openvla']
    return dataclasses.replace(
        config, vision=SMALL_VISION, projector_widths=(), llm=dataclasses.replace(
            config.llm, num_layers=config.prune_layer + 1))


def main() -> None:
    """Compile a share."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('index', type=int)
    parser.add_argument('count', type=int)
    args = parser.parse_args()
    compile_share(FULL, args.index, args.count, torch.device('cuda'))


if __name__ == '__main__':
    main()
