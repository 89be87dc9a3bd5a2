# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS cannot read of a process's arguments is told with the line and what to write."""
from pathlib import Path
import re
import tempfile

import pytest
import rclpy
from rclpy.node import Node
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.parameter_files import read_sections, Section, values_for, why_unheard
from sqap_vla_ros.ros.start import join_ros
from sqap_vla_ros.ros.yaml_values import with_decimal_lists
import yaml


SHORT = '/**: {ros__parameters: {%s}}'


@pytest.mark.parametrize('text, message', [
    ('/**: {max_linear_speed: 0.1}', "line 1: '0.1' stands outside of ros__parameters: the form"),
    ('max_linear_speed: 0.1', "line 1: '0.1' stands outside of ros__parameters"),
    ('/**:\n  ros__paramters: {a: 0.1}', 'line 2: .*(is ros__paramters meant to be ros__param'),
    ('/**: {ros_parameters: {a: 0.1}}', '(is ros_parameters meant to be ros__parameters?)'),
    ('/**:\n  ros__parameters: {a: 0.1}\n  b: 2', "line 3: '2' stands outside"),
    ('vla_node:', 'line 1: nothing stands outside'), ('/**: {}', 'there is no ros__parameters'),
    ('/**:\n  ros__parameters: {a: 1}\ncamera: [1]', 'line 3: a list stands outside'),
    ('ros__parameters: {a: 0.1}', 'line 1: no node is named above ros__parameters: write /**:'),
    ('/n*: {ros__parameters: {a: 1}}', 'line 1: /n* is no name of a node'),
    ('left arm: {ros__parameters: {a: 1}}', 'line 1: /left arm is no name of a node'),
    (SHORT % 'a: ', 'line 1: a has no value'), (SHORT % 'a: ~', 'a has no value: give it one'),
    (SHORT % 'a: {}', 'a has no value'), (SHORT % 'a: {b: null}', 'a.b has no value'),
    ('/**: {ros__parameters: }', 'ros__parameters has no parameters under it, but nothing'),
    ('/**: {ros__parameters: [a]}', 'ros__parameters has no parameters under it, but a list'),
    ('- a', 'line 1: a list stands outside'), ('hello', "'hello' stands outside"),
    ('', 'is empty'), ('# only a comment', 'is empty'), ('{}', 'is empty'), ('[]', 'is empty'),
    ('/**:\n\tros__parameters: {a: 1}', ', line 2, column 1: .*: it is no YAML; indent'),
    ('/**:\n  ros__parameters:\n    a: [x', ', line 3, column 10: .*: it is no YAML'),
    ('a: 1\n---\nb: 2', 'line 2, column 1: but found another document: it is no YAML'),
    (SHORT % '? [a] : 1', 'line 1: a list is no name'), ('? [a]\n: 1', 'a list is no name'),
    (SHORT % 'a: {b: 1}, c: 2,\n a.b: 3', 'line 2: a.b stands in line 1, too: leave one out'),
    (SHORT % 'a: 1,\n a: 1', 'line 2: a stands in line 1, too'),
    (f'{SHORT % "a: 1"}\n{SHORT % "b: 1"}', 'line 2: /** stands in line 1, too'),
    ('/n: {ros__parameters: {a: 1}}\nn: {ros__parameters: {a: 2}}', 'line 2: a stands in line 1'),
    (SHORT % 'a: &x 1,\n b: *x', 'line 2: *x: ROS knows no such references'),
    (SHORT % 'a: [1, x]', 'a is a list of values of different kinds'),
    (SHORT % 'a: [1.0, true]', 'different kinds'), (SHORT % 'a: [[1], [2]]', 'different kinds'),
    (SHORT % 'a: [a, ~]', 'different kinds'), (SHORT % 'a: [1, "0.5"]', 'different kinds'),
    (b'\xff\xfe\x00', 'cannot be read')])
def test_what_ros_cannot_read_or_would_lose_is_explained_to_launch_and_to_the_process(
        tmp_path, text, message):
    path = tmp_path / 'arm.yaml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as to_process:
        join_ros(['node', '--ros-args', '--params-file', str(path)])
    assert not rclpy.ok()
    with pytest.raises(ConfigError) as to_launch:
        values_for(path, '/node')
    assert str(to_process.value) == str(to_launch.value)
    pattern = '.*'.join(map(re.escape, message.split('.*')))
    assert re.match(f'{re.escape(str(path))}.*{pattern}', str(to_launch.value), re.S)


def test_a_file_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / 'panda.yaml').write_text('')
    for name, told in (('pands.yaml', f'did you mean {tmp_path / "panda.yaml"}?'),
                       ('nowhere/panda.yaml', 'there is no folder'), ('', 'cannot be read')):
        with pytest.raises(ConfigError) as refused:
            read_sections(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value) and told in str(refused.value)


@pytest.mark.parametrize('arguments', [['--nonsense'], ['-p', 'a'], ['-r', 'a']])
def test_arguments_that_are_none_are_told_in_one_line(arguments):
    with pytest.raises(ConfigError, match='ROS cannot read the arguments: .+') as caught:
        join_ros(['node', '--ros-args', *arguments])
    assert '\n' not in str(caught.value) and '.c:' not in str(caught.value)


