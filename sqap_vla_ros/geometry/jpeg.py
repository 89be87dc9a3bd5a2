# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a JPEG file of quality 95 with 4:2:0 chroma leaves of an image, to the last bit.

Public OpenVLA checkpoints were trained on images that had been through one, and their clients
write and read one, with TensorFlow, before they ask.  Its reader uses libjpeg's fast integer
transform, which is up to 19 grey levels off the accurate one of other readers; so both ways are
computed here, in libjpeg's integers.  Entropy coding loses nothing and is left out.

Tables: ITU-T T.81, Annex K.  Forward transform: Loeffler, Ligtenberg and Moschytz (1989) with 13
bits; inverse: Arai, Agui and Nakajima (1988) with 8 bits, truncated.
"""

from __future__ import annotations

import numpy as np


def _fix(value: float, bits: int = 16) -> int:
    return int(value * 2**bits + 0.5)


QUALITY = 95
_PASS_BITS = 2  # that are kept between the two passes of a transform
LUMA = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]])
CHROMA = np.full((8, 8), 99)
CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_CENTERED = np.arange(-128, 128)
_RED, _BLUE = (((_fix(share) * _CENTERED + 2**15) >> 16).astype(np.int16)
               for share in (1.402, 1.772))
_GREEN_BLUE, _GREEN_RED = (np.int32(half - _fix(share) * _CENTERED)
                           for share, half in ((0.34414, 2**15), (0.71414, 0)))
_COSINES = np.append(1, np.sqrt(2) * np.cos(np.arange(1, 8) * np.pi / 16))
_SCALES = np.floor(2**14 * np.outer(_COSINES, _COSINES) + 0.5).astype(np.int32)


def round_trip(image: np.ndarray) -> np.ndarray:
    """Return an image uint8 [H, W, 3], RGB, as it comes out of the file."""
    height, width = image.shape[:2]
    luma, *chroma = _to_ycc(image.astype(np.int32))
    luma = _coded(luma[None], divisors(LUMA))[0, :height, :width]
    small = _halved(np.stack(chroma))
    coded = _coded(small, divisors(CHROMA))[:, :-(-height // 2), :-(-width // 2)]
    return _to_rgb(luma, *_doubled(coded)[:, :height, :width])


def divisors(base: np.ndarray) -> np.ndarray:
    """Return the divisors int32 [8, 8] of an Annex K table at the quality."""
    return np.clip((base * (200 - 2 * QUALITY) + 50) // 100, 1, 255).astype(np.int32)


def _to_ycc(rgb: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return Y, Cb, Cr of int32 [H, W, 3]."""
    red, green, blue = np.moveaxis(rgb, 2, 0)
    half, offset = 2**15, (128 << 16) + 2**15 - 1
    return (
        (_fix(0.299) * red + _fix(0.587) * green + _fix(0.114) * blue + half) >> 16,
        (half * blue - _fix(0.16874) * red - _fix(0.33126) * green + offset) >> 16,
        (half * red - _fix(0.41869) * green - _fix(0.08131) * blue + offset) >> 16)


def _to_rgb(luma, blue, red) -> np.ndarray:
    """Return uint8 [H, W, 3] of Y, Cb, Cr, int16."""
    found = np.empty((*luma.shape, 3), np.int16)
    found[..., 0] = luma + _RED[red]
    found[..., 1] = luma + ((_GREEN_BLUE[blue] + _GREEN_RED[red]) >> 16)
    found[..., 2] = luma + _BLUE[blue]
    return np.clip(found, 0, 255, out=found).astype(np.uint8)


