# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`sqap-vla demo`: a simulated arm, driven by the policy node through ROS 2 topics.

Nothing in this package imports rclpy: the nodes, and the recorder that listens to them, are
processes of their own.
"""
