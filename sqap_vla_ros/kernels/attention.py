# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Attention in float32: the native kernel on a CPU, torch's everywhere else.

Torch's own runs on matrix products that some AMD processors do at a fraction of their speed;
for the few hundred tokens of one prefill it would take as long as all quantized layers together.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p

import torch
from torch.nn import functional as F

from . import native_reason
from .native import best_level, library
from ..numerics.shared_tensors import constant

HAS_GROUPED_ATTENTION = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 5)
_FEWEST_QUERIES = 12  # below that, packing the keys takes longer than torch's product


class _Attention(ctypes.Structure):
    """Mirror of sqap::Attention in native/sqap_kernels.h."""

    _fields_ = [
        ('q', c_void_p), ('k', c_void_p), ('v', c_void_p), ('y', c_void_p),
        ('batch', c_int64), ('heads', c_int64), ('kv_heads', c_int64), ('queries', c_int64),
        ('keys', c_int64), ('width', c_int64), ('q_strides', c_int64 * 3),
        ('k_strides', c_int64 * 3), ('v_strides', c_int64 * 3), ('causal', c_int32),
        ('seen', c_void_p), ('threads', c_int32), ('bits', c_int32)]


def attend(q, k, v, is_causal: bool = False, seen=None) -> torch.Tensor:
    """
    Attend with queries [B, H, R, d] over keys and values [B, G, T, d]; G divides H.

    is_causal: the queries are those of the last R tokens, and see no later key: query i sees keys
    0..T-R+i.  seen: int32 [R], rising, instead: query i sees the first seen[i] keys, at least one.
    Returns [B, H, R, d].  Gradients, and other types and devices than float32 on a CPU, are left
    to torch.
    """
    if _native_serves(q, k, v):
        return native_attention(q, k, v, is_causal, None, seen)
    groups = q.shape[1] // k.shape[1]
    options = _masked(q.shape[2], k.shape[2], is_causal, q.device)
    if seen is not None:
        options = {'attn_mask': torch.arange(k.shape[2], device=k.device) < seen[:, None]}
    if HAS_GROUPED_ATTENTION:
        options['enable_gqa'] = groups > 1
    elif groups > 1:
        k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, **options)


def _masked(queries: int, keys: int, is_causal: bool, device) -> dict:
    """Return what tells torch which keys the last queries see; one alone sees all of them."""
    if not is_causal or queries == 1:
        return {}
    if queries == keys:
        return {'is_causal': True}  # which torch counts from the first key
    return {'attn_mask': seen_keys(queries, keys, device)}


@constant
def seen_keys(queries: int, keys: int, device) -> torch.Tensor:
    """Return bool [R, T], shared between callers: which keys the last R tokens see."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def _native_serves(q, k, v) -> bool:
    return (q.device.type == 'cpu' and q.shape[2] >= _FEWEST_QUERIES
            and all(x.dtype == torch.float32 and x.stride(-1) == 1 for x in (q, k, v))
            and not (torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)))
            and not native_reason())


def native_attention(q, k, v, is_causal: bool, level: int | None = None,
                     seen=None, bits: int = 32) -> torch.Tensor:
    """
    Do what `attend` does by the native kernel; level: a lower instruction set's.

    bits: 16 for rounded products: bfloat16 with AMX, bytes with VNNI; floats with AVX2 alone.

    In memory the result is [B, S, H, d], as the layer behind it reads it.
    """
    (batch, heads, queries, width), (_, kv_heads, keys, _) = q.shape, k.shape
    y = torch.empty(batch, queries, heads, width)
    call = _Attention(
        q.data_ptr(), k.data_ptr(), v.data_ptr(), y.data_ptr(), batch, heads, kv_heads, queries,
        keys, width, *((c_int64 * 3)(*x.stride()[:3]) for x in (q, k, v)), is_causal,
        None if seen is None else seen.data_ptr(), torch.get_num_threads(), bits)
    library().sqap_attention(ctypes.byref(call), level or best_level())
    return y.transpose(1, 2)
