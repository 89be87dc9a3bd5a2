# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A real browser for the tests of pages, without a window and without a package for it.

It speaks the Chrome DevTools Protocol through two pipes, so that no port is opened: JSON
messages, each ended by a zero byte (chromium --remote-debugging-pipe).
"""
from __future__ import annotations

import base64
import json
import os
from pathlib import Path
import select
import shutil
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
LIMIT_S = 60.0
KEYS = {  # key: (code, number)
    'ArrowLeft': ('ArrowLeft', 37), 'ArrowUp': ('ArrowUp', 38), 'ArrowRight': ('ArrowRight', 39),
    'ArrowDown': ('ArrowDown', 40), 'PageUp': ('PageUp', 33), 'PageDown': ('PageDown', 34),
    'Home': ('Home', 36), 'End': ('End', 35), 'Tab': ('Tab', 9), ' ': ('Space', 32)}


def browser_path() -> str | None:
    """Return where a browser is, None where none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab of a browser that was started for it."""

    def __init__(self, directory: Path):
        """Start it with its files below a directory."""
        commands, self._out = _high_pipe()
        self._in, answers = _high_pipe()
        arguments = [
            browser_path(), '--headless=new', '--remote-debugging-pipe', '--no-sandbox',
            '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage', '--hide-scrollbars',
            '--disable-background-networking', '--disable-component-update', '--disable-sync',
            '--disable-extensions', f'--user-data-dir={directory / "profile"}', 'about:blank']
        log = os.open(directory / 'browser.log', os.O_WRONLY | os.O_CREAT, 0o644)
        self._pid = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=[
            (os.POSIX_SPAWN_DUP2, commands, 3), (os.POSIX_SPAWN_DUP2, answers, 4),
            (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)])
        for descriptor in (commands, answers, log):
            os.close(descriptor)
        self._number, self._rest, self._session, self._events = 0, b'', None, []
        tab = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=tab, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self._session = None
        self.call('Browser.close')
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params) -> dict:
        """Return what a method of the protocol returns."""
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            found = self._message()
            if found.get('id') == self._number:
                if 'error' in found:
                    raise RuntimeError(f'{method}: {found["error"]}')
                return found['result']
            self._events.append(found)

    def _message(self) -> dict:
        end = time.monotonic() + LIMIT_S
        while b'\0' not in self._rest:
            if not select.select([self._in], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f'the browser said nothing for {LIMIT_S:.0f} s')
            part = os.read(self._in, 1 << 20)
            if not part:
                raise ConnectionError('the browser ended')
            self._rest += part
        message, self._rest = self._rest.split(b'\0', 1)
        return json.loads(message)

    def show(self, path: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a file as a reader would, in a window of this size, and forget what was before."""
        self.resize(width, height)
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
        self.call('Page.navigate', url='about:blank')
        self._wait_for('Page.loadEventFired')
        self._events.clear()
        self.call('Page.navigate', url=path.resolve().as_uri())
        self._wait_for('Page.loadEventFired')

    def _wait_for(self, method: str) -> None:
        while not any(event.get('method') == method for event in self._events):
            self._events.append(self._message())
        self._events = [event for event in self._events if event.get('method') != method]

    def resize(self, width: int, height: int) -> None:
        """Make the window another size, px; narrow ones are a phone's."""
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)

    def run(self, expression: str):
        """Return the value of an expression in the page, or of its promise."""
        found = self.call('Runtime.evaluate', expression=expression, returnByValue=True,
                          awaitPromise=True)
        if 'exceptionDetails' in found:
            raise RuntimeError(f'{expression}: {found["exceptionDetails"]}')
        return found['result'].get('value')

    def press(self, key: str) -> None:
        """Press and release a key, by its name or letter."""
        code, number = KEYS.get(key) or (f'Key{key.upper()}', ord(key.upper()))
        text = {'text': key} if len(key) == 1 else {}
        self.call('Input.dispatchKeyEvent', type='keyDown', key=key, code=code,
                  windowsVirtualKeyCode=number, **text)
        self.call('Input.dispatchKeyEvent', type='keyUp', key=key, code=code,
                  windowsVirtualKeyCode=number)

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first place (x, y), px, go to the others and release it."""
        mouse = {'button': 'left', 'clickCount': 1}
        self.call('Input.dispatchMouseEvent', type='mousePressed', x=places[0][0],
                  y=places[0][1], buttons=1, **mouse)
        for x, y in places[1:]:
            self.call('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y, buttons=1,
                      button='left')
        self.call('Input.dispatchMouseEvent', type='mouseReleased', x=places[-1][0],
                  y=places[-1][1], **mouse)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Scroll an element into view; return its left, top, width and height, px."""
        return tuple(self.run(
            f'(() => {{const node = document.querySelector({json.dumps(selector)}); '
            'node.scrollIntoView({block: "center"}); const box = node.getBoundingClientRect(); '
            'return [box.left, box.top, box.width, box.height]})()'))

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        left, top, width, height = self.box(selector)
        self.drag((left + width / 2, top + height / 2))

    def problems(self) -> list[str]:
        """Return errors and warnings of the page: of scripts, its console and its policy."""
        self.run('0')  # events that happened before come before the answer
        return [json.dumps(event['params']) for event in self._events
                if event.get('method') in ('Runtime.exceptionThrown', 'Log.entryAdded')
                or event.get('method') == 'Runtime.consoleAPICalled'
                and event['params']['type'] in ('error', 'warning', 'assert')]

    def requests(self) -> list[str]:
        """Return the addresses that it asked for, but for those that hold what they are."""
        self.run('0')
        addresses = [event['params']['request']['url'] for event in self._events
                     if event.get('method') == 'Network.requestWillBeSent']
        return [address for address in addresses if not address.startswith('data:')]

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        data = self.call('Page.captureScreenshot', captureBeyondViewport=whole, **(
            {'clip': {**self.call('Page.getLayoutMetrics')['cssContentSize'], 'scale': 1}}
            if whole else {}))['data']
        path.write_bytes(base64.b64decode(data))


def _high_pipe() -> tuple[int, int]:
    """Return a pipe whose ends are not among the numbers that the browser is given."""
    ends = []
    for low in os.pipe():
        ends.append(os.dup(low))
        while ends[-1] < 10:
            ends[-1] = os.dup(ends[-1])
        os.close(low)
    return tuple(ends)
