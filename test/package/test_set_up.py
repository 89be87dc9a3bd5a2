# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The set-up script: what is done again and when, which ROS 2 is taken, what failures say."""
from pathlib import Path
import sys
from types import SimpleNamespace

import pytest
from sqap_vla_ros.support.ros_environment import STAND_INS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def set_up(monkeypatch):
    """Import the modules of scripts/set_up, which is a program and no package."""
    monkeypatch.syspath_prepend(str(ROOT / 'scripts' / 'set_up'))
    import machine
    import packages
    import steps
    import target
    import workspace
    modules = {'machine': machine, 'packages': packages, 'steps': steps, 'target': target,
               'workspace': workspace}
    yield SimpleNamespace(**modules)
    for name in modules:
        sys.modules.pop(name)


@pytest.fixture
def wheels(set_up, tmp_path):
    found = set_up.target.Target(tmp_path, sys.executable, 'jazzy', None)
    found.environment.mkdir()
    return found


def make_prefix(path: Path, *packages: str) -> Path:
    index = path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    for name in packages:
        (index / name).touch()
    return path


def test_a_step_runs_again_only_when_an_input_changes_or_an_output_is_gone(set_up, wheels):
    source, output, runs = wheels.root / 'source', wheels.root / 'output', []
    source.write_text('one')

    def work():
        runs.append(1)
        output.touch()

    steps = [set_up.steps.Step('work', work, [source, 'value'], [output])]
    for _ in range(2):
        set_up.steps.run_steps(wheels, steps)
    assert len(runs) == 1
    source.write_text('two')
    set_up.steps.run_steps(wheels, steps)
    assert len(runs) == 2
    output.unlink()
    set_up.steps.run_steps(wheels, steps)
    assert len(runs) == 3


@pytest.mark.parametrize('name', [
    'package.xml', 'CMakeLists.txt', 'msg/Own.msg', 'action/Own.action', 'scripts/node.py.in',
    'interfaces/control_msgs/action/GripperCommand.action'])
def test_what_is_built_is_built_again_when_it_changes(set_up, wheels, name):
    path = wheels.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('one')
    step, = set_up.workspace.workspace_steps(wheels)
    assert path in step.inputs


def test_a_step_that_failed_runs_again(set_up, wheels):
    def fail():
        raise set_up.steps.SetUpError('no network')

    with pytest.raises(set_up.steps.SetUpError):
        set_up.steps.run_steps(wheels, [set_up.steps.Step('work', fail, ['value'])])
    runs = []
    set_up.steps.run_steps(wheels, [set_up.steps.Step('work', lambda: runs.append(1), ['value'])])
    assert runs


def test_a_failure_shows_the_real_error_and_names_the_log_without_pip_noise(set_up, wheels):
    code = ("print('WARNING: Location x is ignored'); print('ERROR: no such package');"
            'raise SystemExit(1)')
    with pytest.raises(set_up.steps.SetUpError) as error:
        set_up.steps.execute(wheels, [sys.executable, '-c', code])
    assert 'ERROR: no such package' in str(error.value)
    assert 'is ignored' not in str(error.value)
    assert str(wheels.log) in str(error.value)
    assert 'is ignored' in wheels.log.read_text()


def test_both_distributions_live_side_by_side(set_up):
    jazzy, kilted = (set_up.target.Target(ROOT, 'python3', distro, None)
                     for distro in ('jazzy', 'kilted'))
    assert jazzy.environment.name == '.venv'
    assert jazzy.install.name == 'install'
    assert kilted.environment.name == '.venv-kilted'
    assert kilted.install.name == 'install-kilted'


def test_a_sourced_ros_that_python_can_import_is_used(set_up, tmp_path, monkeypatch):
    ros = make_prefix(tmp_path / 'ros', 'rclpy', 'tf2_msgs')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(ros))
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    monkeypatch.setattr(set_up.target, '_imports_rclpy', lambda python: True)
    found = set_up.target.choose_target(ROOT, 'python3', 'jazzy')
    assert (found.sourced, found.distro, found.environment.name) == (ros, 'humble', '.venv')
    assert found.prefixes() == [ros]


def test_a_sourced_ros_for_another_python_is_left_aside_and_said_so(
        set_up, tmp_path, monkeypatch, capsys):
    ros = make_prefix(tmp_path / 'ros', 'rclpy')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(ros))
    monkeypatch.setattr(set_up.target, '_imports_rclpy', lambda python: False)
    found = set_up.target.choose_target(ROOT, 'python3', 'jazzy')
    assert found.sourced is None
    assert found.prefixes() == [found.environment]
    assert f'cannot import rclpy from {ros}' in capsys.readouterr().out


