# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Set up everything that `make demo` and `make test` need, then run a command in it.

    python3 scripts/set_up [--ros-distro jazzy] [-- COMMAND [ARGUMENT ...]]

Only steps whose inputs have changed are run. Needs nothing but Python's standard library.
"""
import argparse
import os
from pathlib import Path
import signal
import sys
import time

from causes import cause_of_error
from machine import install_debian_packages
from packages import package_steps
from preflight import check_place, check_python, check_space, check_wheels
from steps import locked, pending, run_steps, Step
from target import choose_target, SetUpError, Target
from workspace import workspace_steps

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the set-up and return its exit status, or become the command after `--`."""
    args = _parser().parse_args()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left
    try:
        check_python(args.python)
        target = choose_target(ROOT, args.python, args.ros_distro)
        steps = package_steps(target) + workspace_steps(target)
        if pending(target, steps):
            set_up(target, steps)
        else:  # also where nothing can be written any more
            install_debian_packages(target, builds=False)
    except SetUpError as error:
        print(f'\nset-up stopped: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        print(f'\nset-up stopped: {cause_of_error(error)}; the next run goes on from here',
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nset-up was interrupted; the next run goes on from here', file=sys.stderr)
        return 130
    print(f'set-up is complete ({time.monotonic() - started:.1f} s): {target.description}',
          flush=True)
    return become(target, args.command) if args.command else 0


def set_up(target: Target, steps: list[Step]) -> None:
    """Do what is pending; what can be refused is refused before anything is downloaded."""
    check_wheels(target)
    check_place(target)
    with locked(target):
        check_space(target)
        install_debian_packages(target)
        run_steps(target, steps)


def become(target: Target, command: list[str]) -> int:
    """Replace this process by a command, found first among those of the environment."""
    os.chdir(target.root)
    os.environ['PATH'] = f'{target.environment / "bin"}{os.pathsep}{os.environ["PATH"]}'
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        print(f'there is no command {command[0]!r} in {target.environment}/bin or PATH',
              file=sys.stderr)
        return 127


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='set_up', description=__doc__.splitlines()[1])
    parser.add_argument('--ros-distro', default='jazzy',
                        help='ROS 2 wheels to use where no ROS 2 is sourced: jazzy or kilted')
    parser.add_argument('--python', default=sys.executable,
                        help='interpreter to make the environment with')
    parser.add_argument('command', nargs='*', help='run this afterwards, in the environment')
    return parser
