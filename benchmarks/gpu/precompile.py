# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Fill Triton's cache by several processes, so that the benchmark only has to load what it runs.

    python3 -m gpu.precompile INDEX COUNT

compiles share INDEX of COUNT: first of the tuner's candidates, by running a decoder of the true
width with the fewest blocks that have every shape; then of what adds a residual, which the tuner
leaves out; then of the checks and golden networks, which are simply run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from functools import partial
import os
import subprocess
import sys
import tempfile
import time

from sqap_vla_ros.inference.device import find_device
from sqap_vla_ros.model.vla import VLAConfig
import torch

from .compare import too_much
from .shapes import FULL, Plan, SMALL_VISION, THIN_VISION, Variant

SQAP_PRECISION = 'w4a4'
PRECISIONS = (SQAP_PRECISION, 'w8a8', 'w4a16')
_MOST = 12
_GIB_EACH = 6
_GROUP = 128


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
    failures = []
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile('w+')) for _ in range(count)]
        started = [subprocess.Popen([*command, str(index), str(count)], text=True,
                                    stdout=subprocess.DEVNULL, stderr=file)
                   for index, file in enumerate(files)]
        for process, file in zip(started, files):
            try:
                process.wait(timeout=max(0.1, end - time.perf_counter()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                failures.append('ended: no time left')
                continue
            if process.returncode:
                file.seek(0)
                failures.append((file.read().strip() or 'no message').splitlines()[-1])
    return {'processes': count, 'failures': failures}


def compile_share(plan: Plan, index: int, count: int, device: torch.device) -> None:
    """Launch this process's share of the candidates, in one inference of every shape."""
    from sqap_vla_ros.kernels.cuda import tuning

    from .engine import Side
    from .models import ready_model
    tuning.compile_share(index, count)
    small = small_decoder(plan)
    int8_vision = Variant('', vision='w8a8', eager=True)
    seeing = dataclasses.replace(small, vision=THIN_VISION)
    Side(int8_vision, ready_model(seeing, int8_vision, device, torch.bfloat16), seeing, device,
         torch.bfloat16).infer()
    for precision in PRECISIONS:
        model = ready_model(small, Variant('', precision), device, torch.bfloat16)
        is_grown = precision == SQAP_PRECISION
        for keep in (None, plan.keep, *(plan.kept if is_grown else ())):
            texts = plan.texts if is_grown and keep == plan.keep else ()
            for text in (small.text_length, *texts):
                config = dataclasses.replace(small, text_length=text)
                Side(Variant('', precision, keep, eager=True), model, config, device,
                     torch.bfloat16).infer()


def token_counts(plan: Plan) -> set[int]:
    """Return the tokens of all prefills that are timed, of whole sequences and of pruned ones."""
    visual = plan.models['openvla'].num_visual
    lengths = {(keep, plan.models['openvla'].text_length) for keep in (visual, *plan.kept)}
    lengths |= {(keep, text) for keep in (visual, plan.keep) for text in plan.texts}
    return {1 + keep + text for keep, text in lengths}


def products_with_residual(plan: Plan, device: torch.device) -> list:
    """
    Return a call for every configuration of a product that a residual is added to.

    With integers the output and down layers compile to the same.
    """
    from sqap_vla_ros.kernels.cuda import float_gemm, gemm
    from sqap_vla_ros.kernels.cuda.pack import packed_width
    llm, found = plan.models['openvla'].llm, {}
    outputs, inputs = llm.hidden_size, llm.intermediate_size
    make = partial(torch.zeros, device=device)
    weights = {4: make(outputs, packed_width(inputs, 4), dtype=torch.uint8),
               8: make(outputs, inputs, dtype=torch.int8)}
    scale = make(outputs)
    for rows in sorted(token_counts(plan)):
        residual, row_scale = make(rows, outputs, dtype=torch.bfloat16), make(rows)
        x = make(rows, inputs, dtype=torch.int8)
        for bits, weight in weights.items():
            for config in gemm.candidates(x, weight):
                found.setdefault((bits, *config.values()), partial(
                    gemm.int_linear, x, row_scale, weight, scale, None, residual.dtype, residual,
                    config))
        for width in (outputs, inputs):  # 32 groups compile to another kernel than 86
            x, weight = make(rows, width, dtype=residual.dtype), weights[4]
            for config in float_gemm.candidates(x, _GROUP):
                found.setdefault((16, width, *config.values()), partial(
                    float_gemm.float_linear, x, weight[:, :packed_width(width, 4)].contiguous(),
                    make(outputs, width // _GROUP), _GROUP, None, residual, config))
    return list(found.values())


def compile_products(plan: Plan, index: int, count: int, device: torch.device) -> None:
    """Launch a share of what adds a residual."""
    for call in products_with_residual(plan, device)[index::count]:
        try:
            call()
        except too_much() as error:
            print(f'left out, as by the tuner: {error}')


def run_checks(plan: Plan, index: int, count: int, device: torch.device) -> None:
    """Run a share of the checks and of the golden networks, whose kernels are others."""
    from . import checks, golden
    every = checks.cases(plan, device, torch.bfloat16)
    for name in checks.split_cases(plan, device):
        del every[name]  # the tuner's candidates
    every.update(golden.cases(device, plan.keep, False))
    for name in list(every)[index::count]:
        checks.run(name, every[name])


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
    torch.set_num_threads(1)  # others work beside it
    device = find_device('cuda')
    compile_share(FULL, args.index, args.count, device)
    compile_products(FULL, args.index, args.count, device)
    run_checks(FULL, args.index, args.count, device)


if __name__ == '__main__':
    main()
