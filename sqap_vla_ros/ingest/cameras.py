# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras by name: which one a policy sees, and which of their images go together."""

import re

from .stamps import duration_text, stamp_ns
from ..errors import ConfigError, ObservationError

NAME = re.compile('[A-Za-z][A-Za-z0-9_]{0,49}')
KEPT = 16  # images of a camera; asked is about one that is little older than the newest
TOGETHER_NS = 5_000_000  # by which an image of the same moment may be stamped later
REMEMBERED_NS = 10**9


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


def camera_seen(configured, taken) -> str:
    """
    Return the name of the camera that a policy of one image sees, '' for one without a name.

    configured: the parameter cameras.  taken: what the policy asks for (Policy.cameras), empty for
    the first.  Raises ConfigError for one that is not there.
    """
    missing = [name for name in taken if name not in configured]
    if missing:
        raise ConfigError(
            f'the checkpoint takes the cameras {list(taken)} (deployment.json), the parameter '
            f'cameras has {list(configured)}: {", ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} missing. Name the cameras as the checkpoint '
            'does, or correct its deployment.json')
    if len(taken) > 1:
        raise ConfigError(f'the checkpoint takes the cameras {list(taken)}, this version gives a '
                          'policy the images of one')
    return next(iter((*taken, *configured)), '')


class ImageHistory:
    """
    The last images of a camera, to find the one that goes with an image of another.

    One thread adds, another one may look: what both use is replaced as a whole.
    """

    def __init__(self):
        """Begin without an image."""
        self.clear()

    def clear(self):
        """Forget all images."""
        self._images = ()

    def add(self, message):
        """Take an image message; what is a second off it is forgotten."""
        now_ns = stamp_ns(message)
        rest = [kept for kept in self._images[1 - KEPT:]
                if abs(stamp_ns(kept) - now_ns) <= REMEMBERED_NS]
        self._images = (*rest, message)

    def beside(self, time_ns: int, tolerance_s: float, topic: str):
        """
        Return the newest image message that was not taken after a time.

        tolerance_s: how much older it may be; 0 asks for that very stamp (lockstep), else one
        of up to 5 ms later is of the same moment.  topic: to name.  Raises ObservationError.
        """
        images, later_ns = self._images, TOGETHER_NS if tolerance_s else 0
        before = [message for message in images if stamp_ns(message) <= time_ns + later_ns]
        found = max(before, key=stamp_ns, default=None)
        if found is not None and time_ns - stamp_ns(found) <= tolerance_s * 1e9:
            return found
        if not images:
            raise ObservationError(f'no image has come in on {topic}')
        nearest_ns = min((stamp_ns(message) - time_ns for message in images), key=abs)
        raise ObservationError(
            f'no image on {topic} goes with the one that is asked about: the nearest was taken '
            f'{duration_text(nearest_ns * 1e-9)} {"after" if nearest_ns > 0 else "before"} it ('
            + (f'limit: camera_tolerance, {tolerance_s:g} s): synchronize the clocks of the '
               'cameras, or let them send as often' if tolerance_s else
               'in lockstep all cameras are of one tick)'))
