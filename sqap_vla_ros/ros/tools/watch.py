# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla watch`: what vla_nodes say of themselves, live; see commands/watch.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
import math
import os
import shutil
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState

from .graph import find_nodes, matching, topic_lines, vla_nodes
from .session import Session
from .statuses import ERROR, NodeStatuses, report, split, Status, summary
from .. import qos

ONCE_S = 2.5  # enough for two arrays of each node, between which rates are counted
LOOK_S = 2.0  # between looks at which nodes there are, and in which states
SUMMARY_S = 10.0  # between summaries where the output is no terminal
DRAW_S = 0.5
SETTLED_S, LONGEST_S = 2.0, 10.0  # of a list of topics that stays as it is
FAILED = 3
COLOURS = {1: '\x1b[33m', 2: '\x1b[31m', 3: '\x1b[35m'}  # by level
OTHER_SCREEN, FIRST_SCREEN, PLAIN = '\x1b[?1049h', '\x1b[?1049l', '\x1b[0m'


class Heard:
    """The statuses of all nodes, from /diagnostics; on_new(node, item, status): for new ones."""

    def __init__(self, node):
        """Listen as long as the node lives."""
        self.nodes: dict[str, NodeStatuses] = {}
        self.on_new: Callable = lambda *_: None
        self._subscription = node.create_subscription(
            DiagnosticArray, '/diagnostics', self._take, qos.DIAGNOSTICS)

    def of(self, name: str) -> NodeStatuses:
        """Return a node's statuses, none if it has said nothing."""
        return self.nodes.get(name) or NodeStatuses()

    def _take(self, message):
        arrays: dict[str, dict[str, Status]] = {}
        for status in message.status:
            node, item = split(status.name)
            arrays.setdefault(node, {})[item] = Status(
                ord(status.level), status.message,
                {value.key: value.value for value in status.values})
        for node, items in arrays.items():
            statuses = self.nodes.setdefault(node, NodeStatuses())
            for item in statuses.hear(time.monotonic(), items):
                self.on_new(node, item, items[item])


class States:
    """The lifecycle states of nodes, asked for without waiting."""

    def __init__(self, node):
        """Ask by this node's clients."""
        self._node, self._clients, self._answers = node, {}, {}
        self._states: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._states.get(name, '')

    def ask(self, names) -> None:
        """Ask these nodes, unless they owe an answer; what they answer is there later."""
        for name in names:
            if name not in self._clients:
                self._clients[name] = self._node.create_client(GetState, f'{name}/get_state')
            client, last = self._clients[name], self._answers.get(name)
            if client.service_is_ready() and (last is None or last.done()):
                self._answers[name] = client.call_async(GetState.Request())
                self._answers[name].add_done_callback(partial(self._take, name))

    def _take(self, name, answer):
        if answer.exception() is None and answer.result() is not None:
            self._states[name] = answer.result().current_state.label


