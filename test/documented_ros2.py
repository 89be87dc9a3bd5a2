# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What can be told of a documented `ros2` command where no `ros2` is installed.

Names of nodes, parameters, topics, services and actions, types, values and launch arguments are
compared with those that our nodes and launch files have. Packages of others are in OTHERS.
"""

from dataclasses import fields
from functools import cache
from importlib import import_module
import re

from launch_doubles import declared_arguments
from markdown_pages import ROOT
from sqap_vla_ros.options import checked, from_text, known
from sqap_vla_ros.ros.launching.arguments import is_of_camera
from sqap_vla_ros.ros.vla.config import PARAMETERS
import yaml

OURS = 'sqap_vla_ros'
# Packages whose executables or launch files are named, and why nothing of them is tried.
OTHERS = {
    'tf2_ros': 'is in no wheel',
    'tf2_tools': 'is in no wheel',
    'rqt_image_view': 'is in no wheel, and wants a screen',
    'rviz2': 'is in no wheel, and wants a screen',
    'camera_calibration': 'is in no wheel, and wants a person with a board',
}
STANDARD_TOPICS = {'/diagnostics', '/tf', '/tf_static', '/clock', '/rosout', '/joint_states',
                   '/robot_description', '/rgb'}  # the last is Isaac Sim's
TRANSITIONS = {'configure', 'activate', 'deactivate', 'cleanup', 'shutdown'}
QUESTIONS = {'list', 'info', 'describe', 'get', 'dump', 'type', 'find'}
INTERFACE = ROOT / 'docs' / 'ros_interface.md'


def ros2(words, is_part):
    """Raise ValueError for a `ros2` command that names what is not there."""
    verb, rest = (words[1:2] or [''])[0], [word for word in words[2:] if word]
    arguments = [word for word in rest if not word.startswith('-')]
    if verb not in VERBS:
        raise ValueError(f'nothing is known of `ros2 {verb}`: see test/documented_ros2.py')
    if arguments:
        VERBS[verb](rest, arguments)
    elif not is_part:
        raise ValueError(f'`ros2 {verb}` lacks its arguments')


def launch(rest, arguments):
    """Check a launch file's arguments, and their values where they are parameters."""
    if arguments[0] in OTHERS:
        return
    if arguments[0] != OURS:
        raise ValueError(f'nothing is known of the package {arguments[0]}')
    path = ROOT / 'launch' / arguments[1]
    if not path.is_file():
        raise ValueError(f'there is no launch/{arguments[1]}')
    declared = arguments_of(path)
    for name, _, text in (word.partition(':=') for word in arguments[2:] if ':=' in word):
        if name not in declared and not is_of_camera(name):
            raise ValueError(f'{arguments[1]} has no argument {name}')
        if name in PARAMETERS and text:
            value_of(name, text)


@cache
def arguments_of(path):
    """Return the names of a launch file's arguments."""
    return set(declared_arguments(path.name))


def run(rest, arguments):
    """Check an executable of ours and its parameters."""
    if arguments[0] in OTHERS:
        return
    if arguments[0] != OURS:
        raise ValueError(f'nothing is known of the package {arguments[0]}')
    node(rest[1:])


def node(words, is_part=False):
    """Check the parameters, files and remappings of a node that is started."""
    from sqap_vla_ros.ros.simulator.parameters import SimSettings
    name = words[0].rpartition('/')[2]
    if name not in EXECUTABLES:
        raise ValueError(f'there is no executable {name}')
    items = PARAMETERS if name == 'vla_node' else {item.name: item for item in fields(SimSettings)}
    for option, value in zip(words, words[1:]):
        if option == '-p':
            key, separator, text = value.partition(':=')
            if not separator or key not in (*items, 'use_sim_time'):
                raise ValueError(f'{name} has no parameter {key}')
            if key in items:
                checked(items[key], typed(items[key], yaml.safe_load(text)))
        elif option in ('-r', '--remap'):
            topic(value.partition(':=')[0])
        elif option == '--params-file' and '/' in value and not (ROOT / value).is_file():
            raise ValueError(f'there is no {value}')


EXECUTABLES = re.search(r'foreach\(NODE ([^)]*)\)',
                        (ROOT / 'CMakeLists.txt').read_text())[1].split()


