# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla error`: see action_error/run.py."""

from __future__ import annotations

from pathlib import Path

from .eval import numbers_of, texts_of
from .options import add_policy_arguments, CHECKPOINT, policy_options
from ..action_error.run import ErrorOptions, VARIANTS
from ..support.resources import checkpoint_path
