# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several robots `sqap-vla run` means, where one is seen after the other."""

from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.tools import graph, watch
from sqap_vla_ros.ros.tools.stopping import stop_all

LEFT, RIGHT = '/left/vla_node', '/right/vla_node'
LOOKS = 6


class Clients:
    """A node whose clients' calls are noted as (service, at which look) and answered or not."""

    def __init__(self, silent=(), refuses=()):
        """silent: who never answers, refuses: who does not stop."""
        self.calls, self.silent, self.refuses, self.look = [], silent, refuses, 0

    def create_client(self, kind, name):
        return SimpleNamespace(service_is_ready=lambda: True,
                               call_async=lambda request: self.call(name))

    def call(self, name):
        self.calls.append((name, self.look))
        owner = name.rpartition('/')[0]
        answer = SimpleNamespace(success=owner not in self.refuses, message='stopped')
        return SimpleNamespace(done=lambda: owner not in self.silent, result=lambda: answer)


@pytest.fixture
def robots(monkeypatch):
    """Return begin(come, **), a session in which each node of come is seen from a look on."""
    def begin(come, interrupts=0, **clients):
        node = Clients(**clients)

        def until(condition, timeout_s):
            for node.look in range(node.look, node.look + (0 if interrupts else LOOKS)):
                if condition():
                    return True
            return False
        monkeypatch.setattr(graph, 'vla_nodes', lambda node: {
            name: f'{name}/run_policy' for name, look in come.items() if node.look >= look})
        return SimpleNamespace(node=node, until=until, interrupts=interrupts)
    return begin


def test_a_robot_is_chosen_only_if_it_stays_alone_or_is_named_in_full(robots, capsys):
    both = {LEFT: 0, RIGHT: LOOKS - 1}
    for wanted in ('', 'vla_node'):
        with pytest.raises(ConfigError, match=f'2 vla_nodes, {LEFT}, {RIGHT}: name one by --node'):
            graph.find_node(robots(both), wanted, 5.0)
    assert 'looking for vla_nodes for 5 s; --node NAME takes less' in capsys.readouterr().out
    session = robots(both)
    assert graph.find_node(session, 'left/vla_node', 5.0) == (LEFT, f'{LEFT}/run_policy')
    assert session.node.look == 0 and capsys.readouterr().out == ''
    assert graph.find_node(robots({RIGHT: 2}), '', 5.0)[0] == RIGHT
    assert f'{RIGHT} is the only one' in capsys.readouterr().out
    with pytest.raises(ConfigError, match=f"no vla_node 'lft/vla_node'.*did you mean '{LEFT}'"):
        graph.find_node(robots(both), 'lft/vla_node', 5.0)


def test_ctrl_c_during_the_search_begins_nothing(robots):
    with pytest.raises(KeyboardInterrupt):
        graph.find_node(robots({LEFT: 0}, interrupts=1), '', 5.0)


def test_stop_stops_all_robots_each_at_once(robots, capsys):
    session = robots({LEFT: 1, RIGHT: 4})
    assert stop_all(session, '') == 0
    assert session.node.calls == [(f'{LEFT}/stop', 1), (f'{RIGHT}/stop', 4)]
    told = capsys.readouterr().out
    assert f'{LEFT}/stop: stopped' in told and f'{RIGHT}/stop: stopped' in told


def test_stop_of_one_robot_does_not_wait_for_others(robots):
    session = robots({LEFT: 1, RIGHT: 1})
    assert stop_all(session, RIGHT) == 0
    assert session.node.calls == [(f'{RIGHT}/stop', 1)] and session.node.look == 1


@pytest.mark.parametrize('wrong', ['silent', 'refuses'])
def test_a_robot_that_does_not_stop_hinders_no_other_and_is_told(robots, capsys, wrong):
    session = robots({LEFT: 0, RIGHT: 3}, **{wrong: (LEFT,)})
    assert stop_all(session, '') == 1
    assert (f'{RIGHT}/stop', 3) in session.node.calls
    assert ('not known' in capsys.readouterr().err) == (wrong == 'silent')


def test_topics_are_listed_when_nobody_else_turns_up(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(watch, 'time', SimpleNamespace(monotonic=lambda: clock[0]))

    def until(condition, timeout_s):
        while not condition() and clock[0] < timeout_s:
            clock[0] += 0.1
    session = SimpleNamespace(until=until)
    assert watch.settled(session, lambda: ['/image', '/tf'] if clock[0] > 1.9 else ['/image']) == [
        '/image', '/tf']
    assert 3.8 < clock[0] < 4.2
    clock[0] = 0.0
    assert watch.settled(session, lambda: [clock[0]]) == [pytest.approx(10.0, abs=0.2)]
