# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Blocks of a decoder and of a vision transformer in one native call each.

native/block.h and native/vit.h say in what order things happen.  This file knows kernels and
pointers; model/native_blocks.py and model/native_vision.py say which blocks of a network are
served.
"""

from __future__ import annotations

from collections.abc import Sequence
import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass

import torch

from .native import check_floats, Described, library
from ..numerics.visual_rows import NO_ROWS, VisualRows


class _Block(ctypes.Structure):
    """Mirror of sqap::Block in native/sqap_kernels.h."""

    _fields_ = [
        ('width', c_int64), ('heads', c_int64), ('kv_heads', c_int64), ('head_width', c_int64),
        ('inner', c_int64), ('norm', c_void_p), ('norm_behind', c_void_p), ('eps', c_float),
        ('eps_behind', c_float), ('qk_bits', c_int32), ('qk_rotates', c_int32),
        ('attention_bits', c_int32),
        ('projections', c_void_p * 3), ('gate_up', c_void_p * 2), ('out', c_void_p),
        ('down', c_void_p)]


class _BlockCall(ctypes.Structure):
    """Mirror of sqap::BlockCall in native/sqap_kernels.h."""

    _fields_ = [
        ('x', c_void_p), ('y', c_void_p), ('cos', c_void_p), ('sin', c_void_p),
        ('table_stride', c_int64), ('batch', c_int64), ('length', c_int64), ('queries', c_int64),
        ('first', c_int64), ('index', c_void_p), ('seen', c_void_p), ('causal', c_int32),
        ('threads', c_int32), ('keys', c_void_p), ('values', c_void_p),
        ('cache_strides', c_int64 * 3), ('past', c_int64), ('visual', c_int64 * 3),
        ('visual_queries', c_int64 * 3), ('scores', c_void_p), ('first_scored', c_int64),
        ('scored', c_int64)]


@dataclass(frozen=True)
class BlockForm:
    """
    What a block is besides its layers.

    norm, norm_behind: float32 [width] of the norms in front of attention and of feed-forward, and
    eps, eps_behind what each adds to the mean square.  qk_bits: of rotated queries and keys, 16
    for floats; qk_rotates: behind a Hadamard.
    """

    heads: int
    kv_heads: int
    norm: torch.Tensor
    eps: float
    norm_behind: torch.Tensor
    eps_behind: float
    qk_bits: int = 16
    qk_rotates: bool = False


@dataclass(frozen=True)
class Queries:
    """
    Rows of a sequence that a block computes, all others being keys and values only.

    rows: neighbours.  index: int64 [R], instead of them.  seen: int32 [R], how many keys each
    sees, None for the usual.  visual: which of these rows are visual.
    """

    rows: range
    index: torch.Tensor | None = None
    seen: torch.Tensor | None = None
    visual: VisualRows | None = None


def attention_bits(behind: Described) -> int:
    """
    Return what attention in front of a layer multiplies: 16 (rounded) where that layer rounds.

    That is bfloat16 with AMX, bytes with VNNI, and floats with AVX2 alone.
    """
    return 16 if behind.rounds else 32


class BlockKernel:
    """One block's kernels, called together."""

    def __init__(self, form: BlockForm, projections: Sequence[Described],
                 gate_up: Sequence[Described], out: Described, down: Described):
        """
        Take the kernels of q, k and v, and of gate and up: joint ones or one a layer, in order.

        All of them scale each token by itself, if they round it; float ones don't.
        """
        self._kept = form, *projections, *gate_up, out, down  # whose memory the structure names
        self.width, self.heads = out.outputs, form.heads
        self.kv_heads, self.head_width = form.kv_heads, out.inputs // form.heads
        self._block = _Block(
            self.width, form.heads, form.kv_heads, self.head_width, down.inputs,
            form.norm.data_ptr(), form.norm_behind.data_ptr(), form.eps, form.eps_behind,
            form.qk_bits, form.qk_rotates, attention_bits(out), _addresses(projections, 3),
            _addresses(gate_up, 2), out.address, down.address)
        self._run = library().sqap_block

    def __call__(self, x, cos, sin, causal: bool, queries: Queries,
                 visual: VisualRows | None = None, cache=None, scored: range | None = None):
        """
        Return the block's output [B, R, D] of x [B, S, D], and scores [B, S] if they are wanted.

        x: float32, contiguous, as are the tables cos and sin [S, d].  cache: a LayerCache of
        model/llama.py.  scored: neighbours among the queries' rows, the mean of whose
        probabilities over them and the heads is returned; else None.  Raises RuntimeError for what
        does not fit together, before C++ reads it.
        """
        self._check(x, (cos, sin), queries, scored)
        batch, length, width = x.shape
        rows = len(queries.rows) if queries.index is None else len(queries.index)
        y = torch.empty(batch, rows, width)
        scores = None if scored is None else torch.empty(batch, length)
        call = _BlockCall(
            x.data_ptr(), y.data_ptr(), cos.data_ptr(), sin.data_ptr(), cos.stride(0), batch,
            length, rows, queries.rows.start, _pointer(queries.index), _pointer(queries.seen),
            causal, torch.get_num_threads(), *self._cached(cache, batch, length, x),
            _places(visual), _places(queries.visual), _pointer(scores),
            *((0, 0) if scored is None else (scored.start, len(scored))))
        self._run(ctypes.byref(self._block), ctypes.byref(call))
        return y, scores

    def _check(self, x, tables, queries: Queries, scored: range | None) -> None:
        for name, tensor in (('x', x), *zip(('cos', 'sin'), tables)):
            check_floats(tensor, name)
        length = x.shape[1] if x.ndim == 3 else 0
        known, rows = range(length), queries.rows
        if (x.ndim != 3 or x.shape[2] != self.width or not x.is_contiguous() or any(
                table.ndim != 2 or table.shape[1] != self.head_width or len(table) < length
                or table.stride() != tables[0].stride() for table in tables)):
            raise RuntimeError(
                f'x {list(x.shape)} and tables {[list(table.shape) for table in tables]} meet a '
                f'block of width {self.width} with heads of {self.head_width}')
        if queries.index is None and not _within(rows, known) or scored is not None and (
                queries.index is not None or not _within(scored, rows)):
            raise RuntimeError(f'rows {rows} of {length}, of which {scored} score: they must lie '
                               'within each other')

    def _cached(self, cache, batch: int, length: int, like) -> tuple:
        """Return where a cache's keys and values lie and how many it held; it gets room."""
        if cache is None:
            return None, None, (c_int64 * 3)(), 0
        past = cache.length
        cache.extend((batch, self.kv_heads, length, self.head_width), like)
        keys, values = cache.filled
        return keys.data_ptr(), values.data_ptr(), (c_int64 * 3)(*keys.stride()[:3]), past


