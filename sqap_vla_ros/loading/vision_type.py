# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy's vision encoder and projector multiply in: the option vision_dtype, and 'auto'.

On a GPU, and where dtype asks for another type than a CPU's float32, they have the type of all
that is not quantized. Of float32 on a CPU, 'auto' makes bfloat16 where the processor has AMX,
whose bfloat16 products have many times float32's rate; docs/vision_dtype.md has the action error
and the times. With AVX512-BF16 alone, which doubles the rate, plain bfloat16 encoders took 0.7 to
1.05 of float32's time layer by layer (benchmarks/results/cpu_bench.json). Blocks in one native
call save as much in float32, so that 'auto' leaves float32 there, unless `sqap-vla error --record`
has left beside the weights what the actions' error in 8 bits is. Then it is int8 where the native
kernels serve, up to encoder_error.LARGEST: half a point of success lost by what the first bundled
policy forgave, an eighth of one by action_error/'s formula of the present one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from .encoder_error import EncoderError, LARGEST
from .units import empty_model
from ..errors import ConfigError
from ..kernels import levels, native_reason
from ..kernels.base import Unavailable
from ..kernels.native import best_level, tiles_missing
from ..model.vla import VLAConfig
from ..numerics.precision import AUTO
from ..options import PolicyOptions
from ..quant import QuantLinear
from ..support import machine

Measured = Callable[[], EncoderError | None]
PARTS = ('vision', 'projector')
FLOAT32, BFLOAT16, INT8 = 'float32', 'bfloat16', 'int8'
AMX, AVX512, SLOW = 'AMX', 'AVX512-BF16', ''  # what multiplies bfloat16


@dataclass(frozen=True)
class Arithmetic:
    """
    How a processor multiplies bfloat16 and bytes.

    unit: AMX, AVX512, or SLOW where bfloat16 is slower than float32.  missing: why not AMX, in
    words.  level: of the native kernels, which multiply 8 bits faster than float32; '' without.
    """

    unit: str
    missing: str = ''
    level: str = ''


@dataclass(frozen=True)
class VisionType:
    """
    The type that an encoder multiplies in, and why, as a sentence without its end.

    rounds: whether weights of float32 are rounded to it.  doubt: what to warn of, '' for nothing.
    """

    name: str
    reason: str
    rounds: bool = False
    doubt: str = ''

    def __str__(self) -> str:
        """Return both in one line."""
        return f'{self.name}: {self.reason}'


def onednn_multiplies_bfloat16() -> bool:
    """Return whether torch's fast products take bfloat16 in this process."""
    return torch.backends.mkldnn.is_available() and (
        torch.ops.mkldnn._is_mkldnn_bf16_supported())


def arithmetic() -> Arithmetic:
    """Return how this processor multiplies."""
    return replace(_of_bfloat16(), level='' if native_reason() else levels.NAMES[best_level()])


def _of_bfloat16() -> Arithmetic:
    if not machine.has_fast_bfloat16():
        return Arithmetic(SLOW, 'this processor has no instructions for bfloat16')
    if not onednn_multiplies_bfloat16():
        return Arithmetic(SLOW, "torch's oneDNN multiplies no bfloat16 here")
    if 'amx_bf16' not in machine.processor_flags():
        return Arithmetic(AVX512, 'this processor has no AMX')
    try:
        missing = tiles_missing()
    except Unavailable:  # oneDNN asks for its tiles by itself
        missing = ''
    return Arithmetic(AVX512, missing) if missing else Arithmetic(AMX)


def vision_type(options: PolicyOptions, config: VLAConfig, record: Mapping,
                device: torch.device, dtype: torch.dtype,
                measured: Measured = lambda: None) -> VisionType:
    """
    Return what the encoder of a policy multiplies in, before a weight is read.

    record: the checkpoint's quantization, empty for full precision.  dtype: of what is not
    quantized on the device.  measured: gives the checkpoint's EncoderError, which is read if it
    matters.  Raises ConfigError for a type that it cannot have.
    """
    asked, name = options.vision_dtype, str(dtype).removeprefix('torch.')
    if device.type != 'cpu' or name != FLOAT32:
        return _as_all_else(asked, name, device)
    if asked == FLOAT32:
        return VisionType(FLOAT32, 'it was asked for')
    if not options.prepare:
        return _left(asked, 'prepare=False leaves all weights as they can be saved')
    if layer := quantized_layer(config, record, options.int8):
        return _left(asked, f'{layer} has integer weights')
    return choose_vision_type(asked, arithmetic(), measured)


