# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Long steps show that they go on; short ones say nothing; processes tell their news."""
from contextlib import closing
import io
import os
import re
import sys
import time

import pytest
from sqap_vla_ros.support import progress as module
from sqap_vla_ros.support.processes import run_jobs, tell
from sqap_vla_ros.support.progress import Progress


class Screen(io.StringIO):
    """Stands for stderr; is_terminal: what it says it is."""

    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


def screen_of(monkeypatch, is_terminal):
    """Return a stderr on which everything is shown after hundredths of a second."""
    for name in ('TICK_S', 'LINE_S', 'PATIENCE_S'):
        monkeypatch.setattr(module, name, 0.02)
    monkeypatch.setattr(sys, 'stderr', Screen(is_terminal))
    return sys.stderr


on_both = pytest.mark.parametrize('is_terminal', [True, False], ids=['terminal', 'log'])


def wait_for(screen, text):
    """Wait until the screen shows a text."""
    give_up_at = time.monotonic() + 60
    while text not in screen.getvalue():
        assert time.monotonic() < give_up_at, screen.getvalue()
        time.sleep(0.01)


@on_both
def test_a_step_that_cannot_be_counted_shows_its_clock(monkeypatch, is_terminal):
    screen = screen_of(monkeypatch, is_terminal)
    with Progress('loading the weights'):
        wait_for(screen, 'loading the weights')
        wait_for(screen, '00:00')


@on_both
def test_a_count_moves_by_itself_and_with_its_note(monkeypatch, is_terminal):
    screen = screen_of(monkeypatch, is_terminal)
    with Progress('collect', total=30, done=10, unit='episode') as progress:
        wait_for(screen, '10/30' if screen.isatty() else '10 of 30 episodes after')
        progress.advance(2, note='1 failed')
        wait_for(screen, '12/30' if screen.isatty() else '12 of 30 episodes after')
        wait_for(screen, '1 failed')
    if not is_terminal:  # 18 to go at the rate of those 2, not of the 10 that were there before
        *_, rate, left = re.findall(r'([\d.]+) episodes/s, ([\d:]+) left', screen.getvalue())[-1]
        minutes, seconds = left.split(':')
        assert abs(int(minutes) * 60 + int(seconds) - 18 / float(rate)) < 1


def test_nothing_is_told_of_the_pace_before_anything_is_done(monkeypatch):
    screen = screen_of(monkeypatch, is_terminal=False)
    with Progress('collect', total=30, done=10, unit='episode'):
        wait_for(screen, '10 of 30 episodes after 00:00\n')


@pytest.mark.parametrize('total, unit, scaled, told', [
    (107, 'image', False, ': 0 of 107 images after'), (1, 'image', False, ': 0 of 1 image after'),
    (2000, 'B', True, ': 0.00 of 2.00k B after')])
def test_words_agree_with_their_numbers(monkeypatch, total, unit, scaled, told):
    screen = screen_of(monkeypatch, is_terminal=False)
    with Progress('replay', total=total, unit=unit, scaled=scaled):
        wait_for(screen, told)


@pytest.mark.parametrize('passed_s, told', [(0.5, ' images/s]'), (60, 's/image]')])
def test_a_bar_is_of_images_a_second_or_seconds_an_image(monkeypatch, passed_s, told):
    screen = screen_of(monkeypatch, is_terminal=True)
    with Progress('replay', total=107, unit='image') as progress:
        wait_for(screen, '? images/s')
        progress._bar.start_t -= passed_s
        progress.advance(6)
        wait_for(screen, told)


@on_both
def test_another_text_and_a_line_between(monkeypatch, is_terminal, capsys):
    screen = screen_of(monkeypatch, is_terminal)
    with Progress('loading', total=3) as progress:
        wait_for(screen, 'loading')
        progress.show('', text='running')
        wait_for(screen, 'running')
        progress.write('a line')
    assert 'a line\n' in capsys.readouterr().out


@on_both
def test_what_is_over_soon_says_nothing_and_takes_no_time(monkeypatch, is_terminal):
    monkeypatch.setattr(sys, 'stderr', Screen(is_terminal))
    begun = time.monotonic()
    with Progress('quick', total=3) as progress:
        if not is_terminal:
            progress.advance(3)
    assert sys.stderr.getvalue() == '' and time.monotonic() - begun < 5


@on_both
def test_an_interrupt_ends_it_and_goes_on_upwards(monkeypatch, is_terminal):
    screen = screen_of(monkeypatch, is_terminal)
    with pytest.raises(KeyboardInterrupt), Progress('converting'):
        raise KeyboardInterrupt
    size = len(screen.getvalue())
    time.sleep(0.1)
    assert len(screen.getvalue()) == size  # nothing ticks any more


def _job(count):
    for number in range(count):
        tell((os.getpid(), number))
    return count


def test_processes_tell_their_news_before_their_jobs_are_counted_as_over():
    heard = []
    with closing(run_jobs(_job, [3, 2], 1, heard.append)) as jobs:
        assert sorted(jobs) == [(2, 2), (3, 3)]
    assert sorted(number for _, number in heard) == [0, 0, 1, 1, 2]
    assert {pid for pid, _ in heard} != {os.getpid()}
    tell('nobody listens here')