def _halved(planes: np.ndarray) -> np.ndarray:
    """Return planes [P, H, W] of half the size; what is left over of a half goes either way."""
    _, height, width = planes.shape
    wide = -(-width // 16) * 16
    planes = np.pad(planes, ((0, 0), (0, height % 2), (0, wide - width)), mode='edge')
    pairs = planes[:, ::2] + planes[:, 1::2]
    bias = 1 + np.arange(wide // 2) % 2
    return (pairs[:, :, ::2] + pairs[:, :, 1::2] + bias) >> 2


def _doubled(planes: np.ndarray) -> np.ndarray:
    """Return planes [P, h, w] of twice the size: three quarters of the nearer, one of the next."""
    if planes.shape[2] <= 2:  # libjpeg does not filter what is so narrow
        return planes.repeat(2, axis=1).repeat(2, axis=2)
    padded = np.pad(planes, ((0, 0), (1, 1), (0, 0)), mode='edge')
    rows = np.stack([3 * planes + padded[:, :-2], 3 * planes + padded[:, 2:]], axis=2)
    rows = rows.reshape(len(planes), -1, planes.shape[2])  # [P, 2 h, w], times 4
    padded = np.pad(rows, ((0, 0), (0, 0), (1, 1)), mode='edge')
    both = np.stack([3 * rows + padded[:, :, :-2] + 8, 3 * rows + padded[:, :, 2:] + 7], axis=3)
    return (both >> 4).reshape(len(planes), rows.shape[1], -1)


def _coded(planes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return planes [P, H, W] after both transforms; padded to whole blocks."""
    count, height, width = planes.shape
    rows, cols = -(-height // 8), -(-width // 8)
    planes = np.pad(planes, ((0, 0), (0, 8 * rows - height), (0, 8 * cols - width)), mode='edge')
    blocks = planes.reshape(count, rows, 8, cols, 8).transpose(2, 4, 0, 1, 3)
    blocks = np.ascontiguousarray(blocks) - 128
    found = _inverse(_quantized(_forward(blocks), table), table)  # [8, 8, P, rows, cols]
    return found.transpose(2, 3, 0, 4, 1).reshape(count, 8 * rows, 8 * cols)


def _quantized(coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return coefficients [8, 8, ...], 8 times too large, over their divisors, rounded."""
    steps = (8 * table).reshape(8, 8, *(1,) * (coefficients.ndim - 2))
    sizes = (np.abs(coefficients) + steps // 2) // steps
    return np.where(coefficients < 0, -sizes, sizes)


def _forward(blocks: np.ndarray) -> np.ndarray:
    """Return 8 times the cosine transform of blocks int32 [8, 8, ...]: rows, then columns."""
    rows = _forward_pass(np.moveaxis(blocks, 1, 0), -_PASS_BITS, 13 - _PASS_BITS)
    return _forward_pass(np.moveaxis(rows, 1, 0), _PASS_BITS, 13 + _PASS_BITS)


def _forward_pass(x: np.ndarray, plain: int, scaled: int) -> np.ndarray:
    """Transform along the first axis; plain, scaled: bits by which results are shifted down."""
    sums, differences = x[:4] + x[:3:-1], x[:4] - x[:3:-1]
    s0, s1 = sums[0] + sums[3], sums[1] + sums[2]
    d0, d1 = sums[0] - sums[3], sums[1] - sums[2]
    turn = (d0 + d1) * _fix(0.541196100, 13)
    t7, t6, t5, t4 = differences
    z3, z4 = t4 + t6, t5 + t7
    z5 = (z3 + z4) * _fix(1.175875602, 13)
    z1, z2 = (t4 + t7) * -_fix(0.899976223, 13), (t5 + t6) * -_fix(2.562915447, 13)
    z3, z4 = z5 - z3 * _fix(1.961570560, 13), z5 - z4 * _fix(0.390180644, 13)
    even = [s0 + s1, s0 - s1]
    found = [None, t7 * _fix(1.501321110, 13) + z1 + z4, turn + d0 * _fix(0.765366865, 13),
             t6 * _fix(3.072711026, 13) + z2 + z3, None, t5 * _fix(2.053119869, 13) + z2 + z4,
             turn - d1 * _fix(1.847759065, 13), t4 * _fix(0.298631336, 13) + z1 + z3]
    found = [None if part is None else _shifted(part, scaled) for part in found]
    found[0], found[4] = (_shifted(part, plain) for part in even)
    return np.stack(found)


def _shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values over 2**bits, rounded."""
    return values << -bits if bits < 0 else (values + (1 << (bits - 1))) >> bits


def scales_of(table: np.ndarray) -> np.ndarray:
    """Return what the inverse transform multiplies quantized coefficients with, int32 [8, 8]."""
    return _shifted(table * _SCALES, 12)


def _inverse(coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return samples 0..255 [8, 8, ...] of quantized coefficients: columns, then rows."""
    scales = scales_of(table).reshape(8, 8, *(1,) * (coefficients.ndim - 2))
    columns = _inverse_pass(coefficients * scales)
    rows = _inverse_pass(np.moveaxis(columns, 1, 0))
    found = (np.moveaxis(rows, 0, 1) >> (_PASS_BITS + 3)) + 128
    return np.clip(found, 0, 255, out=found).astype(np.int16)


def _inverse_pass(x: np.ndarray) -> np.ndarray:
    """Transform back along the first axis, truncating every product."""
    def times(values, factor):
        return (values * _fix(factor, 8)) >> 8
    s0, d0, s1 = x[0] + x[4], x[0] - x[4], x[2] + x[6]
    d1 = times(x[2] - x[6], 1.414213562) - s1
    z13, z10, z11, z12 = x[5] + x[3], x[5] - x[3], x[1] + x[7], x[1] - x[7]
    t7, z5 = z11 + z13, times(z10 + z12, 1.847759065)
    t6 = ((z10 * -_fix(2.613125930, 8)) >> 8) + z5 - t7
    t5 = times(z11 - z13, 1.414213562) - t6
    t4 = times(z12, 1.082392200) - z5 + t5
    found = np.empty_like(x)
    for row, even, odd in ((0, s0 + s1, t7), (1, d0 + d1, t6), (2, d0 - d1, t5),
                           (3, s0 - s1, -t4)):
        np.add(even, odd, out=found[row])
        np.subtract(even, odd, out=found[7 - row])
    return found