def typed(item, value):
    """Return a value of YAML as ROS hands it over: a list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def value_of(name, text):
    """Return the value of a parameter of vla_node; ValueError where it is out of range."""
    return checked(PARAMETERS[name], from_text(PARAMETERS[name], text))


def param(rest, arguments):
    """Check a parameter of vla_node, and that it may be set in a running node."""
    verb, *words = arguments
    if verb not in QUESTIONS | {'set'}:
        raise ValueError(f'there is no `ros2 param {verb}`')
    our_node(words[0])
    if len(words) > 1 and not re.fullmatch('<?[Nn][Aa][Mm][Ee]>?', words[1]):
        if words[1] not in (*PARAMETERS, 'use_sim_time'):
            raise ValueError(f'vla_node has no parameter {words[1]}')
    if verb == 'set' and len(words) > 2:
        if not known(PARAMETERS[words[1]]).live:
            raise ValueError(f'{words[1]} is read-only: a running node refuses it')
        value_of(words[1], words[2])


def our_node(name):
    """Raise ValueError for the name of a node that is not ours, whatever its namespace."""
    if name.rpartition('/')[2] not in ('vla_node', 'libero_sim', 'libero_sim_node'):
        raise ValueError(f'{name} is no node of ours')


def lifecycle(rest, arguments):
    """Check the node and the transition."""
    verb, *words = arguments
    if words:
        our_node(words[0])
    if verb not in {'set'} | QUESTIONS or verb == 'set' and words[1] not in TRANSITIONS:
        raise ValueError(f'there is no `ros2 lifecycle {verb} {" ".join(words[1:])}`')


def topics(rest, arguments):
    """Check name, type and fields of a topic."""
    verb, *words = arguments
    if verb not in {'pub', 'echo', 'hz', 'bw', 'delay'} | QUESTIONS:
        raise ValueError(f'there is no `ros2 topic {verb}`')
    if words:
        topic(words[0])
    if len(words) > 1 and '/' in words[1]:
        kind = interface(words[1])
        check_fields(kind, yaml.safe_load(words[2]) if len(words) > 2 else {})


def services(rest, arguments):
    """Check name and type of a service."""
    verb, *words = arguments
    if verb not in {'call'} | QUESTIONS:
        raise ValueError(f'there is no `ros2 service {verb}`')
    if words:
        topic(words[0])
    if len(words) > 1:
        check_fields(interface(words[1]).Request,
                     yaml.safe_load(words[2]) if len(words) > 2 else {})


def actions(rest, arguments):
    """Check name, type and goal of an action."""
    verb, *words = arguments
    if verb not in {'send_goal'} | QUESTIONS:
        raise ValueError(f'there is no `ros2 action {verb}`')
    if words:
        topic(words[0])
    if len(words) > 1:
        check_fields(interface(words[1]).Goal, yaml.safe_load(words[2]) if len(words) > 2 else {})


def others(rest, arguments):
    """Check nothing but names of types: what others show of our graph."""
    for word in arguments:
        if re.fullmatch(rf'{OURS}/\w+/\w+', word):
            interface(word)


def topic(name):
    """Raise ValueError for a topic, service or action that none of our nodes has."""
    relative = re.sub(r'^/?(.*/)?(vla_node|libero_sim)/', '~/', name)
    known_names = {item.lstrip('/') for item in documented_names() | STANDARD_TOPICS}
    if relative.lstrip('/') not in known_names and name.rpartition('/')[2] not in known_names:
        raise ValueError(f'no node of ours has {name}: see docs/ros_interface.md')


@cache
def documented_names() -> set[str]:
    """Return the names in the first two columns of the tables of docs/ros_interface.md."""
    rows = re.findall(r'^\|[^|`]*\|?[^|]*`[^|]*\|', INTERFACE.read_text(encoding='utf-8'), re.M)
    return {name for row in rows for name in re.findall(r'`([~/]?[\w/{}.]+)`', row)}


def interface(name):
    """Return the class of a message, service or action by its name, such as std_msgs/msg/Bool."""
    package, _, kind = name.rpartition('/')
    try:
        return getattr(import_module(package.replace('/', '.')), kind)
    except (ImportError, AttributeError) as error:
        raise ValueError(f'there is no type {name}') from error


def check_fields(kind, values):
    """Raise ValueError for fields that a message has not, nested ones too."""
    known_fields = kind.get_fields_and_field_types()
    for name, value in (values or {}).items():
        if name not in known_fields:
            raise ValueError(f'{kind.__name__} has no field {name}')
        if isinstance(value, dict):
            check_fields(type(getattr(kind(), name)), value)


VERBS = {'launch': launch, 'run': run, 'param': param, 'lifecycle': lifecycle, 'topic': topics,
         'service': services, 'action': actions, 'node': others, 'pkg': others,
         'interface': others, 'bag': others, 'component': others, 'control': others}