def may_round(asked: str, device: torch.device, dtype: torch.dtype,
              measured: Measured = lambda: None) -> bool:
    """Return whether an encoder in full precision is rounded, if it is the option's value."""
    return device.type == 'cpu' and dtype == torch.float32 and asked != FLOAT32 and (
        choose_vision_type(asked, arithmetic(), measured).rounds)


def choose_vision_type(asked: str, found: Arithmetic, measured: Measured) -> VisionType:
    """Return 'auto', bfloat16 or int8 on a CPU, of an encoder in full precision."""
    if asked == INT8:
        return VisionType(INT8, 'it was asked for', True, '' if found.level else (
            'vision_dtype int8 has no native kernels here, and may take longer than float32: see '
            'what is told of them, or leave vision_dtype at auto'))
    if asked == BFLOAT16:
        return VisionType(BFLOAT16, 'it was asked for', True, '' if found.unit else (
            f'vision_dtype bfloat16 takes longer than float32 here: {found.missing} (AMX or '
            'AVX512-BF16). Leave vision_dtype at auto, unless answers are to be as on a computer '
            'that has them'))
    if found.unit == AMX:
        return VisionType(BFLOAT16, 'AMX multiplies it many times as fast as float32; '
                          'vision_dtype float32 leaves that', True)
    error = measured() if found.level else None
    if error is not None and error.is_small and error.holds_for(found.level):
        return VisionType(INT8, f'{found.missing}, 8 bits are faster than float32, and the '
                          f"actions' error with them is {error}; vision_dtype float32 leaves "
                          'that', True)
    why = _why_not_int8(error, found.level) if found.level else ''
    if found.unit == AVX512:
        return VisionType(FLOAT32, f'{found.missing}, and bfloat16 by AVX-512 is not known to be '
                          f'faster than float32 blocks in one call{why}')
    return VisionType(FLOAT32, found.missing + why)


def _why_not_int8(error: EncoderError | None, level: str) -> str:
    if error is not None and error.is_small:
        return (f"; int8 is faster, and the actions' error with it, {error}, was measured with "
                f'{error.level}, which rounds less than {level}: sqap-vla error --record measures '
                'it here')
    if error is None:
        return ('; int8 is faster, and what it does to the actions was not measured: sqap-vla '
                'error --record does')
    return f"; int8 is faster, and the actions' error with it is {error}, more than {LARGEST}"


def _as_all_else(asked: str, name: str, device: torch.device) -> VisionType:
    """Return the type of all that is not quantized, on a GPU or of another dtype."""
    if asked not in (AUTO, name):
        raise ConfigError(
            f'vision_dtype is {asked}, and on {device} all that is not quantized is computed in '
            f'{name}: leave vision_dtype at auto, or dtype at its default on a CPU')
    return VisionType(name, 'all that is not quantized has this type')


def _left(asked: str, reason: str) -> VisionType:
    """Return float32 for a reason; raise ConfigError where another type was asked for."""
    if asked != AUTO:
        raise ConfigError(f'vision_dtype is {asked}, and {reason}: leave vision_dtype at auto, '
                          'or load a checkpoint whose encoder and projector are in full precision')
    return VisionType(FLOAT32, reason)


def quantized_layer(config: VLAConfig, record: Mapping, int8=()) -> str:
    """Return the first quantized layer of encoder and projector, '' where there is none."""
    for part in PARTS:
        if not record and part in int8:
            return part
    model = empty_model(config, record) if record else None
    return next((f'{part}.{name}' for part in PARTS if model is not None
                 for name, module in getattr(model, part).named_modules()
                 if isinstance(module, QuantLinear)), '')
