# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Count what Triton would compile of each launcher for prompts of different lengths; prints JSON.

A program of its own, for a process in which triton is no interpreter.  Nothing is compiled or
launched: the launches stop where Triton has made the key that it keeps a compiled kernel by.
"""
import json
from types import SimpleNamespace

from sqap_vla_ros.kernels import cuda
from sqap_vla_ros.kernels.cuda.ahead import CARDS, kernels
from sqap_vla_ros.kernels.cuda.float_gemm import float_linear
from sqap_vla_ros.kernels.cuda.gemm import int_linear
from sqap_vla_ros.kernels.cuda.gemv import skinny_linear
from sqap_vla_ros.kernels.cuda.quantize import quantize_rows, transform_rows
from sqap_vla_ros.kernels.cuda.small import small_linear
from sqap_vla_ros.model.fused_blocks import rotate
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.tokens.choice import SelectionConfig
from sqap_vla_ros.tokens.triton_choice import select_tokens_cuda
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime import jit

WIDTH, HEADS, DIM = 256, 4, 32
MANY, FEW, SMALL = (9, 16, 17, 31, 32), (5, 6, 8), (17, 31, 32)  # each served by one configuration
BACKEND = make_backend(GPUTarget('cuda', 90, 32))
CHANNELS = {'scale': torch.ones(WIDTH), 'bias': torch.zeros(WIDTH)}
found = []


def note(function, *arguments, grid, warmup, **named):
    """Stand in for JITFunction.run: note the key of what would be launched."""
    bind = jit.create_function_from_signature(function.signature, function.params, BACKEND)
    _, key, options = bind(*arguments, **named)
    found.append((function.__name__, str(key), str(sorted(options.items()))))


def floats(*shape):
    return torch.zeros(*shape, dtype=torch.bfloat16)


def packed(rows):
    """Return integers of tokens and what their product needs."""
    return {'x': torch.zeros(rows, WIDTH, dtype=torch.int8), 'row_scale': torch.ones(rows),
            'weight': torch.zeros(WIDTH, WIDTH // 2, dtype=torch.uint8)}


def rotated(rows, cache):
    rotate(floats(1, rows, 3 * HEADS, DIM), floats(rows, DIM), floats(rows, DIM), HEADS, cache)


def decoded(rows):
    """Rotate one token behind a prompt."""
    cache = LayerCache(7)
    cache.extend((1, HEADS, rows, DIM), floats(1))
    rotated(1, cache)


def selected(rows):
    """Select; the prompt has no part in it."""
    zeros = torch.zeros(256)
    select_tokens_cuda(zeros, zeros, (16, 16), SelectionConfig(154),
                       torch.zeros(154, dtype=torch.int64), torch.zeros(154, dtype=torch.uint8))


CASES = {
    'int_linear': (MANY, lambda rows: int_linear(
        **packed(rows), **CHANNELS, residual=floats(rows, WIDTH))),
    'float_linear': (MANY, lambda rows: float_linear(
        floats(rows, WIDTH), packed(1)['weight'], **CHANNELS, residual=floats(rows, WIDTH))),
    'skinny integers': (FEW, lambda rows: skinny_linear(
        **packed(rows), **CHANNELS, out_dtype=torch.bfloat16)),
    'skinny floats': (FEW, lambda rows: skinny_linear(
        floats(rows, WIDTH), packed(1)['weight'], **CHANNELS)),
    'quantize_rows': (MANY, lambda rows: quantize_rows(
        floats(rows, 2 * WIDTH)[:, WIDTH:], 4, gate=floats(rows, 2 * WIDTH)[:, :WIDTH])),
    'transform_rows': (MANY, lambda rows: transform_rows(
        floats(rows, WIDTH), floats(WIDTH), 1e-5)),
    'small_linear': (SMALL, lambda rows: small_linear(
        floats(rows, WIDTH), floats(WIDTH, WIDTH), floats(WIDTH), residual=floats(rows, WIDTH))),
    'rotate': (MANY, lambda rows: rotated(rows, None)),
    'rotate into a cache': (MANY, lambda rows: rotated(rows, LayerCache(7))),
    'rotate behind a prompt': (MANY, decoded),
    'select': (MANY, selected),
}


def counted(counts, launch) -> int:
    """Return how many kernels would be compiled for these numbers of tokens."""
    found.clear()
    for rows in counts:
        launch(rows)
    assert len(found) == len(counts)
    return len(set(found))


def aligned_but_not_specialized() -> list[str]:
    """Return arguments that ahead.py compiles as multiples of 16, where a launch never does."""
    entries = [entry for module in kernels(CARDS[0]) for entry in module]
    return sorted({f'{name}: {parameter.name}' for name, function, signature, *_ in entries
                   for parameter in function.params
                   if parameter.do_not_specialize and ':16' in signature[parameter.name]})


if __name__ == '__main__':
    jit.JITFunction.run = note
    cuda.tuned = lambda name, key, candidates, measure: candidates[0]
    cuda.capability = lambda device: SimpleNamespace(
        multiprocessors=132, shared_bytes=227 * 1024)
    print(json.dumps({'kernels': {name: counted(*case) for name, case in CASES.items()},
                      'wrong': aligned_but_not_specialized()}))