def _within(part: range, whole: range) -> bool:
    """Return whether neighbours, at least one, are among others."""
    return (part.step == 1 and len(part) > 0 and whole.start <= part.start
            and part.stop <= whole.stop)


def _pointer(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _addresses(kernels: Sequence[Described], count: int):
    return (c_void_p * count)(*(kernel.address for kernel in kernels))


def _places(visual: VisualRows | None):
    visual = visual or NO_ROWS
    return (c_int64 * 3)(visual.length, visual.first, visual.count)


class _VitBlock(ctypes.Structure):
    """Mirror of sqap::VitBlock in native/sqap_kernels.h."""

    _fields_ = [
        ('width', c_int64), ('heads', c_int64), ('inner', c_int64), ('norm', c_void_p),
        ('norm_bias', c_void_p), ('norm_behind', c_void_p), ('norm_behind_bias', c_void_p),
        ('eps', c_float), ('eps_behind', c_float), ('tanh', c_int32),
        ('attention_bits', c_int32), ('scale', c_void_p), ('scale_behind', c_void_p),
        ('layers', c_void_p * 4)]


class _VitCall(ctypes.Structure):
    """Mirror of sqap::VitCall in native/sqap_kernels.h."""

    _fields_ = [('x', c_void_p), ('y', c_void_p), ('batch', c_int64), ('length', c_int64),
                ('threads', c_int32)]


class VitBlockKernel:
    """One block of a vision transformer in one native call: native/vit.h."""

    def __init__(self, layers: Sequence[Described], norms: Sequence,
                 heads: int, tanh: bool, scales: Sequence = (None, None)):
        """
        Take the kernels of q k v, output, up and down, and what stands between them.

        norms: (weight [D], bias [D], eps) in front of attention and of feed-forward.  tanh: GELU's
        approximation.  scales: [D] of both branches, or None.
        """
        (weight, bias, eps), (weight_behind, bias_behind, eps_behind) = norms
        self._kept = layers, norms, scales  # whose memory the structure names
        self._block = _VitBlock(
            len(weight), heads, layers[3].inputs,
            *map(_pointer, (weight, bias, weight_behind, bias_behind)), eps, eps_behind,
            tanh, attention_bits(layers[1]), *map(_pointer, scales), _addresses(layers, 4))
        self._run = library().sqap_vit_block

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [B, N, D], float32 and contiguous, to [B, N, D]; raise RuntimeError for others."""
        check_floats(x, 'x')
        if x.ndim != 3 or x.shape[2] != self._block.width or not x.is_contiguous():
            raise RuntimeError(f'x {list(x.shape)} with strides {x.stride()} meets a block of '
                               f'width {self._block.width}')
        y = torch.empty_like(x)
        if not y.numel():
            return y
        call = _VitCall(x.data_ptr(), y.data_ptr(), *x.shape[:2], torch.get_num_threads())
        self._run(ctypes.byref(self._block), ctypes.byref(call))
        return y
