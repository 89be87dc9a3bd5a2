# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is needed: the imports, setup.py, package.xml and CMake agree, and what lacks is told."""

import ast
from pathlib import Path
import re
import runpy
import shutil
import subprocess
import sys
from types import ModuleType
import xml.etree.ElementTree as ElementTree

import pytest
import setuptools
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support import requirements

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {*requirements.CORE, *requirements.ROS, *requirements.OPTIONAL_ROS,
         *requirements.EXTRAS}
# what rosdep calls a module of Python; torch, safetensors and tokenizers it does not know
ROSDEP = {'PIL': 'python3-pil', 'cv2': 'python3-opencv', 'numpy': 'python3-numpy',
          'pinocchio': 'pinocchio', 'scipy': 'python3-scipy', 'tqdm': 'python3-tqdm',
          'yaml': 'python3-yaml'}
OF_ROS_ITSELF = {'ros2launch', 'rosidl_default_runtime'}
OF_RCLPY = {'lifecycle_msgs'}  # its lifecycle nodes import it


def imported():
    """Return the modules that the package and its launch files import, but for Python's own."""
    names = set()
    for path in (path for room in ('sqap_vla_ros', 'launch') for path in (ROOT / room).rglob('*')
                 if path.suffix == '.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    tops = {name.partition('.')[0] for name in names}
    return tops - set(sys.stdlib_module_names) - {'sqap_vla_ros'}


def depended(*tags):
    """Return the names that package.xml has under some tags."""
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {item.text for item in manifest if item.tag in tags}


@pytest.fixture
def setup_arguments(monkeypatch):
    """Return what setup.py gives to setuptools."""
    given = {}
    monkeypatch.setattr(setuptools, 'setup', given.update)
    runpy.run_path(str(ROOT / 'setup.py'))
    return given


def test_every_module_that_is_imported_is_known_and_every_one_known_is_imported():
    assert imported() | OF_RCLPY == KNOWN


def test_setup_py_installs_them(setup_arguments):
    core = {re.match(r'[\w-]+', line).group() for line in setup_arguments['install_requires']}
    assert core == set(requirements.CORE.values())
    assert set(requirements.EXTRAS.values()) <= set(setup_arguments['extras_require'])


def test_package_xml_names_them_and_nothing_else():
    found = depended('depend', 'exec_depend')
    assert found == ({*requirements.ROS, *requirements.OPTIONAL_ROS} | OF_ROS_ITSELF
                     | {ROSDEP[name] for name in KNOWN & set(ROSDEP)})


def test_cmake_looks_for_what_package_xml_builds_with():
    text = (ROOT / 'CMakeLists.txt').read_text()
    looked_for = re.search(r'find_needed_packages\(([^)]*)\)', text).group(1).split()
    assert set(looked_for) == depended('depend', 'buildtool_depend')


def test_the_stand_ins_are_those_that_lie_here():
    assert sorted(requirements.STAND_INS) == sorted(
        path.parent.name for path in (ROOT / 'interfaces').glob('*/package.xml'))


@pytest.mark.parametrize('name, text', [
    ('torch', 'has no .*torch.*-m pip install .*torch'),
    ('cv2.dnn', 'pip install .*opencv-python-headless'),
    ('mujoco', r"pip install -e '\.\[sim\]'"), ('pinocchio', r"'\.\[kinematics\]'"),
    ('rclpy', 'source /opt/ros/lyrical/setup.bash`, or `make setup`'),
    ('tf2_msgs.msg', 'apt install ros-lyrical-tf2-msgs`.*--base-paths src/sqap_vla_ros src/'),
    ('diagnostic_msgs', 'apt install ros-lyrical-diagnostic-msgs`$'),
    ('launch', 'apt install ros-lyrical-launch`$'),
    ('sqap_vla_ros.msg', 'make setup.*source install/setup.bash')])
def test_what_is_missing_is_told_with_how_to_get_it(name, text, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'lyrical')
    monkeypatch.setattr(requirements, 'find_spec', lambda _: None if name != 'rclpy' else 0)
    monkeypatch.setattr(requirements, 'missing', lambda names: [name] if name in names else [])
    found = requirements.cure(name)
    assert re.search(text, found) and '\n' not in found


def test_all_that_is_missing_of_a_kind_is_told_at_once(monkeypatch):
    monkeypatch.setattr(requirements, 'missing', lambda names: ['safetensors', 'torch'])
    assert 'has no safetensors, torch: ' in requirements.cure('torch')


def test_a_directory_of_that_name_is_no_module(tmp_path, monkeypatch):
    (tmp_path / 'launch_of_nothing').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert requirements.missing(['launch_of_nothing', 'json', 'nowhere_at_all']) == [
        'launch_of_nothing', 'nowhere_at_all']


@pytest.fixture
def module(monkeypatch):
    """Return a module `started` whose main() a test replaces."""
    made = ModuleType('started')
    monkeypatch.setitem(sys.modules, 'started', made)
    return made


def fails(name):
    """Return a function that misses a module."""
    def main(*_):
        raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    return main


def test_an_executable_that_misses_a_module_says_so_in_one_line(module, capsys):
    module.main = fails('tf2_msgs')
    assert requirements.start('vla_node', 'started') == 1
    assert re.fullmatch('vla_node: .*tf2_msgs.*\n', capsys.readouterr().err)
    module.main = fails('another')
    with pytest.raises(ModuleNotFoundError):
        requirements.start('vla_node', 'started')
    module.main = lambda: 3
    assert requirements.start('vla_node', 'started') == 3


def test_an_executable_that_is_interrupted_while_it_imports_ends_quietly(module, capsys):
    def main():
        raise KeyboardInterrupt
    module.main = main
    assert requirements.start('vla_node', 'started') == 0
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('word', ['-h', '--help'])
def test_an_executable_that_is_asked_for_help_starts_nothing(word, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['vla_node', word])
    assert requirements.start('vla_node', 'no_such_module') == 0
    assert 'usage: vla_node [--ros-args' in capsys.readouterr().out


@pytest.mark.ros
def test_a_node_without_torch_is_not_configured_and_says_what_to_install(monkeypatch):
    from sqap_vla_ros.ros.vla.config import NodeConfig
    from sqap_vla_ros.ros.vla.node import load_configured_policy
    policy = ModuleType('policy')
    policy.__getattr__ = fails('torch')
    monkeypatch.setitem(sys.modules, 'sqap_vla_ros.policy', policy)
    config = NodeConfig.from_parameters({'checkpoint': str(ROOT / 'models/libero_goal')})
    with pytest.raises(ConfigError, match='has no .*torch.*pip install'):
        load_configured_policy(config)


def cmake(tmp_path, commands, **environment):
    """Return the exit status and the text of CMake commands, in the place of our CMakeLists."""
    if shutil.which('cmake') is None:
        pytest.skip('needs cmake')
    script = tmp_path / 'script.cmake'
    script.write_text(
        f'set(PROJECT_NAME sqap_vla_ros)\nset(PROJECT_SOURCE_DIR {ROOT})\n'
        f'set(Python3_EXECUTABLE {sys.executable})\n'
        f'include({ROOT}/cmake/missing_packages.cmake)\n{commands}\n')
    result = subprocess.run(
        ['cmake', '-P', str(script)], capture_output=True, text=True, check=False,
        env={'PATH': '/usr/bin:/bin', **environment})
    return result.returncode, ' '.join((result.stdout + result.stderr).split())


@pytest.mark.parametrize('environment, text', [
    ({}, 'needs no_such, nor_this_one: no ROS 2 is sourced .*make setup'),
    ({'AMENT_PREFIX_PATH': '/opt/ros/kilted', 'ROS_DISTRO': 'kilted'},
     'not found in /opt/ros/kilted: .*apt install ros-kilted-no-such ros-kilted-nor-this-one`')])
def test_a_build_names_all_that_it_misses_at_once(tmp_path, environment, text):
    status, told = cmake(tmp_path, 'find_needed_packages(no_such nor_this_one)', **environment)
    assert status and re.search(text, told)


def test_a_build_warns_of_what_the_nodes_will_miss_and_goes_on(tmp_path):
    commands = (f'set(Python3_EXECUTABLE {sys.executable} -S)\n'  # -S: without site-packages
                'warn_of_what_the_nodes_will_miss()\nmessage("and goes on")')
    status, told = cmake(tmp_path, commands)
    assert not status and re.search('Warning.*will not start.*torch.*and goes on', told)