class Watch:
    """Who is watched, and what is known of them."""

    def __init__(self, session: Session, wanted: str):
        """Find the nodes; raises ConfigError, with who is there, if there are none."""
        self._session, self._wanted = session, wanted
        self.heard, self.states = Heard(session.node), States(session.node)
        self.names = sorted(find_nodes(session, wanted))
        self.states.ask(self.names)
        self._looked_s = time.monotonic()

    def look(self) -> None:
        """Look for nodes that came, and ask for the states, now and then."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        self._looked_s = time.monotonic()
        self.names = sorted({*self.names, *matching(vla_nodes(self._session.node), self._wanted)})
        self.states.ask(self.names)

    def summary(self, name: str) -> str:
        """Return one line about a node."""
        return summary(name, self.states[name], self.heard.of(name), time.monotonic())

    def lines(self, with_values: bool) -> Iterator[tuple[int, str]]:
        """Yield (level, line) about all nodes."""
        for name in self.names:
            statuses = self.heard.of(name)
            level = ERROR if statuses.silent_s(time.monotonic()) and statuses.items else 0
            yield level, self.summary(name)
            yield from report(statuses, with_values)
            if not statuses.items:
                yield 0, '  has said nothing in /diagnostics: it tells more once it is configured'


def watch(node: str, once: bool, topics: bool, values: bool) -> int:
    """
    Show the statuses of one or all vla_nodes, or the topics of the graph.

    Returns 0; with `once` FAILED if a status is an error; 130 after Ctrl-C.  Raises ConfigError
    if no node is seen.
    """
    with Session('watch') as session:
        if topics:
            return show_topics(session, node)
        if once:
            return show_once(session, node, values)
        if sys.stdout.isatty():
            return show_screen(session, node, values)
        return show_changes(session, node)


def show_topics(session: Session, node: str) -> int:
    """Print topics, with who is at their ends."""
    name = next(iter(find_nodes(session, node))) if node else ''
    lines = settled(session, lambda: list(topic_lines(session.node, name)))
    print('\n'.join(lines) or 'no topics: nobody else is on this ROS domain')
    return 0


def settled(session: Session, look):
    """Return what look() gives once it stays the same: who is there is found bit by bit."""
    last, since_s = None, time.monotonic()

    def stays() -> bool:
        nonlocal last, since_s
        seen, now_s = look(), time.monotonic()
        if seen != last:
            last, since_s = seen, now_s
        return now_s - since_s >= SETTLED_S
    session.until(stays, LONGEST_S)
    return last


def show_once(session: Session, node: str, values: bool) -> int:
    """Print what is known after a moment; FAILED if something of it is an error."""
    watched = Watch(session, node)
    session.until(lambda: False, ONCE_S)
    lines = list(watched.lines(values))
    print('\n'.join(line for _, line in lines))
    return FAILED if any(level >= ERROR for level, _ in lines) else 0


def show_changes(session: Session, node: str) -> int:
    """Print a line for each status that changes, and a summary now and then."""
    watched = Watch(session, node)

    def say(name, item, status):
        if name in watched.names:
            print(f'{time.strftime("%H:%M:%S")} {name} {item} {status.level_name} '
                  f'{status.message}', flush=True)
    for name in watched.names:
        for item, status in watched.heard.of(name).items.items():
            say(name, item, status)
    watched.heard.on_new = say
    due_s = time.monotonic() + 1.5
    while not session.interrupts:
        session.until(lambda: time.monotonic() > due_s, math.inf)
        watched.look()
        if time.monotonic() > due_s:
            due_s = time.monotonic() + SUMMARY_S
            for name in watched.names:
                print(f'{time.strftime("%H:%M:%S")} {watched.summary(name)}', flush=True)
    return 130


def show_screen(session: Session, node: str, values: bool) -> int:
    """Draw everything again and again, until Ctrl-C."""
    print('looking for vla_nodes ...', end='\r', flush=True)
    watched, lines = Watch(session, node), []
    print(OTHER_SCREEN, end='')
    try:
        while not session.interrupts:
            lines = list(watched.lines(values))
            print(screen(lines, shutil.get_terminal_size()), end='', flush=True)
            session.until(lambda: False, DRAW_S)
            watched.look()
    finally:
        print(FIRST_SCREEN + '\n'.join(line for _, line in lines), flush=True)
    return 130


def screen(lines: list[tuple[int, str]], size) -> str:
    """Return what draws (level, line)s over the last ones; size: the terminal's."""
    colours = {} if os.environ.get('NO_COLOR') else COLOURS
    drawn = ['sqap-vla watch, Ctrl-C ends\x1b[K']
    for level, line in lines[:size.lines - 2]:
        text = line[:size.columns - 1]
        drawn.append((f'{colours[level]}{text}{PLAIN}' if level in colours else text) + '\x1b[K')
    return '\x1b[H' + '\r\n'.join(drawn) + '\x1b[J'
