# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The subcommands of `sqap-vla`: options in, one program run. The only users of argparse."""
