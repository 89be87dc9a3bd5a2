# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla run --stop`: ~/stop of every vla_node that is meant, each as soon as it is seen."""

from __future__ import annotations

import sys

from std_srvs.srv import Trigger

from . import graph
from .session import ANSWER_S, Session
from ...errors import ConfigError


def stop_all(session: Session, wanted: str) -> int:
    """
    Stop all vla_nodes, or those that a name means; returns 0 if all have said that they stopped.

    No robot's stop waits for another's, nor for the end of the search. Raises ConfigError where
    none is seen.
    """
    stops = Stops(session.node, wanted)
    print('stopping all vla_nodes that are seen for '
          f'{graph.FIND_S:g} s' if not wanted else f'stopping {wanted}', flush=True)
    session.until(stops.are_done, graph.FIND_S)
    if not stops.clients:
        raise ConfigError(graph.missing(
            session.node, graph.vla_nodes(session.node), wanted, graph.FIND_S))
    session.until(stops.have_answered, ANSWER_S)
    return stops.tell()


class Stops:
    """The calls of ~/stop; clients, answers: by node's name."""

    def __init__(self, node, wanted: str):
        """Nothing is called yet."""
        self.clients, self.answers = {}, {}
        self._node, self._wanted, self._told = node, wanted, set()

    def are_done(self) -> bool:
        """Stop who has come; returns whether the only node that is meant has answered."""
        for name in graph.matching(graph.vla_nodes(self._node), self._wanted):
            if name not in self.clients:
                self.clients[name] = self._node.create_client(Trigger, f'{name}/stop')
        return self.have_answered() and f'/{self._wanted.lstrip("/")}' in self.clients

    def have_answered(self) -> bool:
        """Call whose service is there; returns whether all have answered."""
        for name, client in self.clients.items():
            if name not in self.answers and client.service_is_ready():
                self.answers[name] = client.call_async(Trigger.Request())
            if name in self.answers and self.answers[name].done():
                self._say(name)
        return self._told == set(self.clients)

    def _say(self, name) -> None:
        """Tell a node's answer, once."""
        if name not in self._told:
            self._told.add(name)
            print(f'{name}/stop: {self.answers[name].result().message}', flush=True)

    def tell(self) -> int:
        """Tell who has not answered; returns 0 if all have, and said that they stopped."""
        silent = sorted(set(self.clients) - self._told)
        for name in silent:
            print(f'{name}/stop has not answered: whether the arm stands is not known. Use the '
                  'emergency stop', file=sys.stderr, flush=True)
        return int(bool(silent) or not all(
            self.answers[name].result().success for name in self._told))
