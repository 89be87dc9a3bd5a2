# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The `sqap-vla` command: a table of subcommands, each imported only when it is asked for.

A subcommand's module offers `add_arguments(parser)` and `run(args) -> int`.
"""
import argparse
from collections.abc import Sequence
from importlib import import_module
import sys

from sqap_vla_ros import __version__
from sqap_vla_ros.errors import CheckpointError, ConfigError, ObservationError

# name: (module, one line of help)
COMMANDS = {
    'demo': ('sqap_vla_ros.commands.demo', 'drive the simulated arm through ROS 2 topics'),
    'infer': ('sqap_vla_ros.commands.infer',
              'run one inference on an image file and dump its stages'),
    'convert': ('sqap_vla_ros.commands.convert',
                'quantize a checkpoint of any format into our own'),
    'info': ('sqap_vla_ros.commands.info', 'show what a checkpoint holds and needs'),
    'collect': ('sqap_vla_ros.commands.collect', 'record demonstrations of the scripted expert'),
    'train': ('sqap_vla_ros.commands.train', 'train a policy on recorded demonstrations'),
    'eval': ('sqap_vla_ros.commands.eval', 'measure success rates without ROS'),
    'bench': ('sqap_vla_ros.commands.bench',
              'time SQAP against plain float32; `bench safety` tries the safety gate'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one subcommand and return its exit status.

    Errors that the user can fix are printed as one line (status 1); others keep their traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    args, rest = _overview().parse_known_args(arguments[:1])
    module = import_module(COMMANDS[args.command][0])
    parser = argparse.ArgumentParser(
        prog=f'sqap-vla {args.command}', description=COMMANDS[args.command][1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    module.add_arguments(parser)
    options = parser.parse_args(rest + arguments[1:])
    try:
        return module.run(options)
    except (CheckpointError, ConfigError, ObservationError) as error:
        print(f'sqap-vla {args.command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _overview() -> argparse.ArgumentParser:
    lines = [f'  {name:<10}{text}' for name, (_, text) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog='sqap-vla', usage='sqap-vla COMMAND [OPTION ...]',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Vision-language-action policies for ROS 2 arms.\n\n' + '\n'.join(lines),
        epilog='sqap-vla COMMAND --help shows the options of a command.')
    parser.add_argument('--version', action='version', version=f'sqap_vla_ros {__version__}')
    parser.add_argument('command', choices=COMMANDS, help=argparse.SUPPRESS)
    return parser


if __name__ == '__main__':
    sys.exit(main())
