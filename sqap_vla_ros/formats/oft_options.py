# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a user may say of an OpenVLA-OFT in deployment.json, under "oft"."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .checkpoint import NORMALIZATIONS
from ..errors import ConfigError
from ..model.oft import READINGS
from ..support.validation import is_count, unknown_names

_CHOICES = {'normalization': NORMALIZATIONS, 'head': READINGS}
_COUNTS = ('images', 'chunk_length', 'ddim_steps')
MAX_IMAGES = 4
_FLAGS = ('film', 'proprio')


@dataclass(frozen=True)
class OFTOptions:
    """
    What no file of the checkpoint says; None where nothing was said.

    images, chunk_length: how many.  normalization: what -1 and 1 stand for.  head: how its
    answer is read, see OFTHeadConfig.reads.  ddim_steps: of a head that diffuses.  base: the
    directory of the base model of an adapter that is not merged, beside deployment.json or
    absolute.  film, proprio: whether it was trained so; checked against its files.
    """

    images: int | None = None
    chunk_length: int | None = None
    normalization: str | None = None
    head: str | None = None
    ddim_steps: int | None = None
    base: str | None = None
    film: bool | None = None
    proprio: bool | None = None


def read_oft_options(content) -> OFTOptions:
    """Return the object under "oft"; raise ConfigError for what makes no sense."""
    if not isinstance(content, dict):
        raise ConfigError(f'oft is {content!r}, expected an object such as {{"images": 2}}')
    known = [option.name for option in fields(OFTOptions)]
    unknown = unknown_names(content, known)
    if unknown:
        raise ConfigError(f'oft: unknown keys {unknown}, known are {known}')
    for name, value in content.items():
        wanted = _wanted(name, value)
        if wanted:
            raise ConfigError(f'oft: {name} is {value!r}, expected {wanted}')
    return OFTOptions(**content)


def _wanted(name: str, value) -> str:
    """Return what a key's value should be, or '' if it is."""
    if name == 'images':
        return '' if is_count(value) and 0 < value <= MAX_IMAGES else (
            f'a whole number from 1 to {MAX_IMAGES}')
    if name in _COUNTS:
        return '' if is_count(value) and value > 0 else 'a whole number above 0'
    if name in _CHOICES:
        return '' if value in _CHOICES[name] else f'one of {_CHOICES[name]}'
    if name in _FLAGS:
        return '' if isinstance(value, bool) else 'true or false'
    return '' if isinstance(value, str) and value else 'the path of a directory'
