# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm is told to do, by whom, and what was heard that may not begin by itself.

The topic tells one thing after another; a goal of ~/run_policy tells one for as long as it runs.
Pure: it knows no ROS and no policy, only a function that says what a policy takes.
"""

from __future__ import annotations

from collections.abc import Callable
import unicodedata

from ..errors import ConfigError, ObservationError

SHOWN = 60  # characters of a text that a message repeats
REMEMBERED = 64  # texts that a topic said while a goal ran
HEARD_BEFORE = 'was heard before activation'
LATCHED = 'is latched, and may be from before activation'
BAD_BYTES = '\ufffd'  # what ROS makes of bytes that are no UTF-8


def why_unusable(text: str, max_length: int) -> str:
    """Return why a text can't be an instruction at all; '' if it can. Costs nothing if long."""
    if len(text) > max_length:
        return (f'the instruction has {len(text)} characters, at most {max_length} are taken '
                '(parameter max_instruction_length): shorten it')
    if not text:
        return 'the instruction is empty'
    if BAD_BYTES in text:
        return f'the instruction {shown(text)} is no valid UTF-8: publish plain text'
    for character in text:
        if unicodedata.category(character)[0] == 'C':
            return (f'the instruction {shown(text)} holds control characters '
                    f'({ascii(character)}): publish one line of plain text')
    return ''


def shown(text: str) -> str:
    """Return a text in quotes for a message, shortened where it is long."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + '...')


class Instructions:
    """
    The instruction in force, and what was heard beside it.

    text: what is to be done, '' for nothing.  has_goal: whether a goal says so, not the topic.
    refused: why what was heard last is not followed.  held, held_why: what was heard and begins
    only with resume(), or when it is published again.
    """

    def __init__(self, check: Callable[[str], None], max_length: int = 256,
                 start_on_activate: bool = False):
        """check(text): raises ObservationError or ConfigError for what the policy can't follow."""
        self._check = check
        self.max_length, self.start_on_activate = max_length, start_on_activate
        self.is_active = False
        self._on_topic_meanwhile = set()  # while the last goal ran
        self._drop()

    def hear(self, text: str, old: str = '') -> bool:
        """
        Take what the topic says; return whether what is in force has changed.

        old: why it may be from before activation, '' if it is new; then it never takes the place
        of what is in force.  An empty text ends everything, a goal too; any other leaves a goal
        alone.  What is refused ends what the topic said before.
        """
        before = self.text, self.has_goal
        if not self.is_active:
            old = HEARD_BEFORE
        elif self.start_on_activate:
            old = ''
        elif old and self.text:
            return False
        text = self._plain(text)
        if not text:
            self._drop()
        elif self.has_goal:
            if len(self._on_topic_meanwhile) < REMEMBERED:
                self._on_topic_meanwhile.add(text[:self.max_length])
        elif text != self.text:
            self._take(text, old)
        return (self.text, self.has_goal) != before

    def why_refused(self, text: str) -> str:
        """Return why a text would not be followed, '' if it would be."""
        reason = why_unusable(self._plain(text), self.max_length)
        if not reason:
            try:
                self._check(self._plain(text))
            except (ObservationError, ConfigError) as error:
                reason = str(error)
        return reason

    def begin_goal(self, text: str) -> None:
        """Do what a goal says; the topic is not followed until end()."""
        self._drop()
        self._on_topic_meanwhile = set()
        self.text, self.has_goal = self._plain(text), True

    def end_goal(self) -> None:
        """Do nothing; what the topic said before or meanwhile does not begin."""
        self._drop()

    def activate(self) -> None:
        """Begin what was heard before, where start_on_activate says so."""
        self.is_active = True
        if self.start_on_activate:
            self.resume()

    def deactivate(self) -> None:
        """Do nothing; what the topic said is kept for the next activation."""
        kept = '' if self.has_goal else self.text or self.held
        self.is_active = False
        self._drop()
        if kept:
            self._hold(kept, HEARD_BEFORE)

    def resume(self) -> str:
        """Begin what is held; return it, '' if there is none."""
        begun = self.held
        if begun:
            self._drop()
            self.text = begun
            self._on_topic_meanwhile = set()
        return begun

    @property
    def note(self) -> str:
        """Return what to tell of texts that the topic said while a goal runs; '' for none."""
        if not (self.has_goal and self._on_topic_meanwhile):
            return ''
        return (f'{shown(min(self._on_topic_meanwhile))} on the topic is not followed while '
                '~/run_policy runs: cancel its goal first')

    def _plain(self, text):
        """Return a text without blanks round it; one that is too long is not looked at."""
        return text if len(text) > self.max_length else text.strip()

    def _take(self, text, old):
        reason = self.why_refused(text)
        repeats = text in self._on_topic_meanwhile
        self._drop()
        if reason:
            self.refused = reason
        elif old:
            self._hold(text, old)
        elif repeats:
            self._hold(text, 'was already on the topic while ~/run_policy ran')
        else:
            self.text = text
            self._on_topic_meanwhile = set()

    def _hold(self, text, why):
        self.held = text
        self.held_why = f'the instruction {shown(text)} {why}'

    def _drop(self):
        self.text = self.refused = self.held = self.held_why = ''
        self.has_goal = False
