# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which texts are followed, and which of them may begin."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from sqap_vla_ros.control.instructions import Instructions, why_unusable
from sqap_vla_ros.errors import ObservationError

KNOWN = ('put the bowl', 'open the drawer')


def check(text):
    """Know two instructions."""
    if text not in KNOWN:
        raise ObservationError(f'{text!r} is unknown, the nearest is {KNOWN[0]!r}')


def told(**options):
    """Return the instructions of an active node."""
    instructions = Instructions(check, **options)
    instructions.activate()
    return instructions


def test_a_known_text_is_followed_and_repeating_it_changes_nothing():
    instructions = told()
    assert instructions.hear(' put the bowl\n') and instructions.text == KNOWN[0]
    assert not instructions.hear(KNOWN[0])
    assert instructions.hear(KNOWN[1]) and instructions.text == KNOWN[1]


@pytest.mark.parametrize('text, reason', [
    ('bowl the put', "the nearest is 'put the bowl'"), ('x' * 257, 'has 257 characters, at most'),
    ('put\x00the bowl', 'control characters'), ('put\nthe bowl', 'control characters'),
    ('put\u200bthe bowl', 'control characters'), ('put \ufffd', 'no valid UTF-8')])
def test_what_is_refused_ends_what_was_followed(text, reason):
    instructions = told()
    instructions.hear(KNOWN[0])
    assert instructions.hear(text)
    assert instructions.text == '' and reason in instructions.refused
    assert reason in instructions.why_refused(text)
    assert not instructions.resume()


def test_a_text_that_is_too_long_is_not_looked_at():
    """As of 10 MB: neither the policy nor difflib may see it."""
    instructions = told()
    instructions._check = lambda text: pytest.fail('looked at')
    instructions.hear('x ' * 5_000_000)
    assert 'has 10000000 characters' in instructions.refused and len(instructions.refused) < 200


@given(st.text(max_size=300))
def test_only_plain_known_text_is_ever_followed(text):
    instructions = told()
    instructions.hear(text)
    assert instructions.text in ('', *KNOWN)
    if why_unusable(text.strip(), 256):
        assert instructions.text == ''


def test_what_was_heard_before_activation_waits_to_be_said_again_or_resumed():
    instructions = Instructions(check)
    instructions.hear(KNOWN[0])
    instructions.activate()
    assert instructions.text == '' and 'heard before activation' in instructions.held_why
    assert instructions.hear(KNOWN[0]) and instructions.text == KNOWN[0]
    instructions.deactivate()
    instructions.activate()
    assert instructions.text == '' and instructions.resume() == KNOWN[0]


def test_an_old_message_that_comes_in_late_is_held_and_never_replaces_what_is_followed():
    instructions = told()
    assert not instructions.hear(KNOWN[0], old='is latched') and instructions.held == KNOWN[0]
    assert 'is latched' in instructions.held_why
    instructions.hear(KNOWN[1])
    for text in (KNOWN[0], '', 'nonsense'):
        assert not instructions.hear(text, old='is latched')
    assert instructions.text == KNOWN[1]


def test_start_on_activate_begins_with_what_was_heard():
    instructions = Instructions(check, start_on_activate=True)
    instructions.hear(KNOWN[0])
    assert instructions.text == ''
    instructions.activate()
    assert instructions.text == KNOWN[0]
    assert instructions.hear(KNOWN[1], old='is latched') and instructions.text == KNOWN[1]


def test_a_goal_is_followed_alone_and_nothing_begins_when_it_ends():
    instructions = told()
    instructions.hear(KNOWN[1])
    instructions.begin_goal(KNOWN[0])
    assert not instructions.hear(KNOWN[1]) and instructions.text == KNOWN[0]
    assert KNOWN[1] in instructions.note
    instructions.end_goal()
    assert instructions.text == instructions.note == ''
    instructions.hear(KNOWN[1])  # its publisher repeats it: nobody asked anew
    assert instructions.text == '' and 'while ~/run_policy ran' in instructions.held_why
    assert instructions.hear(KNOWN[0]) and instructions.text == KNOWN[0]
    assert instructions.hear(KNOWN[1]) and instructions.text == KNOWN[1]


def test_an_empty_text_ends_a_goal():
    instructions = told()
    instructions.begin_goal(KNOWN[0])
    assert instructions.hear('  ') and not instructions.has_goal and instructions.text == ''


def test_a_goal_does_not_outlive_deactivation():
    instructions = told(start_on_activate=True)
    instructions.begin_goal(KNOWN[0])
    instructions.deactivate()
    instructions.activate()
    assert instructions.text == instructions.held == ''
