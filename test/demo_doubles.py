# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's command lines with doubles in the place of its nodes."""
from pathlib import Path
import sys
from types import SimpleNamespace

from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.demo.options import DemoOptions, node_commands

HERE = Path(__file__).resolve().parent
STOVE, CABINET = 'put the bowl on the stove', 'put the bowl on top of the cabinet'
CONFIG = SimpleNamespace(
    instructions=(STOVE, CABINET), action_space=ActionSpace(execute_steps=4), image={}, cameras=(),
    model=SimpleNamespace(num_visual=256, vision=SimpleNamespace(image_size=224)))


def double_commands(options, frames=None, **roles):
    """Return the demo's commands with doubles; roles: name=role or list of words."""
    commands = node_commands(options, CONFIG, frames)
    double = [sys.executable, str(HERE / 'demo_nodes.py')]
    commands['vla_node'] = [*double, roles.get('vla_node', 'policy')]
    arguments = commands['simulator'][3:]
    if 'simulator' in roles:
        commands['simulator'] = [*double, roles['simulator']]
    else:
        commands['simulator'] = [*double, 'simulator', *arguments]
    return commands


def options_for(directory, **values):
    """Return options for a run of doubles; the checkpoint is never opened."""
    return DemoOptions(**{'out': directory, 'checkpoint': str(directory / 'model'),
                          'episodes': 2, **values})
