# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla watch` and `sqap-vla run` do on the graph, where there is no `ros2` command."""
