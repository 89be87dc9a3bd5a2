# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether two cameras of a policy are one device: each picture is fine, and one is missing."""

from collections.abc import Mapping, Sequence

from ..errors import ObservationError


class Twins:
    """
    Remembers the last pictures that were asked about, and what it has found.

    Of two topics of one device one is often a picture behind, so a picture is looked for among all
    of the other camera's last second.  No two cameras see the same to the last bit: what was found
    once holds until reset.
    """

    def __init__(self, heard: Mapping, shown: Sequence[str]):
        """heard: what is heard of further cameras, by name.  shown: those that a policy sees."""
        self._heard, self._shown = heard, tuple(shown) if len(shown) > 1 else ()
        self.reset()

    def reset(self) -> None:
        """Forget all pictures, and what was found."""
        self._before, self._found = {}, ''

    def check(self, messages: Mapping) -> None:
        """
        Raise ObservationError where a policy would see one camera twice.

        messages: the image messages that are about to be shown, by camera.
        """
        asked = {name: messages[name] for name in self._shown if name in messages}
        for name, message in asked.items():
            for other in asked:
                if other != name and other in self._heard and not self._found:
                    self._compare(name, (message, self._before.get(name)), other)
        self._before = asked
        if self._found:
            raise ObservationError(self._found)

    def _compare(self, name, messages, other) -> None:
        if any(each is not None and self._heard[other].images.has(each) for each in messages):
            first, second = sorted((name, other), key=self._shown.index)
            self._found = (
                f'cameras {first} and {second} show one picture, the same to the last bit, and '
                f'the policy takes two: are {first}/image and {second}/image remapped to one '
                'device? Call ~/reset once they are not (min_contrast 0 of either compares '
                'nothing)')
