# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which ROS domains this machine takes part in.

Every participant of domain d listens on UDP port 7400 + 250 d (multicast discovery).
"""
from pathlib import Path
import random

FIRST_PORT, PORTS = 7400, 250
# Above 101 the ports of a ROS domain meet Linux's ephemeral ports.
DOMAINS = range(1, 102)


def busy_domains() -> list[int]:
    """Return the ROS domains in which a process of this machine takes part, 0 among them."""
    ports = set()
    for table in ('/proc/net/udp', '/proc/net/udp6'):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        ports |= {int(line.split()[1].rpartition(':')[2], 16) for line in lines}
    return [domain for domain in (0, *DOMAINS) if FIRST_PORT + PORTS * domain in ports]


def free_domain_id() -> int:
    """Return a ROS domain in which no process of this machine takes part."""
    busy = busy_domains()
    return random.choice([domain for domain in DOMAINS if domain not in busy] or DOMAINS)
