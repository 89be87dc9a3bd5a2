# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The bag that ships with the tests; test/data/README.md says how it was made."""
from pathlib import Path

LIBERO_BAG = Path(__file__).parent / 'data' / 'libero_bag'
INSTRUCTION = 'put the bowl on the stove'
FIRST_NS, PERIOD_NS = 1_700_000_000_000_000_000, 50_000_000  # of the images' stamps
