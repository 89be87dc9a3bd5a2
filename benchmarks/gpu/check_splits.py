# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Every configuration of int_gemm gives the exact product, however often and beside what it runs.

Parts of a split product are added up by atomic operations in a buffer that the last one clears.
An interpreter, which does one program after the other, cannot show that this is right; here they
run a hundred times back to back, in replays of a captured graph, and in two streams at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from sqap_vla_ros.kernels.cuda import workspace
from sqap_vla_ros.kernels.cuda.pack import pack_weight
from sqap_vla_ros.model.vla import VLAConfig
import torch

from .clock import synchronize
from .compare import integers, row, too_much
from .layers import layer_spec

_TIMES, _AT_ONCE = 100, 20  # launches of a split configuration, and how many without a look
_INTERPRETED, _AT_ONCE_INTERPRETED = 4, 2
_IN_GRAPH, _REPLAYS = 5, 10
_LAYERS = ('qkv', 'o', 'gate/up', 'down')
_EXACT = ('integers, scaled by the same float32 operations: values that differ in any bit; tokens '
          'of two ones leave sums that 16 bits hold exactly')


def cases(config: VLAConfig, rows: Sequence[int], device: torch.device) -> dict[str, Callable]:
    """Return what yields the comparisons, by name; rows: numbers of tokens."""
    if device.type == 'cpu':  # one that is split among the interpreter's few processors
        return {'int_gemm w4, 13 x 512 to 70': lambda: configurations(
            13, 512, 70, 4, True, device)}
    found: dict[str, Callable] = {}
    for count in rows:
        for index, layer in enumerate(_LAYERS):
            spec = layer_spec(config.llm, index, 'w4a4')
            shape = count, spec.in_features, spec.out_features
            for bits in (4, 8):
                found[f'int_gemm w{bits}, {layer}, {count} tokens'] = (
                    lambda shape=shape, bits=bits, index=index: configurations(
                        *shape, bits, index % 2 == 1, device))
    return found


