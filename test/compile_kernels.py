# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Compile what the launchers launch for a card that is not there; prints JSON.

    python test/compile_kernels.py CARD [NAME ...]        # 90 for compute capability 9.0

A program of its own, for a process in which triton is no interpreter: each launch stops where
Triton has made the key that it keeps a compiled kernel by.  Prints by launcher how many keys
prompts of different lengths have, and of its kernel the bytes of local memory a thread (spills),
of shared memory, and the matrix instructions.
"""
import json
from pathlib import Path
import re
import subprocess
import sys
import tempfile

from sqap_vla_ros.kernels.cuda import gemm, tuning
from sqap_vla_ros.kernels.cuda.gemv import skinny_linear
from sqap_vla_ros.kernels.cuda.quantize import quantize_rows, transform_rows
from sqap_vla_ros.model.fused_blocks import rotate
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.tokens.choice import SelectionConfig
from sqap_vla_ros.tokens.triton_choice import select_tokens_cuda
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import ASTSource, make_backend
from triton.runtime import jit

WIDTH, HEADS, DIM = 1024, 32, 32
MANY, FEW = (9, 16, 17, 31, 32), (5, 6, 8)  # each served by one configuration
TARGET = GPUTarget('cuda', int(sys.argv[1]), 32)
BACKEND = make_backend(TARGET)
CHANNELS = {'scale': torch.ones(WIDTH), 'bias': torch.zeros(WIDTH)}
found = {}


def note(function, *arguments, grid, warmup, **named):
    """Stand in for JITFunction.run: keep what would be compiled, by its key."""
    bind = jit.create_function_from_signature(function.signature, function.params, BACKEND)
    bound, key, options = bind(*arguments, **named)
    found[str(key), str(sorted(options.items()))] = function, named, bound, key, options


def compiled(function, named, bound, key, options):
    """Return Triton's compiled kernel."""
    options, signature, constants, attributes = function._pack_args(
        BACKEND, named, bound, key, options)
    return triton.compile(ASTSource(function, signature, constants, attributes), target=TARGET,
                          options=options.__dict__)


def local_bytes(cubin: bytes) -> int:
    """Return stack and local bytes a thread by cuobjdump, which comes with Triton."""
    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, '--dump-resource-usage', file.name], check=True,
                              capture_output=True, text=True).stdout
    return sum(map(int, re.search(r'STACK:(\d+).*? LOCAL:(\d+)', text).groups()))


def floats(*shape):
    return torch.zeros(*shape, dtype=torch.bfloat16)


def integers(rows, bits=4):
    """Return integers of tokens and what their product needs."""
    weight = (torch.zeros(WIDTH, WIDTH // 2, dtype=torch.uint8) if bits == 4
              else torch.zeros(WIDTH, WIDTH, dtype=torch.int8))
    return {'x': torch.zeros(rows, WIDTH, dtype=torch.int8), 'row_scale': torch.ones(rows),
            'weight': weight, **CHANNELS}


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


def tiled(rows):
    """Multiply in the largest tile that fits, as a prefill does."""
    tuning.choices = lambda *_: [gemm.fitting((128, 64), True, 99 * 1024)[0]]
    gemm.int_linear(**integers(rows), residual=floats(rows, WIDTH))


CASES = {
    'int_linear': (MANY, lambda rows: gemm.int_linear(
        **integers(rows), residual=floats(rows, WIDTH))),
    'int_linear w8': (MANY, lambda rows: gemm.int_linear(**integers(rows, 8))),
    'skinny integers': (FEW, lambda rows: skinny_linear(
        **integers(rows), out_dtype=torch.bfloat16)),
    'skinny floats': (FEW, lambda rows: skinny_linear(
        floats(rows, WIDTH), integers(1)['weight'], **CHANNELS)),
    'quantize_rows': (MANY, lambda rows: quantize_rows(
        floats(rows, 2 * WIDTH)[:, WIDTH:], 4, block=256,
        gate=floats(rows, 2 * WIDTH)[:, :WIDTH], text_bits=8,
        visual=VisualRows(rows, 1, rows - 8))),
    'transform_rows': (MANY, lambda rows: transform_rows(
        floats(rows, WIDTH), floats(WIDTH), 1e-5)),
    'rotate': (MANY, lambda rows: rotated(rows, None)),
    'rotate behind a prompt': (MANY, decoded),
    'select': (MANY, selected),
    'largest tile': (MANY, tiled),
}
LIKE_OTHERS = 'int_linear', 'int_linear w8', 'transform_rows', 'rotate'  # are not compiled


def report(name: str, counts, launch) -> dict:
    """Return what becomes of a launcher for these numbers of tokens."""
    compiles = name not in LIKE_OTHERS
    found.clear()
    for rows in counts:
        launch(rows)
    keys = len(found)
    if not compiles:
        return {'keys': keys}
    kernel = compiled(*next(iter(found.values())))
    matrix = re.findall(r'(?:wgmma\.mma_async|mma\.sync)[.a-z0-9_:]*', kernel.asm['ptx'])
    return {'keys': keys, 'local': local_bytes(kernel.asm['cubin']),
            'shared': kernel.metadata.shared, 'matrix': sorted(set(matrix))}


if __name__ == '__main__':
    jit.JITFunction.run = note
    with tuning.without_tuning():
        print(json.dumps({name: report(name, *case) for name, case in CASES.items()
                          if name in (sys.argv[2:] or CASES)}))
