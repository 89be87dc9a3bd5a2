# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins of launch, which has no wheels: they keep what they were given."""

from contextlib import contextmanager
import importlib.util
import sys
from types import ModuleType

from sqap_vla_ros.support.resources import share_directory

FACTORIES = tuple(f'sqap_vla_ros.ros.launching.{name}'
                  for name in ('nodes', 'gazebo_nodes', 'replay_nodes'))
NAMES = {
    'launch': ['LaunchDescription'],
    'launch.actions': ['DeclareLaunchArgument', 'ExecuteProcess', 'IncludeLaunchDescription',
                       'LogInfo', 'OpaqueFunction', 'RegisterEventHandler',
                       'SetEnvironmentVariable', 'Shutdown', 'TimerAction'],
    'launch.event_handlers': ['OnProcessExit'],
    'launch.launch_description_sources': ['PythonLaunchDescriptionSource'],
    'launch.substitutions': [], 'launch_ros': [],
    'launch_ros.actions': ['LifecycleNode', 'Node'],
    'launch_ros.event_handlers': ['OnStateTransition'],
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


@contextmanager
def stand_ins():
    """Let the stand-ins be imported in place of launch, and forget what was made of them."""
    taken = {name: sys.modules.pop(name) for name in list(sys.modules)
             if name.partition('.')[0] in ('launch', 'launch_ros') or name in FACTORIES}
    for name, members in NAMES.items():
        module = sys.modules[name] = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Kept,), {}))
    sys.modules['launch.substitutions'].LaunchConfiguration = Configuration
    try:
        yield
    finally:
        for name in (*NAMES, *FACTORIES):
            sys.modules.pop(name, None)
        sys.modules.update(taken)


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


def declared_arguments(name):
    """Return {name: keyword arguments} of what the launch file of this name declares."""
    with stand_ins():
        return arguments(load_file(name))
