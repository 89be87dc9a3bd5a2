# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Convolutions of images by the native kernels' products, in bfloat16 or 8 bits."""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from ctypes import c_int32, c_int64, c_void_p

import torch
from torch import nn

from .native import check_floats, Described, library


class _ConvCall(ctypes.Structure):
    """Mirror of sqap::ConvCall in native/sqap_kernels.h."""

    _fields_ = [('x', c_void_p), ('y', c_void_p), *((name, c_int64) for name in (
        'batch', 'height', 'width', 'channels', 'out_height', 'out_width', 'kernel', 'stride',
        'padding')), ('threads', c_int32), ('gelu', c_int32), ('add', c_int32),
        ('planar', c_int32), ('base', c_void_p)]


class NativeConvolution:
    """A convolution to images with channels last, of and to floats."""

    def __init__(self, layer: nn.Conv2d, product: Callable[..., Described],
                 planar: bool = False):
        """
        Take a layer of square kernels, float32.

        product: (weight [N, K], bias [N]) to what multiplies, such as NativeBfloat16 or
        native.in_8_bits, and raises what it raises; each place of the output is a row of it.
        planar: the images have channels first, as PyTorch's.
        Raises RuntimeError for groups, dilation, padding of another kind or as wide as the kernel.
        """
        form = layer.kernel_size, layer.stride, layer.padding
        if (isinstance(layer.padding, str) or any(len(set(pair)) != 1 for pair in form)
                or layer.groups != 1 or set(layer.dilation) != {1}
                or layer.padding_mode != 'zeros' or layer.padding[0] >= layer.kernel_size[0]):
            raise RuntimeError(
                f'native convolutions have square kernels and plain padding: {layer}')
        self._kernel, self._stride, self._padding = (pair[0] for pair in form)
        weight = layer.weight.detach()
        weight = weight if planar else weight.permute(0, 2, 3, 1)
        self.product = product(weight.flatten(1).contiguous(), layer.bias)
        self.channels, self.planar = layer.in_channels, planar

    def __call__(self, x: torch.Tensor, gelu: bool = False, to: torch.Tensor | None = None,
                 base: torch.Tensor | None = None):
        """
        Map x [B, H, W, C] (planar: [B, C, H, W]), float32 and contiguous, to [B, H', W', N].

        gelu: of the result.  to: of that shape, to which it is added in place, and returned; it
        may be x if that is not planar.  base: of that shape, to which it is added in new
        memory.  Raises RuntimeError for other images, another shape, and both.
        """
        check_floats(x, 'an image')
        axis = 1 if self.planar else 3
        if x.ndim != 4 or x.shape[axis] != self.channels or not x.is_contiguous():
            raise RuntimeError(f'images {list(x.shape)} with strides {x.stride()} meet a '
                               f'convolution of {self.channels} channels on axis {axis}')
        batch, *size = (length for i, length in enumerate(x.shape) if i != axis)
        out = [(side + 2 * self._padding - self._kernel) // self._stride + 1 for side in size]
        shape = batch, *out, self.product.outputs
        if min(shape) < 1:
            raise RuntimeError(f'images {list(x.shape)} are smaller than the kernel, '
                               f'{self._kernel} px, or none')
        y = torch.empty(shape) if to is None else to
        if to is not None and base is not None:
            raise RuntimeError('a result is added to one of both: in place, or to a base')
        for added in (y, y if base is None else base):
            check_floats(added, 'what is added to')
            if tuple(added.shape) != shape or not added.is_contiguous():
                raise RuntimeError(f'{list(shape)} shall be added to {list(added.shape)}')
        call = _ConvCall(x.data_ptr(), y.data_ptr(), batch, *size, self.channels, *out,
                         self._kernel, self._stride, self._padding, torch.get_num_threads(), gelu,
                         to is not None or base is not None, self.planar,
                         None if base is None else base.data_ptr())
        library().sqap_conv(c_void_p(self.product.address), ctypes.byref(call))
        return y
