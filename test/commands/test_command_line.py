# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line itself: help, misspellings, exit statuses, what is missing, `| head`."""
from argparse import _HelpAction, BooleanOptionalAction, SUPPRESS
from importlib import import_module
import re
import subprocess
import sys

import pytest
from sqap_vla_ros import cli
from sqap_vla_ros.commands.parser import Parser
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support import requirements

RANGE = re.compile(r'at least|above|[Ff]rom \S+ to|one of|\d, |any ')


def parser_of(name):
    """Return the parser of a command."""
    parser = Parser(prog=name)
    import_module(cli.COMMANDS[name][0]).add_arguments(parser)
    return parser


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_option_says_what_it_is_its_range_and_its_default(name):
    parser = parser_of(name)
    shown = ' '.join(parser.format_help().split())
    for action in parser._actions:
        if isinstance(action, _HelpAction) or action.help == SUPPRESS:
            continue
        assert action.help and len(action.help) > 8, action
        if action.type in (int, float) and not action.choices:
            assert RANGE.search(action.help), (action.option_strings, action.help)
        if action.option_strings and action.nargs != 0 and action.default not in (
                None, '', (), []):
            default = (' '.join(map(str, action.default))
                       if isinstance(action.default, (tuple, list)) else action.default)
            text = ' '.join(Parser()._get_formatter()._expand_help(action).split())
            assert f'(default: {default})' in text and text[:40] in shown, action
        if not isinstance(action, BooleanOptionalAction) and action.nargs != 0:
            assert action.choices or action.metavar or not action.option_strings, action


@pytest.mark.parametrize('arguments, told', [
    (['inferr'], "'inferr' is unknown (did you mean 'infer'?)"),
    (['demo', '--epsiodes', '3'], "no option --epsiodes (did you mean '--episodes'?)"),
    (['infer', 'x', '--imge=y', '--instruction', 'z'], "--imge (did you mean '--image'?)"),
    (['demo', '--max_steps', '3'], "did you mean '--max-steps'?"),
    (['demo', '-keep', '3'], "no option -keep (did you mean '--keep'?)"),
    (['demo', '--control', 'Blank'], "'Blank' is unknown (did you mean 'blank-image'?)"),
    (['bench', 'saftey'], "did you mean 'safety'?"),
    (['demo', '--episodes', 'ten'], "invalid int value: 'ten'"),
    (['train', 'data'], 'the following arguments are required: out'),
    (['infer', '--zzz'], 'there is no option --zzz (see')])
def test_a_command_line_without_sense_is_one_line_that_names_the_nearest(arguments, told, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and told in printed and printed.count('\n') == 1


def test_values_that_look_like_options_are_taken_for_what_they_are():
    given = parser_of('infer').parse_args([
        'x', '--image', 'y', '--instruction', 'z', '--state',
        *'-0.5 -1e-3 .2 0 0 0 1 1'.split()])
    assert given.state[:2] == (-0.5, -1e-3)
    given = parser_of('infer').parse_args(
        ['x', '--image', 'y', '--instruction', '--state of rest'])
    assert given.instruction == '--state of rest'


def test_no_command_shows_all_of_them(capsys):
    assert cli.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == '' and all(f'  {name} ' in printed.err for name in cli.COMMANDS)


def ending(error, monkeypatch):
    """Return the status of a command that raises an error."""
    class Module:

        @staticmethod
        def add_arguments(parser):
            pass

        @staticmethod
        def run(args):
            raise error
    monkeypatch.setattr(cli, 'import_module', lambda name: Module)
    return cli.main(['info'])


@pytest.mark.parametrize('error, status, told', [
    (ConfigError('mend this'), 1, 'sqap-vla info: mend this\n'),
    (ModuleNotFoundError('no', name='mujoco.egl'), 1, "pip install -e '.[sim]'"),
    (ModuleNotFoundError('no', name='robosuite'), 1, "pip install -e '.[sim]'"),
    (ModuleNotFoundError('no', name='rclpy'), 1, 'make setup'),
    (OSError(28, 'No space left on device', 'out/x'), 1,
     'out/x cannot be written: No space left on device'),
    (PermissionError(13, 'Permission denied', 'out/x'), 1, 'out/x cannot be written: Permission'),
    (KeyboardInterrupt(), 130, '')])
def test_each_ending_has_its_status_and_at_most_one_line(error, status, told, monkeypatch, capsys):
    assert ending(error, monkeypatch) == status
    printed = capsys.readouterr().err
    assert told in printed and printed.count('\n') == bool(told)


@pytest.mark.parametrize('error', [
    ModuleNotFoundError('no', name='sqap_vla_ros.typing_error'), ValueError('bug'),
    FileNotFoundError(2, 'No such file', 'x'), BrokenPipeError(32, 'a socket')])
def test_a_bug_keeps_its_traceback(error, monkeypatch):
    with pytest.raises(type(error)):
        ending(error, monkeypatch)


def test_what_a_user_interrupts_while_modules_are_read_has_no_traceback(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt
    monkeypatch.setattr(cli, 'import_module', interrupted)
    assert cli.main(['demo']) == 130
    assert capsys.readouterr().err == ''


def test_a_package_that_is_required_and_missing_is_told_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, 'robosuite', None)
    with pytest.raises(ConfigError, match="no module robosuite.*pip install -e '.\\[sim\\]'"):
        requirements.require(ConfigError, 'numpy', 'robosuite')
    requirements.require(ConfigError, 'numpy')


@pytest.mark.parametrize('stream, status', [('stdout', 141), ('full', 1)])
def test_output_that_nobody_reads_or_holds_ends_quietly(stream, status):
    code = ('import sys; from sqap_vla_ros import cli\n'
            'class Module:\n'
            '    add_arguments = staticmethod(lambda parser: None)\n'
            '    @staticmethod\n'
            '    def run(args):\n'
            '        sys.stdin.readline()\n'
            "        print('x' * 100000)\n"
            '        return 0\n'
            'cli.import_module = lambda name: Module\n'
            "sys.exit(cli.main(['info']))\n")
    with open('/dev/full', 'wb') as full:
        process = subprocess.Popen(
            [sys.executable, '-c', code], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            stdout=full if stream == 'full' else subprocess.PIPE)
        if stream == 'stdout':
            process.stdout.close()
        process.stdin.write(b'\n')
        process.stdin.close()
        told = process.stderr.read().decode()
        assert process.wait() == status
    assert told == '' if stream == 'stdout' else 'No space left' in told and told.count('\n') == 1
