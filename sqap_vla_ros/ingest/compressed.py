# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a compressed image says of itself, before a byte of it is unpacked.

A few hundred kB can unpack to gigabytes, and decoders fill what is missing of a JPEG with grey
and say nothing: so the header is read here, and the end looked for.
"""

from dataclasses import dataclass
import re
import struct

from ..errors import ObservationError

MAX_PIXELS = 40_000_000  # 8K video has 33 million
_PNG, _JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff'
_SIZES_OF_JPEG = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_STRAY_MARKER = re.compile(rb'\xff[\x02-\xbf]')  # reserved: no encoder writes them
DEPTH_ENCODINGS = ('16UC1', '16SC1', '32FC1', '64FC1', 'mono16')


@dataclass(frozen=True)
class Header:
    """kind: JPEG, PNG or WebP.  width, height: pixels.  bits: of a channel."""

    kind: str
    width: int
    height: int
    bits: int = 8


def read_header(data: bytes, format_text: str) -> Header:
    """
    Return the header of an image that is whole, of 8 bits a channel and of a size to be unpacked.

    data: of a sensor_msgs/CompressedImage; format_text: its format.  Raises ObservationError.
    """
    _refuse_depth(format_text)
    header = _header(data)
    if header is None:
        raise ObservationError(f'image/compressed: {len(data)} bytes of format {format_text!r} '
                               'are no JPEG, PNG or WebP image')
    if header.width < 1 or header.height < 1 or header.width * header.height > MAX_PIXELS:
        raise ObservationError(
            f'image/compressed: a {header.kind} of {len(data)} bytes says that it has '
            f'{header.width} x {header.height} pixels, expected 1 to {MAX_PIXELS} in all: it is '
            'not unpacked; set the camera to a smaller size')
    if header.bits != 8:
        raise ObservationError(
            f'image/compressed: the {header.kind} has {header.bits} bits a channel, expected 8: '
            'is it a depth image? Use the transport of the colour image')
    missing = _MISSING_END[header.kind](data)
    if missing:
        raise ObservationError(
            f'image/compressed: a {header.kind} of {len(data)} bytes {missing}: part of it was '
            'lost on the way or by the camera')
    return header


def _refuse_depth(format_text):
    encoding = format_text.split(';')[0].strip()
    if encoding in DEPTH_ENCODINGS or 'compresseddepth' in format_text.lower():
        raise ObservationError(
            f'image/compressed: format {format_text!r} is a depth image, which cannot be used: '
            'remap `image` to the colour image, whose transport compressed is')


def _header(data):
    if data[:3] == _JPEG:
        return _jpeg_header(data)
    if data[:8] == _PNG:
        return _png_header(data)
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return _webp_header(data)
    return None


def _jpeg_header(data):
    start = _jpeg_segment(data, _SIZES_OF_JPEG)
    if start is None or start + 9 > len(data):
        return None
    bits, height, width = struct.unpack_from('>BHH', data, start + 4)
    return Header('JPEG', width, height, bits)


def _jpeg_segment(data, markers):
    """Return where the first segment of one of some markers begins, None if there is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in markers:
            return at
        if marker == 0xFF or marker in _NO_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            break
        at += 2 + struct.unpack_from('>H', data, at + 2)[0]
    return None


def _png_header(data):
    if data[12:16] != b'IHDR' or len(data) < 26:
        return None
    width, height, bits, _ = struct.unpack_from('>IIBB', data, 16)
    return Header('PNG', width, height, max(bits, 8))  # 1, 2 and 4 bits unpack to 8


def _webp_header(data):
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b'VP8X':
        sides = (int.from_bytes(body[at:at + 3], 'little') + 1 for at in (4, 7))
    elif kind == b'VP8L':
        packed = int.from_bytes(body[1:5], 'little')
        sides = ((packed >> shift & 0x3FFF) + 1 for shift in (0, 14))
    elif kind == b'VP8 ':
        sides = (int.from_bytes(body[at:at + 2], 'little') & 0x3FFF for at in (6, 8))
    else:
        return None
    return Header('WebP', *sides)


def _jpeg_lacks(data):
    scan = _jpeg_segment(data, {0xDA})
    if scan is None or data.rfind(b'\xff\xd9') < scan:
        return 'has no end'
    return 'is damaged' if _STRAY_MARKER.search(data, scan) else ''


def _png_lacks(data):
    return '' if b'IEND' in data[-32:] else 'has no end'


def _webp_lacks(data):
    told = struct.unpack_from('<I', data, 4)[0] + 8
    return f'is to have {told}' if told > len(data) + 1 else ''  # a last byte of padding may lack


_MISSING_END = {'JPEG': _jpeg_lacks, 'PNG': _png_lacks, 'WebP': _webp_lacks}
