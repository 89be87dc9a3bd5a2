# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file declares, read beside stand-ins where launch and launch_ros are missing."""

from contextlib import contextmanager
import importlib.util
from pathlib import Path
import sys
from types import ModuleType

NAMES = ('launch', 'launch_ros')


class Kept:
    """Keeps what it was made with, whatever it is called, and that it was made."""

    made = []

    def __init__(self, *args, **options):
        self.args, self.options = args, options
        Kept.made.append(self)

    def __getattr__(self, name):
        return Kept()

    def __call__(self, *args, **options):
        return Kept(*args, **options)


class StandIn(ModuleType):
    """A module that has whatever is imported from it."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (Kept,), {})


class Finder:
    """Finds stand-ins of launch and launch_ros, and their parts."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Return the specification of a stand-in."""
        if name.partition('.')[0] in NAMES:
            return importlib.util.spec_from_loader(name, Finder, is_package=True)

    @staticmethod
    def create_module(spec):
        """Return a stand-in."""
        return StandIn(spec.name)

    @staticmethod
    def exec_module(module):
        """Run nothing."""


@contextmanager
def stand_ins():
    """Let stand-ins be imported in place of launch and launch_ros."""
    taken = {name: sys.modules.pop(name) for name in list(sys.modules)
             if name.partition('.')[0] in NAMES}
    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)
        for name in list(sys.modules):
            if name.partition('.')[0] in NAMES:
                del sys.modules[name]
        sys.modules.update(taken)


def declared_arguments(path: Path) -> dict[str, dict]:
    """Return {name: what DeclareLaunchArgument was given} of a launch file."""
    with stand_ins():
        spec = importlib.util.spec_from_file_location(path.name.partition('.')[0], path)
        module = importlib.util.module_from_spec(spec)
        Kept.made.clear()
        spec.loader.exec_module(module)
        module.generate_launch_description()
        return {item.args[0]: item.options for item in Kept.made
                if type(item).__name__ == 'DeclareLaunchArgument'}
