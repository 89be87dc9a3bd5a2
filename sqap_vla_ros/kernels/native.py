# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The native CPU backend: rotate, round, multiply and scale in one call, weights packed to 4 bits.

Its C++ lies in native/ and is compiled by build.py.  Products are exact in int32; without an
online Hadamard the results have the same bits as every other backend's, with one they differ
in the last bits of the transform.  16-bit activations are served in float32.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p
from functools import lru_cache

import torch

from . import levels
from .base import Kernel, LinearSpec, Unavailable
from .build import build
from ..numerics.int4 import quantize_weight
from ..numerics.visual_rows import NO_ROWS, VisualRows

INTERFACE = 10


class _Layer(ctypes.Structure):
    """Mirror of sqap::Layer in native/sqap_kernels.h."""

    _fields_ = [
        ('inputs', c_int64), ('outputs', c_int64), ('weight_bits', c_int32),
        ('act_bits', c_int32), ('hadamard_block', c_int64), ('hadamard_stride', c_int64),
        ('groups', c_int64), ('per_token', c_int32), ('level', c_int32),
        ('text_bits', c_int32),
        ('weight', c_void_p), ('scale', c_void_p), ('bias', c_void_p)]


class _Call(ctypes.Structure):
    """Mirror of sqap::Call in native/sqap_kernels.h."""

    _fields_ = [
        ('x', c_void_p), ('y', c_void_p), ('rows', c_int64), ('x_stride', c_int64),
        ('threads', c_int32), ('fixed_scale', c_float), ('length', c_int64),
        ('first_visual', c_int64), ('visual', c_int64), ('y_stride', c_int64), ('add', c_int32),
        ('gelu', c_int32), ('base', c_void_p)]


@lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """
    Return the loaded library, compiled if need be; raise Unavailable with what to do.

    Raises ConfigError if SQAP_VLA_CPU_LEVEL names no level that runs here.
    """
    path = build()
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise Unavailable(f'{path} does not load: {error}') from error
    if loaded.sqap_interface() != INTERFACE:
        raise Unavailable(f'{path} has another interface: remove it')
    if not levels.usable(loaded):
        raise Unavailable('this processor has no AVX2')
    levels.chosen(loaded)
    loaded.sqap_packed_bytes.restype = c_int64
    loaded.sqap_packed_bytes.argtypes = [c_int64, c_int64, c_int32]
    loaded.sqap_pack.argtypes = [c_void_p, c_int64, c_int64, c_int32, c_int32, c_void_p]
    loaded.sqap_half_bytes.restype = c_int64
    loaded.sqap_half_bytes.argtypes = [c_int64, c_int64]
    for pack in (loaded.sqap_pack_floats, loaded.sqap_pack_halves):
        pack.argtypes = [c_void_p, c_int64, c_int64, c_void_p]
    return loaded


def instruction_set() -> str:
    """Return the instructions that the kernels use here, in words; raise Unavailable."""
    return levels.describe(library())


@lru_cache(maxsize=None)
def best_level() -> int:
    """Return the level (see levels.py) that serves in this process; raise Unavailable."""
    return levels.chosen(library())


def tiles_missing() -> str:
    """Return why AMX's tiles are not to be used, '' where they are; raise Unavailable."""
    return levels.tiles_missing(library())


def multiplies_bytes() -> bool:
    """Return whether 8-bit weights are as fast as those of 4 bits, which takes VNNI or AMX."""
    return levels.NAMES[best_level()] != 'avx2'


