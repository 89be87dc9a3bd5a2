# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras by name: which a policy sees, and which of their images go together."""

import re

from .stamps import duration_text, stamp_ns
from ..errors import ConfigError, ObservationError

NAME = re.compile('[A-Za-z][A-Za-z0-9_]{0,49}')
TOGETHER_NS = 5_000_000  # by which an image of the same moment may be stamped later
REMEMBERED_NS = 10**9  # images of a camera; of those that come faster, one in TOGETHER_NS


def check_names(names) -> None:
    """Raise ConfigError unless the cameras' names can stand in topics, one camera each."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f'parameter cameras has {name!r}, expected names of letters, digits and _ that '
                'begin with a letter: they stand in topics such as wrist/image')
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise ConfigError(f'parameter cameras names {doubled} more than once: {list(names)}')


def cameras_seen(configured, taken, images: int | None = None) -> tuple[str, ...]:
    """
    Return the names of the cameras that a policy sees, in its order; '' for one without a name.

    configured: the parameter cameras.  taken: what the policy asks for (Policy.cameras), empty for
    the first.  images: how many it takes, None where that is not known.  Raises ConfigError for
    one that is not there, and for several of which it is not said which.
    """
    if images is not None and images > 1 and len(taken) != images:
        raise ConfigError(
            f'the checkpoint takes {images} images, and names {len(taken)} cameras, '
            f'{list(taken)}: write the names of all {images}, in its order, as "cameras" into '
            'its deployment.json, or into config.json of a converted one')
    missing = [name for name in taken if name not in configured]
    if missing:
        raise ConfigError(
            f'the checkpoint takes the cameras {list(taken)} (deployment.json), the parameter '
            f'cameras has {list(configured)}: {", ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} missing. Name the cameras as the checkpoint '
            'does, or correct "cameras" in its deployment.json, or in config.json of a '
            'converted one')
    return tuple(taken) or tuple(configured[:1]) or ('',)


class ImageHistory:
    """
    The images of a camera's last second, to find the one that goes with an image of another.

    However fast it sends: which image is asked about is up to the slowest camera and to how late
    its images come. One thread adds, another one may look: what both use is replaced as a whole.
    """

    def __init__(self):
        """Begin without an image."""
        self.clear()

    def clear(self):
        """Forget all images."""
        self._images = ()  # (stamp, message), as they came in

    def add(self, message):
        """Take an image message; what is a second off it is forgotten."""
        now_ns = stamp_ns(message)
        rest = [kept for kept in self._images if abs(kept[0] - now_ns) <= REMEMBERED_NS]
        if len(rest) > 1 and 0 <= now_ns - rest[-2][0] < TOGETHER_NS:
            del rest[-1]  # between two of the same moment
        self._images = (*rest, (now_ns, message))

    def has(self, message) -> bool:
        """Return whether an image message of another camera shows one of them, to the last bit."""
        return any(_is_same(kept.data, message.data) for _, kept in self._images)

    def beside(self, time_ns: int, tolerance_s: float, topic: str):
        """
        Return the newest image message that was not taken after a time.

        tolerance_s: how much older it may be; 0 asks for that very stamp (lockstep), else one
        of up to 5 ms later is of the same moment.  topic: to name.  Raises ObservationError.
        """
        images, later_ns = self._images, TOGETHER_NS if tolerance_s else 0
        before = [image for image in images if image[0] <= time_ns + later_ns]
        found_ns, found = max(before, key=lambda image: image[0], default=(None, None))
        if found is not None and time_ns - found_ns <= tolerance_s * 1e9:
            return found
        if not images:
            raise ObservationError(f'no image has come in on {topic}')
        raise ObservationError(
            f'no image on {topic} goes with the one that is asked about: the nearest was taken '
            + _when_taken([taken_ns - time_ns for taken_ns, _ in images], tolerance_s))


def _is_same(first, second) -> bool:
    """Return whether bytes are the same: of a live message an array, of a bag NumPy's or bytes."""
    return len(first) == len(second) and memoryview(first) == memoryview(second)


def _when_taken(offsets_ns, tolerance_s) -> str:
    """Return when the nearest of images was, and why; offsets_ns: after the one asked about."""
    nearest_ns = min(offsets_ns, key=abs)
    side = 'after' if nearest_ns > 0 else 'before'
    nearest = f'{duration_text(nearest_ns * 1e-9)} {side} it'
    if not tolerance_s:
        return f'{nearest} (in lockstep all cameras are of one tick)'
    if min(offsets_ns) > 0:
        reach_s = (max(offsets_ns) - min(offsets_ns)) * 1e-9
        return (f'{nearest}, for the history reaches back only {duration_text(reach_s)}: this '
                'camera has just begun, or the other one is so much later. Synchronize their '
                'clocks, or find out what delays the images of the other')
    return (f'{nearest} (limit: camera_tolerance, {tolerance_s:g} s): synchronize the clocks of '
            'the cameras, or let them send as often')