def test_an_overlay_on_the_wheels_is_built_upon_and_our_own_build_is_not(
        set_up, tmp_path, monkeypatch):
    wheels = make_prefix(tmp_path / '.venv', 'rclpy')
    (wheels / 'pyvenv.cfg').touch()
    overlay = make_prefix(tmp_path.parent / f'{tmp_path.name}-overlay', 'tf2_msgs')
    own = make_prefix(tmp_path / 'install/sqap_vla_ros', 'sqap_vla_ros')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{own}:{overlay}:{wheels}')
    found = set_up.target.choose_target(ROOT, 'python3', 'jazzy')
    assert found.sourced is None
    target = set_up.target.Target(tmp_path, 'python3', 'jazzy', None)
    assert target.prefixes() == [overlay, wheels]


def test_messages_that_a_prefix_has_are_not_built_again_and_the_others_are(
        set_up, tmp_path, monkeypatch):
    assert set_up.target.stand_ins(ROOT) == sorted(STAND_INS)
    root = tmp_path / 'work'
    for name in STAND_INS:
        (root / 'interfaces' / name).mkdir(parents=True)
        (root / 'interfaces' / name / 'package.xml').touch()
        (root / 'install' / name).mkdir(parents=True)
    ros = make_prefix(tmp_path / 'ros', 'rclpy', 'tf2_msgs', 'control_msgs')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(ros))
    ran = []
    monkeypatch.setattr(set_up.workspace, 'execute', lambda target, *told: ran.append(told[0]))
    set_up.workspace.build(set_up.target.Target(root, 'python3', 'jazzy', ros))
    (command,) = ran
    assert command[command.index('--base-paths') + 1:command.index('--build-base')] == [
        '.', 'interfaces/moveit_msgs']
    assert [path.name for path in (root / 'install').iterdir()] == ['moveit_msgs']


def test_a_distribution_without_wheels_is_refused_with_advice(set_up, monkeypatch):
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    with pytest.raises(set_up.steps.SetUpError, match='no ROS 2 wheels for .humble.*source'):
        set_up.target.choose_target(ROOT, 'python3', 'humble')


@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_every_requirement_is_pinned_exactly(distro):
    for name in ('common', f'ros-{distro}'):
        lines = (ROOT / f'constraints/{name}.txt').read_text().splitlines()
        assert all('==' in line for line in lines if line and not line.startswith('#'))


def test_paths_of_the_machine_that_built_the_wheels_are_replaced(set_up, wheels, monkeypatch):
    cmake = wheels.environment / 'share/std_msgs/cmake/export.cmake'
    cmake.parent.mkdir(parents=True)
    cmake.write_text(
        'INCLUDE "${_IMPORT_PREFIX}/include;/opt/python/cp311-cp311/include/python3.11;'
        '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"')
    monkeypatch.setattr(set_up.packages, '_output', lambda command: '/py/include /np/include')
    set_up.packages.correct_cmake_files(wheels)
    assert cmake.read_text() == 'INCLUDE "${_IMPORT_PREFIX}/include;/py/include;/np/include"'


def test_a_user_who_is_not_root_is_told_the_packages_and_the_command(
        set_up, wheels, monkeypatch, capsys):
    monkeypatch.setattr(set_up.machine.os, 'geteuid', lambda: 1000)
    monkeypatch.setattr(set_up.machine, 'RENDERING', {'libmissing.so.0': 'libosmesa6'})
    set_up.machine.install_debian_packages(wheels)
    shown = capsys.readouterr().out
    assert 'as root, run' in shown
    assert 'apt-get install -y --no-install-recommends libosmesa6' in shown


def test_without_a_compiler_the_set_up_stops_and_names_the_package(set_up, wheels, monkeypatch):
    monkeypatch.setattr(set_up.machine.os, 'geteuid', lambda: 1000)
    monkeypatch.setattr(set_up.machine.shutil, 'which', lambda command: None)
    with pytest.raises(set_up.steps.SetUpError, match=r'apt-get install .* g\+\+'):
        set_up.machine.install_debian_packages(wheels)


def test_a_python_that_is_too_old_is_refused(set_up, monkeypatch):
    code = set_up.machine.PYTHON_PARTS.replace('(3, 10)', '(9, 0)')
    monkeypatch.setattr(set_up.machine, 'PYTHON_PARTS', code)
    with pytest.raises(set_up.steps.SetUpError, match=r'Python 3\.10 or newer is needed, not'):
        set_up.machine._missing_build_packages(sys.executable)