def test_without_room_for_a_readable_copy_it_is_told_what_to_write(tmp_path, monkeypatch):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**: {ros__parameters: {list: [0.5, 1]}}')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'gone'))
    with pytest.raises(ConfigError, match='Write 1.0 instead of 1, or set TMPDIR'):
        join_ros(['node', '--ros-args', '--params-file', str(path)])


def test_files_of_others_are_refused_in_one_line(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, 'Permission denied', str(path))
    monkeypatch.setattr(Path, 'iterdir', refuse)
    with pytest.raises(ConfigError, match='there is no file .*/arm.yaml$'):
        read_sections(tmp_path / 'arm.yaml')
    for method in ('exists', 'read_text', 'stat', 'is_dir'):
        monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(ConfigError, match='arm.yaml cannot be read: .*Permission denied'):
        read_sections(tmp_path / 'arm.yaml')


@pytest.mark.parametrize('before, after', [
    ('[0.5, -1, 2]', '[0.5, -1.0, 2.0]'), ('[1, .inf]', '[1.0, .inf]'),
    ('a: [1, 2]  # [1, 0.5]', 'a: [1, 2]  # [1, 0.5]'), ('[1, "0.5"]', '[1, "0.5"]'),
    ('[x, 1, 0.5]', '[x, 1, 0.5]'), ('a:\n- 0x10\n- 1e-3', 'a:\n- 16.0\n- 1e-3'),
    ('{a: &n [1, 2.0], b: *n}', '{a: &n [1.0, 2.0], b: *n}'), ('[', '['), ('', ''),
    ('[010, 08, .nan]', '[8.0, 08, .nan]'), ('[00, INF]', '[0.0, INF]')])
def test_whole_numbers_beside_decimal_ones_become_decimal(before, after):
    assert with_decimal_lists(before) == after


@pytest.fixture
def heard():
    """Return what a process's arguments give the node /node, as ROS reads them."""
    def heard(*arguments):
        join_ros(['node', '--ros-args', *map(str, arguments)])
        try:
            node = Node('node')
            values = {name: item.value for name, item in node._parameter_overrides.items()}
            node.destroy_node()
        finally:
            rclpy.shutdown()
        return {name: value if isinstance(value, (str, float, int)) else list(value)
                for name, value in values.items()}
    return heard


def test_ros_takes_a_list_of_whole_and_decimal_numbers(tmp_path, heard):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**: {ros__parameters: {low: [0.5, -1, 0], name: [a, b]}}')
    given = {'low': [0.5, -1.0, 0.0], 'name': ['a', 'b']}
    assert values_for(path, '/node') == given
    assert heard('--params-file', path, '-p', 'high:=[1, .inf, 2.5]') == {
        **given, 'high': [1.0, float('inf'), 2.5]}
    assert yaml.safe_load(path.read_text())['/**']['ros__parameters']['low'] == [0.5, -1, 0]


def test_a_file_has_for_launch_what_it_has_for_ros(tmp_path, heard):
    path = tmp_path / 'arm.yaml'
    values = ('y Y no on TRUE tRue 010 08 0 0x10 -0x1F +5 0o7 1_000 1:30 1e3 1E-3 1. .5 -.inf '
              '.inf inf Infinity INF 2020-01-01 0b11 = "1" "on" -7 [1,2] [1.0,08,-0x10] [y,true] '
              '[-.inf,1] [a,b]').split()
    path.write_text('/**:\n  ros__parameters:\n' + ''.join(
        f'    a{place}: {value}\n' for place, value in enumerate(values)))
    for_ros, for_launch = heard('--params-file', path), values_for(path, '/node')
    assert len(for_launch) == len(values)
    for name, value in for_launch.items():
        assert repr(value) == repr(for_ros[name]), name  # 1 and 1.0 are two things to ROS


@pytest.mark.parametrize('first, second', [('/**', 'node'), ('/*', '/node'), ('/**', '/**/node')])
def test_the_later_section_goes_before_and_may_not_be_for_more_nodes(
        tmp_path, heard, first, second):
    path = tmp_path / 'arm.yaml'
    parts = [f'{first}: {{ros__parameters: {{a: 1, b: 1}}}}\n',
             f'{second}: {{ros__parameters: {{b: 2, c: 2}}}}\n']
    path.write_text(''.join(parts))
    assert values_for(path, '/node') == heard('--params-file', path) == {'a': 1, 'b': 2, 'c': 2}
    path.write_text(''.join(reversed(parts)))
    assert heard('--params-file', path)['b'] == 1
    told = why_unheard(path, read_sections(path), '/node')
    assert told == [] if '*' in second else told == [
        f'parameter file {path}: b of /node (line 1) is overruled by {first} (line 2), since the '
        f'later goes before: put {first} above']


@pytest.mark.parametrize('section, name, is_heard', [
    ('/**', '/a/vla_node', True), ('/vla_node', '/vla_node', True),
    ('/vla_node', '/a/vla_node', False), ('/**/vla_node', '/vla_node', True),
    ('/**/vla_node', '/a/b/vla_node', True), ('/*/vla_node', '/a/vla_node', True),
    ('/*/vla_node', '/vla_node', False), ('/*/vla_node', '/a/b/vla_node', False),
    ('/a/**', '/a/b/vla_node', True), ('/a/**', '/ab/vla_node', False),
    ('/*', '/vla_node', True), ('/a/vla_node', '/a/vla_nodes', False)])
def test_sections_are_for_the_nodes_that_ros_takes_them_for(section, name, is_heard):
    assert Section(section, 1, {}).is_for(name) == is_heard