class _Product:
    """One product with tokens of both kinds, and what it has to give."""

    def __init__(self, rows: int, weight, packed, residual, seed: int):
        device, inputs = weight.device, weight.shape[1]
        generator = torch.Generator(device).manual_seed(seed)
        self.packed, self.residual = packed, residual
        self.dtype = residual.dtype
        self.scale = torch.rand(len(weight), device=device, generator=generator) + 0.5
        self.row_scale = torch.rand(rows, device=device, generator=generator) + 0.5
        self.dense = integers(8, rows, inputs, device=device, seed=seed)
        self.sparse = torch.zeros_like(self.dense)
        place = torch.randint(inputs, (rows, 2), device=device, generator=generator)
        self.sparse.scatter_(1, place, 1)
        self.ones = torch.ones(max(rows, len(weight)), device=device)
        wide = weight.double().t()
        self.expected = ((self.dense.double() @ wide).float() * self.scale
                         * self.row_scale[:, None]).to(self.dtype)
        self.exact = (self.sparse.double() @ wide).to(self.dtype)

    def launch(self, config: dict) -> torch.Tensor:
        """Return the product of the dense tokens."""
        from sqap_vla_ros.kernels.cuda.gemm import int_linear
        return int_linear(self.dense, self.row_scale, self.packed, self.scale, None, self.dtype,
                          None, config)

    def wrong(self, found: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return how many values of such products are not as expected, without waiting."""
        return sum((one != self.expected).sum() for one in found)

    def wrong_once(self, config: dict, has_residual: bool) -> int:
        """Return how many values of one launch of every kind are wrong."""
        from sqap_vla_ros.kernels.cuda.gemm import int_linear
        wrong = self.wrong([self.launch(config)])
        wrong += (int_linear(self.sparse, self.ones[:len(self.sparse)], self.packed,
                             self.ones[:len(self.scale)], None, self.dtype, None, config)
                  != self.exact).sum()
        if has_residual:
            found = int_linear(self.dense, self.row_scale, self.packed, self.scale, None,
                               self.dtype, self.residual, config)
            total = (self.residual.float() + self.expected.float()).to(self.dtype)
            wrong += (found != total).sum()
        return int(wrong)


def configurations(rows: int, inputs: int, outputs: int, bits: int, has_residual: bool,
                   device: torch.device) -> Iterator[dict]:
    """
    Yield the comparisons of one shape.

    has_residual: also with what this layer is added to, which is compiled anew.
    """
    from sqap_vla_ros.kernels.cuda.gemm import candidates
    name = f'int_gemm w{bits}, {rows} x {inputs} to {outputs}'
    dtype = torch.float32 if device.type == 'cpu' else torch.bfloat16  # the tuner's
    weight = integers(bits, outputs, inputs, device=device, seed=1)
    packed = pack_weight(weight, bits)
    residual = torch.randn(rows, outputs, device=device).to(dtype)
    product = _Product(rows, weight, packed, residual, 2)
    served, wrong = [], 0
    every = candidates(product.dense, packed)
    for config in every if device.type == 'cuda' else every[:_INTERPRETED]:
        try:
            wrong += product.wrong_once(config, has_residual)
            served.append(config)
        except too_much() as error:
            print(f'   left out, as by the tuner: {error}'.splitlines()[0], flush=True)
    yield row(f'{name}: {len(served)} configurations', float(wrong) if served else float('nan'),
              0.0, _EXACT)
    split = [config for config in served if config['SPLIT']]
    if split:
        times = _TIMES if device.type == 'cuda' else _AT_ONCE_INTERPRETED
        yield row(f'{name}: {len(split)} split ones, {times} times back to back',
                  float(back_to_back(product, split, times)), 0.0, _EXACT)
    if split and device.type == 'cuda':
        other = _Product(rows, weight, packed, residual, 3)
        yield row(f'{name}: split ones in two graphs at once, replayed',
                  float(side_by_side((product, other), split, device)), 0.0, _EXACT)
    yield row(f'{name}: workspaces behind it', float(leftovers(device)), 0.0,
              'values that are not zero: each product leaves its buffers clear')


def back_to_back(product: _Product, split: list[dict], times: int) -> int:
    """Return how many values are wrong in so many launches, most without a look between them."""
    wrong, at_once = 0, min(times, _AT_ONCE)
    for config in split:
        for _ in range(times // at_once):
            wrong += product.wrong([product.launch(config) for _ in range(at_once)])
    return int(wrong)


@lru_cache(maxsize=None)
def _two_streams(device: torch.device) -> tuple:
    return torch.cuda.Stream(device), torch.cuda.Stream(device)


def side_by_side(products, split: list[dict], device: torch.device) -> int:
    """Return how many values are wrong in graphs of all launches, replayed in two streams."""
    running = []
    for stream, product in zip(_two_streams(device), products):
        synchronize(device)  # its tensors are made in another stream
        with torch.cuda.stream(stream):
            for config in split:  # makes the stream's workspaces
                product.launch(config)
        synchronize(device)
        graph, found = torch.cuda.CUDAGraph(), []
        with torch.cuda.graph(graph, stream=stream):
            found += [product.launch(config) for config in split for _ in range(_IN_GRAPH)]
        running.append((stream, graph, product, found, []))
    for _ in range(_REPLAYS):
        for stream, graph, *_ in running:
            with torch.cuda.stream(stream):
                graph.replay()
        for stream, _, product, found, wrong in running:
            with torch.cuda.stream(stream):
                wrong.append(product.wrong(found))
    synchronize(device)
    return sum(int(count) for *_, wrong in running for count in wrong)


def leftovers(device: torch.device) -> int:
    """Return how many values of all workspaces are not zero."""
    synchronize(device)
    return sum(int(buffer.count_nonzero()) for buffer in workspace.buffers().values())
