# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
That something goes on: a bar or a clock on a terminal, a line now and then elsewhere.

    with Progress('loading the weights'):
        ...
    with Progress('convert', total=len(parts), unit='part') as progress:
        for part in parts:
            progress.advance(note=part.name)

The clock moves by itself, so a single long step does not look dead. All of it goes to stderr: a
command's answer stays alone on stdout.
"""

from __future__ import annotations

import sys
import threading
import time

TICK_S = 1.0  # a terminal sees the clock move
LINE_S = 10.0  # a log has a line
PATIENCE_S = 1.0  # what is over by then is not worth a word


class Progress:
    """
    Shows how far a step is, as a context manager.

    text: what is done.  total: of how many units, None for a step that cannot be counted.
    unit: one of them, a word such as 'image', or a symbol of one letter such as 'B'.
    done: how many of them an earlier run did.  scaled: 12.3M for 12300000.
    """

    def __init__(self, text: str, total: int | None = None, unit: str = '', done: int = 0,
                 scaled: bool = False):
        """Begin now; nothing is shown of a step that is over within PATIENCE_S."""
        self.text, self.total, self.done = text, total, done
        self._unit, self._scaled, self._note = unit, scaled, ''
        self._begun_with, self._start = done, time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self._bar, self._spoke = None, False
        self._over, self._lock = threading.Event(), threading.RLock()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        """Let the clock run."""
        self._ticker.start()
        return self

    def __exit__(self, *_) -> None:
        """Stop it; a bar stays on the screen, a clock is wiped off."""
        self._over.set()
        self._ticker.join()
        if self._bar is not None:
            self._bar.close()
        elif self._spoke and self.total is not None:
            self._say_line()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count units that are done; note: what else to show."""
        with self._lock:
            self.done += count
            self._note = self._note if note is None else note
            if self._bar is not None:
                self._show()

    def show(self, note: str, text: str | None = None) -> None:
        """Show another note, or another text."""
        self.text = text or self.text
        self.advance(0, note)

    def write(self, text: str) -> None:
        """Print a line to stdout without tearing the bar."""
        with self._lock:
            if self._bar is None:
                print(text, flush=True)
            else:
                self._bar.write(text, sys.stdout)

    def _tick(self) -> None:
        try:
            wait_s = PATIENCE_S if self.is_terminal else LINE_S
            while not self._over.wait(wait_s):
                wait_s = TICK_S if self.is_terminal else LINE_S
                with self._lock:
                    self._show() if self.is_terminal else self._say_line()
        except (BrokenPipeError, ValueError):  # nobody reads stderr any more
            pass

    def _show(self) -> None:
        if self._bar is None:
            self._bar = self._made_bar()
        self._bar.n, self._bar.unit = self.done, self._bar_unit()
        self._bar.set_description_str(self.text, refresh=False)
        self._bar.set_postfix_str(self._note, refresh=False)
        self._bar.refresh()

    def _bar_unit(self) -> str:
        """Return what a bar's rate is of: '2.00 images/s', but '2.00s/image'."""
        values = self._bar.format_dict
        rate = values['rate'] or (
            (values['n'] - values['initial']) / max(values['elapsed'], 1e-9))
        is_word = len(self._unit) > 1
        return ' ' + self._counted(2) if is_word and (rate > 1 or not rate) else self._unit

    def _counted(self, count: float) -> str:
        """Return the unit for so many of it."""
        return self._unit + 's' * (len(self._unit) > 1 and count != 1)

    def _made_bar(self):
        from tqdm import tqdm
        if self.total is None:
            bar = tqdm(desc=self.text, leave=False, dynamic_ncols=True,
                       bar_format='{desc} ... {elapsed}{postfix}')
        else:
            bar = tqdm(desc=self.text, total=self.total, initial=self._begun_with,
                       unit=self._unit, unit_scale=self._scaled, dynamic_ncols=True,
                       smoothing=0.05)
        bar.start_t -= time.monotonic() - self._start
        return bar

    def _say_line(self) -> None:
        from tqdm import tqdm
        self._spoke = True
        seconds = time.monotonic() - self._start
        count = ''
        if self.total is not None:
            shown = tqdm.format_sizeof if self._scaled else str
            count = f'{shown(self.done)} of {shown(self.total)} {self._counted(self.total)} '
        note = f' ({self._note})' if self._note else ''
        print(f'{self.text}: {count}after {tqdm.format_interval(seconds)}{self._pace(seconds)}'
              f'{note}', file=sys.stderr, flush=True)

    def _pace(self, seconds: float) -> str:
        """Return the rate and the time left, as a bar has them; '' while nothing is known."""
        from tqdm import tqdm
        count = self.done - self._begun_with
        if self.total is None or count <= 0 or seconds <= 0:
            return ''
        rate = count / seconds
        shown = f'{rate:.3g}' if rate < 999 else tqdm.format_sizeof(rate)
        left = tqdm.format_interval(max(self.total - self.done, 0) * seconds / count)
        return f', {shown} {self._counted(2)}/s'.replace(' /', '/') + f', {left} left'
