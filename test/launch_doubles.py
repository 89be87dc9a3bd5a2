# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins of launch, which has no wheels: they keep what they were given."""

import importlib.util
import sys
from types import ModuleType

from sqap_vla_ros.support.resources import share_directory

FACTORIES = 'sqap_vla_ros.ros.launching.nodes', 'sqap_vla_ros.ros.launching.gazebo_nodes'
NAMES = {
    'launch': ['LaunchDescription'],
    'launch.actions': ['DeclareLaunchArgument', 'IncludeLaunchDescription', 'LogInfo',
                       'OpaqueFunction', 'SetEnvironmentVariable', 'Shutdown'],
    'launch.launch_description_sources': ['PythonLaunchDescriptionSource'],
    'launch.substitutions': [], 'launch_ros': [],
    'launch_ros.actions': ['LifecycleNode', 'Node'],
    'launch_ros.parameter_descriptions': ['ParameterFile', 'ParameterValue']}


class Kept:
    """Keeps what it was made with."""

    def __init__(self, *args, **options):
        self.args, self.options = args, options


class Configuration(Kept):
    """A launch argument, as LaunchConfiguration."""

    def perform(self, context):
        """Return its value."""
        return context.launch_configurations[self.args[0]]


def install(monkeypatch):
    """Put the stand-ins in the place of launch."""
    for name, members in NAMES.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Kept,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules['launch.substitutions'].LaunchConfiguration = Configuration
    forget()


def forget():
    """Forget what was imported with the stand-ins."""
    for name in FACTORIES:
        sys.modules.pop(name, None)


def load_file(name):
    """Return a launch file as a module."""
    spec = importlib.util.spec_from_file_location(
        name.partition('.')[0], share_directory() / 'launch' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(module):
    """Return {name: keyword arguments} of what a launch file declares."""
    entities = module.generate_launch_description().args[0]
    return {entity.args[0]: entity.options for entity in entities
            if type(entity).__name__ == 'DeclareLaunchArgument'}
