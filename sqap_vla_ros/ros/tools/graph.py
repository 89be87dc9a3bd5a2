# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which nodes and topics there are, and what to tell a user who sees none."""

from __future__ import annotations

from collections.abc import Iterator
import os

from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.node import NodeNameNonExistentError
from rclpy.qos import qos_check_compatible, QoSCompatibility
from rclpy.utilities import get_rmw_implementation_identifier

from ...errors import ConfigError
from ...support.domains import busy_domains
from ...support.validation import nearest

ACTION = 'sqap_vla_ros/action/RunPolicy'
FIND_S = 5.0
SETTLE_S = 0.6  # after the first node has been found, for others


def vla_nodes(node) -> dict[str, str]:
    """Return {fully qualified name: name of its action run_policy} of all vla_nodes."""
    found = {}
    for name, namespace in node.get_node_names_and_namespaces():
        try:
            actions = get_action_server_names_and_types_by_node(node, name, namespace)
        except NodeNameNonExistentError:  # it has just left
            continue
        for action, types in actions:
            if ACTION in types:
                found[full_name(name, namespace)] = action
    return found


def full_name(name: str, namespace: str) -> str:
    """Return a node's fully qualified name."""
    return f'{namespace.rstrip("/")}/{name}'


def find_nodes(session, wanted: str = '', timeout_s: float = FIND_S) -> dict[str, str]:
    """
    Return vla_nodes() as soon as there are some; of them the one that is wanted, if any is.

    Raises ConfigError, saying which nodes there are, if none turns up in time.
    """
    def found():
        return matching(vla_nodes(session.node), wanted)
    if session.until(found, timeout_s):
        session.until(lambda: False, SETTLE_S)
        return found()
    raise ConfigError(missing(session.node, vla_nodes(session.node), wanted, timeout_s))


def find_node(session, wanted: str, timeout_s: float) -> tuple[str, str]:
    """
    Return (fully qualified name, action's name) of the one vla_node that is meant.

    Another robot's node may be seen last: unless the wanted one is named in full, the whole time
    passes before one that is alone is taken, and it is told. Raises ConfigError where none or
    several are there, KeyboardInterrupt after Ctrl-C.
    """
    if not wanted:
        print(f'looking for vla_nodes for {timeout_s:g} s; --node NAME takes less', flush=True)
    nodes = {}

    def is_named() -> bool:
        nodes.update(vla_nodes(session.node))
        return f'/{wanted.lstrip("/")}' in nodes
    if not session.until(is_named, timeout_s) and session.interrupts:
        raise KeyboardInterrupt
    found = matching(nodes, wanted)
    if not found:
        raise ConfigError(missing(session.node, nodes, wanted, timeout_s))
    if len(found) > 1:
        raise ConfigError(f'there are {len(found)} vla_nodes, {", ".join(sorted(found))}: name '
                          'one by --node')
    name, action = next(iter(found.items()))
    if name != f'/{wanted.lstrip("/")}':
        print(f'{name} is the only one', flush=True)
    return name, action


def matching(nodes: dict[str, str], wanted: str) -> dict[str, str]:
    """Return those of the nodes that a name means: all of '', else by full or last name."""
    if not wanted:
        return nodes
    full = {name: action for name, action in nodes.items() if name == f'/{wanted.lstrip("/")}'}
    return full or {name: action for name, action in nodes.items()
                    if '/' not in wanted and name.rpartition('/')[2] == wanted}


def missing(node, there: dict[str, str], wanted: str, waited_s: float) -> str:
    """Return what to tell where no vla_node, or not the wanted one, is there."""
    return unknown(wanted, list(there)) if there else nobody(node, waited_s)


def unknown(wanted: str, there: list[str]) -> str:
    """Return what to tell of a node that is not there."""
    return (f'no vla_node {wanted!r}; there: {", ".join(sorted(there))}'
            + nearest(f'/{wanted.lstrip("/")}', there))


def nobody(node, waited_s: float) -> str:
    """Return what to tell a user whose vla_node is not seen: who is there, and where we look."""
    others = sorted(full_name(*names) for names in node.get_node_names_and_namespaces()
                    if full_name(*names) != node.get_fully_qualified_name())
    domain = os.environ.get('ROS_DOMAIN_ID', '') or '0'
    elsewhere = [other for other in busy_domains() if str(other) != domain]
    lines = [f'no vla_node has been seen for {waited_s:g} s on ROS_DOMAIN_ID {domain} '
             f'({get_rmw_implementation_identifier()}, {_range()})',
             '  nodes there: ' + (', '.join(others) or 'none')]
    if elsewhere:
        lines.append('  this machine also takes part in ROS domain '
                     f'{", ".join(map(str, elsewhere))}: if the node is there, say '
                     f'`ROS_DOMAIN_ID={elsewhere[0]} sqap-vla ...`')
    lines.append('  start one by `vla_node` or vla.launch.py; of one that runs, domain, '
                 'discovery range and RMW_IMPLEMENTATION must be those above')
    return '\n'.join(lines)


def _range() -> str:
    """Return how far this process looks for others, by the variables that decide it."""
    names = ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY', 'ROS_STATIC_PEERS',
             'ROS_DISCOVERY_SERVER')
    given = [f'{name}={os.environ[name]}' for name in names if os.environ.get(name)]
    return ', '.join(given) or 'ROS_AUTOMATIC_DISCOVERY_RANGE not set: this subnet'


def topic_lines(node, wanted: str = '') -> Iterator[str]:
    """Yield the graph's topics, with types, who publishes and who subscribes, and what is off."""
    own = node.get_fully_qualified_name()
    for topic, types in sorted(node.get_topic_names_and_types()):
        publishers = [end for end in node.get_publishers_info_by_topic(topic)
                      if _name(end) != own]
        subscribers = [end for end in node.get_subscriptions_info_by_topic(topic)
                       if _name(end) != own]
        ends = {_name(end) for end in publishers + subscribers}
        if '/_' in topic or not ends or (wanted and wanted not in ends):
            continue
        yield f'{topic}  {", ".join(types)}'
        yield f'    from {_names(publishers)}'
        yield f'    to   {_names(subscribers)}'
        yield from _misfits(publishers, subscribers)


def _name(end) -> str:
    return full_name(end.node_name, end.node_namespace)


def _names(ends) -> str:
    return ', '.join(sorted({_name(end) for end in ends})) or 'nobody'


def _misfits(publishers, subscribers) -> Iterator[str]:
    """Yield the pairs whose QoS keeps them apart."""
    said = set()
    for publisher in publishers:
        for subscriber in subscribers:
            fits, reason = qos_check_compatible(publisher.qos_profile, subscriber.qos_profile)
            text = f'    {_name(publisher)} does not reach {_name(subscriber)}: {reason}'.rstrip()
            if fits == QoSCompatibility.ERROR and text not in said:
                said.add(text)
                yield text