def _pointer(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def check_floats(x: torch.Tensor, name: str) -> None:
    """Raise RuntimeError unless x is what the library can read: its addresses carry no type."""
    if x.dtype != torch.float32 or x.device.type != 'cpu' or (
            x.ndim and x.shape[-1] > 1 and x.stride(-1) != 1):
        raise RuntimeError(f'{name} is {x.dtype} on {x.device} with strides {x.stride()}: native '
                           'kernels take float32 on the cpu with neighbouring columns')
    if x.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(f'{name} wants a gradient, which native kernels do not have: call them '
                           'in torch.inference_mode()')


def describe(inputs: int, outputs: int, bits: int, weight: torch.Tensor, bias=None,
             level: int | None = None) -> _Layer:
    """Return a layer of packed float weights: no scale, no Hadamard, activations as they come."""
    return _Layer(inputs, outputs, bits, 16, 1, 1, 1, True, level or best_level(),
                  16, weight.data_ptr(), None, _pointer(bias))


def run_layer(layer: _Layer, x, fixed_scale: float = 0.0,
              visual: VisualRows | None = None, gelu: bool = False) -> torch.Tensor:
    """
    Return float32 y [M, N] for x float32 [M, K] with neighbouring columns.

    gelu: of the result.
    Raises RuntimeError, as nn.Linear does, for another width or type, which C++ would read as if
    it were none, and where a gradient is wanted.
    """
    check_floats(x, 'an input')
    if x.ndim != 2 or x.shape[1] != layer.inputs:
        raise RuntimeError(f'an input {list(x.shape)} meets a layer of {layer.inputs} inputs')
    y = torch.empty(x.shape[0], layer.outputs)
    if not y.numel():
        return y
    visual = visual or NO_ROWS
    call = _Call(x.data_ptr(), y.data_ptr(), x.shape[0], x.stride(0), torch.get_num_threads(),
                 fixed_scale, visual.length, visual.first, visual.count, y.stride(0), False, gelu)
    library().sqap_linear(ctypes.byref(layer), ctypes.byref(call))
    return y


class Described:
    """A layer with a description for the library, which lives as long as the layer."""

    _layer: _Layer

    def __deepcopy__(self, memo) -> Described:
        """Return itself: copies share weights that nobody writes to."""
        return self

    @property
    def address(self) -> int:
        """Return where the description lies."""
        return ctypes.addressof(self._layer)

    @property
    def inputs(self) -> int:
        """Return how many values a row has."""
        return self._layer.inputs

    @property
    def outputs(self) -> int:
        """Return how many values a row gives."""
        return self._layer.outputs

    @property
    def level_used(self) -> int:
        """Return the level of instructions that it runs at, see levels.py."""
        return self._layer.level

    @property
    def rounds(self) -> bool:
        """Return whether it rounds its rows: to integers, or to bfloat16."""
        return self._layer.act_bits != 16 or self._layer.weight_bits == 16

    def answer(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """Map x [M, K] to [M, N], both float32, with the bias; gelu: of that, within 3e-5."""
        return run_layer(self._layer, x if x.stride(-1) == 1 else x.contiguous(), gelu=gelu)


class NativeKernel(Described, Kernel):
    """One layer in panels of 64 output channels; see native/level.cpp."""

    name = 'native'
    level: int | None = None  # a lower one than the processor's best, for tests

    def __init__(self, spec, q_weight, scale, bias=None):
        """Pack the weights; 4-bit ones take 4 bits in memory too."""
        loaded = library()
        super().__init__(spec, q_weight, scale.float().contiguous(),
                         None if bias is None else bias.float().contiguous())
        outputs, inputs = q_weight.shape
        q_weight = q_weight.contiguous()
        self.weight = torch.empty(
            loaded.sqap_packed_bytes(outputs, inputs, spec.weight_bits), dtype=torch.uint8)
        loaded.sqap_pack(q_weight.data_ptr(), outputs, inputs, spec.weight_bits,
                         spec.act_bits == 16, self.weight.data_ptr())
        self._layer = self._describe(spec.hadamard_block, self.bias)
        self._bare = self._describe(1, None)

    def _level(self) -> int:
        return self.level or best_level()

    def _describe(self, block: int, bias: torch.Tensor | None) -> _Layer:
        spec = self.spec
        return _Layer(
            spec.in_features, spec.out_features, spec.weight_bits, spec.act_bits, block,
            spec.hadamard_stride, self.scale.numel() // spec.out_features, spec.per_token,
            self._level(), spec.text_bits or spec.act_bits, self.weight.data_ptr(),
            self.scale.data_ptr(), _pointer(bias))

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w; grid is left alone."""
        return run_layer(self._bare, grid.float().contiguous(), fixed_scale=1.0)

    def __call__(self, x, visual=None):
        """Map x [M, K] to [M, N] of the same floating type; see Kernel."""
        rows = x.float()
        if rows.stride(-1) != 1:
            rows = rows.contiguous()
        return run_layer(self._layer, rows, visual=visual).to(x.dtype)


def in_8_bits(weight: torch.Tensor, bias: torch.Tensor | None = None) -> NativeKernel:
    """Return what multiplies by weight [N, K], rounded to 8 bits a channel, rows rounded alike."""
    outputs, inputs = weight.shape
    return NativeKernel(LinearSpec(inputs, outputs, 8, 8), *quantize_weight(weight, 8), bias)
