# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an image and the camera that TF and camera_info describe belong together."""
