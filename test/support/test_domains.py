# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS domains are taken on this machine, by the ports that their participants listen on."""
import socket

from sqap_vla_ros.support.domains import busy_domains, free_domain_id


def test_a_domain_that_is_listened_on_is_busy_and_is_not_chosen():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        domain = free_domain_id()
        assert domain not in busy_domains()
        taken.bind(('', 7400 + 250 * domain))
        assert domain in busy_domains()
        assert all(free_domain_id() != domain for _ in range(300))
