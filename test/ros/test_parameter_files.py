# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS cannot read of a process's arguments is told with the line and what to write."""
import pytest
import rclpy
from rclpy.node import Node
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.parameter_files import Section, why_unreadable, with_decimal_lists
from sqap_vla_ros.ros.start import join_ros
import yaml


@pytest.mark.parametrize('text, message', [
    ('/**: {max_linear_speed: 0.1}', 'line 1: .0.1. stands outside of ros__parameters: the form'),
    ('max_linear_speed: 0.1', 'line 1: .0.1. stands outside of ros__parameters'),
    ('/**:\n  ros__paramters: {a: 0.1}', r'line 2: .*\(is ros__paramters meant to be ros__param'),
    ('/**: {ros_parameters: {a: 0.1}}', r'\(is ros_parameters meant to be ros__parameters\?\)'),
    ('/**:\n  ros__parameters: {a: 0.1}\n  b: 2', "line 3: '2' stands outside"),
    ('ros__parameters: {a: 0.1}', r'line 1: no node is named above ros__parameters: write /\*\*:'),
    ('/**: {ros__parameters: {a: }}', 'line 1: a has no value'),
    ('/**: {ros__parameters: }', 'ros__parameters has no parameters under it'),
    ('/**: {ros__parameters: [a]}', 'ros__parameters has no parameters under it'),
    ('- a', 'line 1: a list stands outside'), ('hello', "'hello' stands outside"),
    ('/**:\n\tros__parameters: {a: 1}', 'is no YAML, line 2, column 1'),
    ('/**: {ros__parameters: {a: {b: 1}, c: 2,\n a.b: 3}}', 'line 2: a.b stands in line 1, too'),
    ('/**: {ros__parameters: {a: [1, x]}}', 'a is a list of values of different kinds'),
    (b'\xff\xfe\x00', 'cannot be read')])
def test_a_file_that_ros_cannot_read_is_explained(tmp_path, text, message):
    path = tmp_path / 'arm.yaml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        join_ros(['node', '--ros-args', '--params-file', str(path)])
    assert not rclpy.ok() and str(path) in why_unreadable(path)


def test_a_file_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / 'panda.yaml').write_text('')
    assert why_unreadable(tmp_path / 'pands.yaml').endswith(
        f'did you mean {tmp_path / "panda.yaml"}?')
    assert 'no folder' in why_unreadable(tmp_path / 'nowhere' / 'panda.yaml')
    assert 'cannot be read' in why_unreadable(tmp_path)
    assert not why_unreadable(tmp_path / 'panda.yaml')


@pytest.mark.parametrize('arguments', [['--nonsense'], ['-p', 'a'], ['-r', 'a']])
def test_arguments_that_are_none_are_told_in_one_line(arguments):
    with pytest.raises(ConfigError, match='ROS cannot read the arguments: .+') as caught:
        join_ros(['node', '--ros-args', *arguments])
    assert '\n' not in str(caught.value) and '.c:' not in str(caught.value)


@pytest.mark.parametrize('before, after', [
    ('[0.5, -1, 2]', '[0.5, -1.0, 2.0]'), ('[1, .inf]', '[1.0, .inf]'),
    ('a: [1, 2]  # [1, 0.5]', 'a: [1, 2]  # [1, 0.5]'), ('[1, "0.5"]', '[1, "0.5"]'),
    ('[x, 1, 0.5]', '[x, 1, 0.5]'), ('a:\n- 0x10\n- 1e-3', 'a:\n- 16.0\n- 1e-3'),
    ('{a: &n [1, 2.0], b: *n}', '{a: &n [1.0, 2.0], b: *n}'), ('[', '['), ('', '')])
def test_whole_numbers_beside_decimal_ones_become_decimal(before, after):
    assert with_decimal_lists(before) == after


def test_ros_takes_a_list_of_whole_and_decimal_numbers(tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**: {ros__parameters: {low: [0.5, -1, 0], name: [a, b]}}')
    arguments = ['node', '--ros-args', '--params-file', str(path), '-p', 'high:=[1, .inf, 2.5]']
    join_ros(arguments)
    try:
        node = Node('node')
        given = {name: list(item.value) for name, item in node._parameter_overrides.items()}
        node.destroy_node()
    finally:
        rclpy.shutdown()
    assert given == {'low': [0.5, -1.0, 0.0], 'name': ['a', 'b'],
                     'high': [1.0, float('inf'), 2.5]}
    assert yaml.safe_load(path.read_text())['/**']['ros__parameters']['low'] == [0.5, -1, 0]


@pytest.mark.parametrize('section, name, is_heard', [
    ('/**', '/a/vla_node', True), ('/vla_node', '/vla_node', True),
    ('/vla_node', '/a/vla_node', False), ('/**/vla_node', '/vla_node', True),
    ('/**/vla_node', '/a/b/vla_node', True), ('/*/vla_node', '/a/vla_node', True),
    ('/*/vla_node', '/vla_node', False), ('/*/vla_node', '/a/b/vla_node', False),
    ('/a/**', '/a/b/vla_node', True), ('/a/**', '/ab/vla_node', False),
    ('/*', '/vla_node', True), ('/a/vla_node', '/a/vla_nodes', False)])
def test_sections_are_for_the_nodes_that_ros_takes_them_for(section, name, is_heard):
    assert Section(section, frozenset()).is_for(name) == is_heard
