# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The `sqap-vla` command: a table of subcommands, each imported only when it is asked for.

A subcommand's module offers `add_arguments(parser)` and `run(args) -> int`.
"""
from argparse import RawDescriptionHelpFormatter, SUPPRESS
from collections.abc import Sequence
from importlib import import_module
import sys

from sqap_vla_ros import __version__
from sqap_vla_ros.commands.parser import Parser
from sqap_vla_ros.errors import CheckpointError, ConfigError, ObservationError
from sqap_vla_ros.support.files import unwritable
from sqap_vla_ros.support.pipes import silence, UNREAD, unread_streams
from sqap_vla_ros.support.requirements import cure
from sqap_vla_ros.support.thread_waiting import wait_briefly

INTERRUPTED = 130

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
    'error': ('sqap_vla_ros.commands.error',
              'measure how far variants are from full precision, on recorded images'),
    'compare': ('sqap_vla_ros.commands.compare',
                'tell whether a replay answers as an earlier one did, for tests'),
    'replay': ('sqap_vla_ros.commands.replay',
               'run a policy over a recording, beside what was done'),
    'check-camera': ('sqap_vla_ros.commands.check_camera',
                     'draw the robot into what a camera sees, and tell what is wrong'),
    'bench': ('sqap_vla_ros.commands.bench',
              'time SQAP against plain float32; `bench safety` tries the safety gate'),
    'watch': ('sqap_vla_ros.commands.watch', 'show live what running vla_nodes say of themselves'),
    'record-demo': ('sqap_vla_ros.commands.record_demo',
                    'write a bag from the LIBERO simulator, without ROS'),
    'record': ('sqap_vla_ros.commands.record', 'write what is said in a live graph into a bag'),
    'play': ('sqap_vla_ros.commands.play', 'play a bag into a live graph'),
    'run': ('sqap_vla_ros.commands.run', 'let a running vla_node follow one instruction'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one subcommand and return its exit status.

    0 for success; 1, with one line, for what the user can mend; 2 for a command line that makes
    no sense; 130 after Ctrl-C; 141, silently, when nobody reads the output any more (`| head`).
    Everything else is a bug and keeps its traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    wait_briefly()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except OSError as error:
        return _ended_output(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _ended_output(error: OSError) -> int:
    """Return the status where stdout cannot be written; raise what is about something else."""
    unread = unread_streams()
    if isinstance(error, BrokenPipeError) and unread:
        silence(unread)
        return UNREAD
    if not unwritable(error):
        raise error
    print(f'sqap-vla: {unwritable(error)}', file=sys.stderr)
    silence([sys.stdout])
    return 1


def _run(arguments: Sequence[str]) -> int:
    if not arguments:
        _overview().print_help(sys.stderr)
        return 2
    name = _overview().parse_args(arguments[:1]).command
    try:
        module = import_module(COMMANDS[name][0])
        parser = Parser(prog=f'sqap-vla {name}', description=COMMANDS[name][1])
        module.add_arguments(parser)
        return module.run(parser.parse_args(arguments[1:]))
    except (CheckpointError, ConfigError, ObservationError) as error:
        return _told(name, str(error))
    except ModuleNotFoundError as error:
        return _told(name, cure(error.name or ''), error)
    except OSError as error:
        return _told(name, unwritable(error), error)


def _told(name: str, text: str | None, error: Exception | None = None) -> int:
    """Print one line; without a text the error is a bug, and keeps its traceback."""
    if not text:
        raise error
    print(f'sqap-vla {name}: {text}', file=sys.stderr)
    return 1


def _overview() -> Parser:
    lines = [f'  {name:<13}{text}' for name, (_, text) in COMMANDS.items()]
    parser = Parser(
        prog='sqap-vla', usage='sqap-vla COMMAND [OPTION ...]',
        formatter_class=RawDescriptionHelpFormatter,
        description='Vision-language-action policies for ROS 2 arms.\n\n' + '\n'.join(lines),
        epilog='sqap-vla COMMAND --help shows the options of a command.')
    parser.add_argument('--version', action='version', version=f'sqap_vla_ros {__version__}')
    parser.add_argument('command', choices=COMMANDS, help=SUPPRESS)
    return parser


if __name__ == '__main__':
    sys.exit(main())
