# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What an encoder in 8 bits does to a checkpoint's actions, in a file beside its weights.

`sqap-vla error --record` measures and writes it, vision_dtype 'auto' goes by it (vision_type.py).
The file names the weights that were measured and the instructions, which decide how attention is
rounded: with others it says nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
import logging
from pathlib import Path

from ..formats.source import Source
from ..kernels import levels
from ..kernels.native import best_level
from ..support.checkpoint_files import ENCODER_ERROR, weights_digest
from ..support.files import save_file
from ..support.validation import is_number

_log = logging.getLogger(__name__)
LARGEST = 0.004  # the upper end of an error's interval up to which 'auto' takes 8 bits


@dataclass(frozen=True)
class EncoderError:
    """
    The action error with the encoder alone in 8 bits, normalised as in docs/error.md.

    low, high: of its 95 % interval over episodes.  of: a digest of the weights.  level: of
    instructions, see kernels/levels.py.
    """

    error: float
    low: float
    high: float
    frames: int
    episodes: int
    of: str
    level: str

    def __post_init__(self):
        """Raise ValueError for what cannot be."""
        numbers = self.low, self.error, self.high, self.frames, self.episodes
        if not all(map(is_number, numbers)) or not 0 <= self.low <= self.high or (
                self.error < 0 or min(self.frames, self.episodes) < 1
                or not isinstance(self.of, str) or self.level not in levels.NAMES):
            raise ValueError(f'{asdict(self)} is no error with its interval, frames and weights')

    @property
    def is_small(self) -> bool:
        """Return whether 'auto' takes 8 bits."""
        return self.high <= LARGEST

    def holds_for(self, level: str) -> bool:
        """
        Return whether what was measured is what a level computes, or is rounded as coarsely.

        Attention is rounded to bytes with VNNI, to bfloat16 with AMX, and not at all with AVX2.
        """
        order = 'avx2', 'amx', 'vnni'
        measured, here = (order.index(each if each in order else 'vnni')
                          for each in (self.level, level))
        return here <= measured

    def __str__(self) -> str:
        """Return it in words."""
        return (f'{self.error:.4f} ({self.low:.4f} .. {self.high:.4f}; {self.frames} frames of '
                f'{self.episodes} episodes)')


def error_file(source: Source) -> Path:
    """Return where a checkpoint's file is or would be."""
    folder = source.path if source.path.is_dir() else source.path.parent.parent
    return folder / ENCODER_ERROR


def read_encoder_error(source: Source) -> EncoderError | None:
    """
    Return what was measured of these weights, None for nothing.

    A file that is no such record is told by a warning.
    """
    path = error_file(source)
    if not path.is_file():
        return None
    try:
        found = EncoderError(**json.loads(path.read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError) as error:
        _log.warning('%s is not used, since it cannot be read (%s): measure again (sqap-vla error '
                     '--record), or remove it', path, error)
        return None
    return found if found.of == weights_digest(source.tensors) else None


def write_encoder_error(source: Source, **facts) -> Path:
    """
    Write EncoderError's facts of a checkpoint, but `of` and `level`, and return the file.

    Raises ConfigError where it cannot be written.
    """
    path = error_file(source)
    found = EncoderError(**facts, of=weights_digest(source.tensors),
                         level=levels.NAMES[best_level()])
    save_file(path, json.dumps(asdict(found), indent=1).encode() + b'\n', '--record')
    return path
