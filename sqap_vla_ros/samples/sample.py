# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded observations in the form that one checkpoint takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
import hashlib
from typing import NamedTuple

import numpy as np

from ..observation import CameraView, Observation, ProtectedPoints


@dataclass(frozen=True, eq=False)
class Sample:
    """
    One observation.

    images: uint8 [H, W, 3], one a camera, in the checkpoint's order.  instruction: what to do.
    state: [S], raw, or None.  protected: a ProtectedPoints an image, None where the source knows
    no camera or pose.  distance: float32 [images * N], how far (in patches) each visual token is
    from a protected point, as Policy.infer computes it; None as protected.  action: float32
    [T, A], recorded from this image on, in the checkpoint's units, or None.  episode: number of
    the recording that it is of.
    """

    images: tuple[np.ndarray, ...]
    instruction: str
    state: np.ndarray | None = None
    protected: tuple[ProtectedPoints, ...] | None = None
    distance: np.ndarray | None = None
    action: np.ndarray | None = None
    episode: int = 0

    def observation(self, cameras: Sequence[str] = ()) -> Observation:
        """Return what a policy infers from; cameras: the checkpoint's names, () for one of any."""
        points = self.protected or (ProtectedPoints(),) * len(self.images)
        views = {name: CameraView(image, 0, point)
                 for name, image, point in zip(cameras, self.images, points)}
        return Observation(self.images[0], 0, self.instruction, points[0], self.state,
                           cameras[0] if cameras else '', views)


@dataclass(frozen=True)
class Samples:
    """
    Samples, and where they are from.

    name: of the directory or recording.  source: what it is, in words.  total: how many there
    were to choose from.  notes: what a person should know of it.
    """

    name: str
    samples: tuple[Sample, ...]
    source: str = 'images'
    total: int = 0
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Return a digest of all images, instructions and states."""
        digest = hashlib.sha256()
        for sample in self.samples:
            for image in sample.images:
                digest.update(repr((image.shape, sample.instruction)).encode())
                digest.update(np.ascontiguousarray(image).data)
            digest.update(b'' if sample.state is None else np.asarray(sample.state).tobytes())
        return digest.hexdigest()[:16]

    @property
    def record(self) -> dict:
        """Return what config.json keeps of a calibration."""
        return {'name': self.name, 'source': self.source, 'samples': len(self.samples),
                'episodes': len(self.episodes), 'digest': self.fingerprint}

    @property
    def episodes(self) -> tuple[int, ...]:
        """Return the numbers of the recordings that the samples are of, in their order."""
        return tuple(dict.fromkeys(sample.episode for sample in self.samples))

    def thinned(self, count: int) -> Samples:
        """Return `count` of them, evenly chosen, or all if there are fewer."""
        return replace(self, samples=tuple(
            self.samples[index] for index in chosen(len(self.samples), count)))

    def split(self, count: int) -> tuple[Samples, Samples]:
        """
        Return (the rest, about `count` samples held out), which share no episode.

        Of a single episode its last samples are held out; nothing is where one sample would be
        left at most.
        """
        held = _held_out(self.samples, self.episodes, min(count, len(self.samples) // 2))
        parts = [[sample for sample, out in zip(self.samples, held) if out == wanted]
                 for wanted in (False, True)]
        return tuple(replace(self, samples=tuple(part)) for part in parts)


class Opened(NamedTuple):
    """A source whose samples are read one by one, when they are asked for; see Samples."""

    name: str
    source: str
    total: int
    samples: Iterator[Sample]
    notes: tuple[str, ...] = ()


def _held_out(samples, episodes, count: int) -> np.ndarray:
    """Return bool [n]: which samples are held out."""
    of = np.array([sample.episode for sample in samples])
    if not count:
        return np.zeros(len(samples), bool)
    if len(episodes) < 2:
        return np.arange(len(samples)) >= len(samples) - count
    number = max(1, round(count / len(samples) * len(episodes)))  # half of them at most
    places = (np.arange(number) + 0.5) * len(episodes) / number
    return np.isin(of, np.asarray(episodes)[places.astype(int)])


def chosen(total: int, count: int) -> list[int]:
    """Return at most `count` evenly spread indices below total."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(count, total))})
