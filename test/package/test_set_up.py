# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The set-up script: what is done again and when, which ROS 2 is taken, what failures say."""
import errno
import fcntl
from importlib import import_module
import os
from pathlib import Path
import runpy
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from sqap_vla_ros.support.ros_environment import STAND_INS

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / 'scripts' / 'set_up'


@pytest.fixture
def set_up(monkeypatch):
    """Import the modules of scripts/set_up, which is a program and no package."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = [path.stem for path in SCRIPTS.glob('*.py') if path.stem != '__main__']
    yield SimpleNamespace(**{name: import_module(name) for name in names})
    for name in names:
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
        raise set_up.target.SetUpError('no network')

    with pytest.raises(set_up.target.SetUpError):
        set_up.steps.run_steps(wheels, [set_up.steps.Step('work', fail, ['value'])])
    runs = []
    set_up.steps.run_steps(wheels, [set_up.steps.Step('work', lambda: runs.append(1), ['value'])])
    assert runs


def test_a_failure_shows_the_real_error_and_names_the_log_without_pip_noise(set_up, wheels):
    code = ("print('WARNING: Location x is ignored'); print('ERROR: no such package');"
            'raise SystemExit(1)')
    with pytest.raises(set_up.target.SetUpError) as error:
        set_up.processes.execute(wheels, [sys.executable, '-c', code])
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
    with pytest.raises(set_up.target.SetUpError, match='no ROS 2 wheels for .humble.*source'):
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
    monkeypatch.setattr(
        set_up.packages, '_output', lambda command: '/py/include\n/a place/include')
    set_up.packages.correct_cmake_files(wheels)
    assert cmake.read_text() == (
        'INCLUDE "${_IMPORT_PREFIX}/include;/py/include;/a place/include"')


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
    with pytest.raises(set_up.target.SetUpError, match=r'apt-get install .* g\+\+'):
        set_up.machine.install_debian_packages(wheels)


def test_a_python_that_is_too_old_is_refused(set_up, monkeypatch):
    code = set_up.machine.PYTHON_PARTS.replace('(3, 10)', '(9, 0)')
    monkeypatch.setattr(set_up.machine, 'PYTHON_PARTS', code)
    with pytest.raises(set_up.target.SetUpError, match=r'Python 3\.10 or newer is needed, not'):
        set_up.machine._missing_build_packages(sys.executable)


def step(set_up, name, work, *after, **named):
    return set_up.steps.Step(name, work, [name], after=after, **named)


def test_steps_wait_for_those_that_they_name_and_run_beside_the_others(set_up, wheels):
    met, order = threading.Barrier(2, timeout=20), []

    def work(name, meets=False):
        return lambda: (order.append(name), met.wait() if meets else None, order.append(name))
    set_up.steps.run_steps(wheels, [
        step(set_up, 'first', work('first')),
        step(set_up, 'left', work('left', True), 'first'),
        step(set_up, 'right', work('right', True), 'first'),
        step(set_up, 'last', work('last'), 'left', 'right')])
    assert order[:2] == ['first'] * 2 and order[-2:] == ['last'] * 2
    assert set(order[2:4]) == {'left', 'right'}  # both had begun before one of them ended


def test_a_step_that_fails_ends_what_runs_beside_it_and_nothing_else_begins(
        set_up, wheels, monkeypatch):
    monkeypatch.setattr(set_up.processes, 'PATIENCE_S', 60.0)  # it is not for lack of patience
    sleeps = threading.Event()

    def sleep():
        sleeps.set()
        set_up.processes.execute(wheels, ['sleep', '60'])

    def fail():
        sleeps.wait(20)
        raise set_up.target.SetUpError('no network')
    begun, started = [], time.monotonic()
    with pytest.raises(set_up.target.SetUpError, match='no network'):
        set_up.steps.run_steps(wheels, [
            step(set_up, 'sleep', sleep), step(set_up, 'fail', fail),
            step(set_up, 'next', lambda: begun.append(1), 'fail')])
    assert time.monotonic() - started < 30 and not begun
    assert not (wheels.environment / 'set_up_stamps/sleep').exists()


def test_what_a_step_left_half_done_is_mended_before_it_goes_on(set_up, wheels):
    did = []

    def half():
        did.append('half')
        if len(did) == 1:
            raise set_up.target.SetUpError('killed')
    first = step(set_up, 'first', lambda: None)
    steps = [first, step(set_up, 'half', half, 'first', mend=lambda: did.append('mended'))]
    with pytest.raises(set_up.target.SetUpError):
        set_up.steps.run_steps(wheels, steps)
    for _ in range(2):
        set_up.steps.run_steps(wheels, steps)
    assert did == ['half', 'mended', 'half']


def test_a_package_whose_installation_was_cut_off_is_installed_again(set_up, wheels):
    site = wheels.environment / 'lib/python3.11/site-packages'
    for name in ('whole', 'half'):
        (site / f'{name}-1.dist-info').mkdir(parents=True)
        (site / f'{name}-1.dist-info/METADATA').touch()
    (site / 'whole-1.dist-info/RECORD').touch()
    set_up.packages.remove_half_installed(wheels)
    assert [path.name for path in site.iterdir()] == ['whole-1.dist-info']


def test_an_environment_whose_making_was_cut_off_is_made_again(set_up, wheels, monkeypatch):
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', wheels.environment], check=True)
    assert not set_up.packages._is_usable(wheels)
    monkeypatch.setattr(set_up.packages, '_imports', lambda target, module: module == 'pip')
    assert set_up.packages._is_usable(wheels)


def test_a_lock_outlives_a_set_up_that_is_killed_for_as_long_as_its_pip_runs(
        set_up, wheels, capsys, monkeypatch):
    code = ('import sys, os, signal, time; sys.path.insert(0, sys.argv[1])\n'
            'from pathlib import Path\nimport steps, processes, target, threading\n'
            "found = target.Target(Path(sys.argv[2]), sys.executable, 'jazzy', None)\n"
            'with steps.locked(found):\n'
            '    pip = "echo > begun; for i in $(seq 6000); do [ -e end ] && exit; "\n'
            '    pip += "sleep 0.05; done"\n'
            '    run = lambda: processes.execute(found, ["sh", "-c", pip])\n'
            '    threading.Thread(target=run, daemon=True).start()\n'
            '    while not (found.root / "begun").exists():\n'
            '        time.sleep(0.01)\n'
            '    os.kill(os.getpid(), signal.SIGKILL)\n')
    killed = subprocess.run([sys.executable, '-c', code, str(SCRIPTS), str(wheels.root)])
    assert killed.returncode == -signal.SIGKILL and list(wheels.build.glob('output_*'))
    flock = fcntl.flock

    def wait(file, operation):
        if operation == fcntl.LOCK_EX:  # it is said by now
            (wheels.root / 'end').touch()
        flock(file, operation)
    monkeypatch.setattr(set_up.steps.fcntl, 'flock', wait)
    with set_up.steps.locked(wheels):
        shown = capsys.readouterr().out
    assert 'another set-up of this directory is running (process ' in shown
    assert 'unknown' not in shown and not list(wheels.build.glob('output_*'))


def test_ctrl_c_ends_what_runs(set_up, wheels):
    begun = wheels.root / 'begun'
    command = ['sh', '-c', f'echo > "{begun}"; exec sleep 60']

    def press():
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        set_up.steps.run_steps(wheels, [
            step(set_up, 'sleep', lambda: set_up.processes.execute(wheels, command))])
    assert not set_up.processes._running


@pytest.mark.parametrize('output, text', [
    ("OSError: [Errno 28] No space left on device: '/tmp/pip-x'", 'the disk .* is full.*TMPDIR'),
    ('OSError: [Errno 122] Disk quota exceeded', 'quota.* is full'),
    ("WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(\"<pip "
     'object>: Failed to establish a new connection: [Errno -3] Temporary failure in name '
     "resolution\")'\nERROR: No matching distribution found for torch==2.13.0",
     'no package index can be reached .*connect to the network'),
    ('ERROR: Could not find a version that satisfies the requirement torch==9 (from versions: 1)'
     '\nERROR: No matching distribution found for torch==9', 'torch==9: the package index has no'),
    ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", 'PIP_CERT'),
    ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))",
     'HTTPS_PROXY'),
    ('ERROR: HTTP error 403 while getting https', 'refuses .HTTP error 403'),
    ("PermissionError: [Errno 13] Permission denied: '/a/b'", "'/a/b': not yours to write"),
    ("OSError: [Errno 30] Read-only file system: '/a'", 'read-only: clone'),
    ('E: Could not get lock /var/lib/dpkg/lock-frontend', 'another program is installing'),
    ('W: Failed to fetch http: Temporary failure resolving', 'no package index can be reached'),
    ('c++: fatal error: Killed signal terminated program cc1plus', 'memory is used up'),
    ('CMake Error: The C++ compiler "/usr/bin/c++" is not able to compile a simple test program',
     'compiler can not be used.*apt-get install g'),
    ('a.cpp:1:10: fatal error: Python.h: No such file or directory', 'Python.h.*python3-dev'),
    ('The virtual environment was not created because ensurepip is not available', 'python3-venv'),
])
def test_usual_failures_are_told_in_words_with_what_to_do(set_up, wheels, output, text):
    (wheels.root / 'output').write_text(output)
    with pytest.raises(set_up.target.SetUpError, match=f'(?s){text}') as error:
        set_up.processes.execute(wheels, ['sh', '-c', 'cat output; exit 1'])
    assert str(error.value).endswith('set_up.log; the next run goes on from here')
    assert len(str(error.value).splitlines()) <= 4


def test_a_command_that_was_killed_and_one_that_is_not_there_are_told(set_up, wheels):
    with pytest.raises(set_up.target.SetUpError, match='was killed, perhaps because memory'):
        set_up.processes.execute(wheels, ['sh', '-c', 'kill -9 $$'])
    with pytest.raises(set_up.target.SetUpError, match='/no/pip can not be started: No such file'):
        set_up.processes.execute(wheels, ['/no/pip'])


@pytest.mark.parametrize('number, text', [
    (errno.ENOSPC, 'is full'), (errno.EROFS, 'read-only'), (errno.EACCES, 'not yours')])
def test_a_file_that_cannot_be_written_is_told_with_what_to_do(set_up, number, text):
    told = set_up.causes.cause_of_error(OSError(number, os.strerror(number), '/a/stamp'))
    assert told.startswith(f'/a/stamp: {os.strerror(number)}; ') and text in told


def test_a_disk_without_room_is_refused_before_anything_is_downloaded(
        set_up, wheels, monkeypatch):
    usage = SimpleNamespace(free=3e9)
    monkeypatch.setattr(set_up.preflight.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(set_up.target.SetUpError, match=r'3\.0 GB free, .* set-up needs [4-6]'):
        set_up.preflight.check_space(wheels)
    # what is there already is not needed again
    monkeypatch.setattr(set_up.preflight, 'size_mb', lambda path: 4500.0)
    set_up.preflight.check_space(wheels)


def test_sizes_are_what_the_disk_gives(set_up, tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/file').write_bytes(bytes(2 * 10**6))
    assert set_up.preflight.size_mb(tmp_path) == pytest.approx(2.0, rel=0.01)
    assert set_up.preflight.size_mb(tmp_path / 'nothing') == 0


@pytest.mark.parametrize('name, text', [
    ('', 'is not yours to write: clone'), ('.venv', 'chown -R .*[.]venv'), ('build', 'as root')])
def test_a_place_that_is_not_ours_is_refused(set_up, wheels, monkeypatch, name, text):
    place = wheels.root / name
    place.mkdir(exist_ok=True)
    monkeypatch.setattr(set_up.preflight.os, 'access', lambda path, mode: path != place)
    with pytest.raises(set_up.target.SetUpError, match=text):
        set_up.preflight.check_place(wheels)


def test_a_read_only_file_system_and_a_path_that_ros_would_cut_are_refused(
        set_up, wheels, monkeypatch):
    monkeypatch.setattr(set_up.preflight.os, 'access', lambda path, mode: False)
    monkeypatch.setattr(set_up.preflight.os, 'statvfs',
                        lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(set_up.target.SetUpError, match='read-only file system: clone'):
        set_up.preflight.check_place(wheels)
    for name in ('a:b', 'a;b'):
        target = set_up.target.Target(wheels.root / name, 'python3', 'jazzy', None)
        with pytest.raises(set_up.target.SetUpError, match="has a '[:;]'"):
            set_up.preflight.check_place(target)


@pytest.mark.parametrize('facts, text', [
    ('3 9 cpython x86_64 Linux 3.9.2 glibc2.31', 'is cpython 3.9.2, and CPython 3.10 to 3.13'),
    ('3 11 pypy x86_64 Linux 3.11.1 glibc2.31', 'is pypy'),
    ('3 14 cpython x86_64 Linux 3.14.0 glibc2.36', 'pinned for 3.10 to 3.13.*PYTHON=python3.13'),
    ('3 12 cpython aarch64 Linux 3.12.0 glibc2.36', 'this is aarch64 Linux.*source a ROS 2'),
    ('3 12 cpython x86_64 Linux 3.12.0 unknown', 'with unknown'),
    ('3 12 cpython arm64 Darwin 3.12.0 unknown', 'this is arm64 Darwin')])
def test_an_interpreter_or_machine_without_wheels_is_refused(
        set_up, wheels, monkeypatch, facts, text):
    monkeypatch.setattr(set_up.preflight, '_facts', lambda python: facts.split())
    with pytest.raises(set_up.target.SetUpError, match=f'(?s){text}'):
        set_up.preflight.check_python('python3')
        set_up.preflight.check_wheels(wheels)


def test_this_interpreter_is_taken_and_one_that_is_none_is_not(set_up, wheels):
    set_up.preflight.check_python(sys.executable)
    set_up.preflight.check_wheels(wheels)
    with pytest.raises(set_up.target.SetUpError, match="'/no/python' can not be started"):
        set_up.preflight.check_python('/no/python')
    with pytest.raises(set_up.target.SetUpError, match="'/bin/true' does not work"):
        set_up.preflight.check_python('/bin/true')


def test_a_python_that_cannot_read_the_set_up_is_told_so_by_it(tmp_path):
    refusal = runpy.run_path(str(SCRIPTS / '__main__.py'))['refusal']
    assert refusal((3, 11, 7), []) == ''
    assert 'this is Python 3.8, and 3.10 to 3.13' in refusal((3, 8, 0), [])
    (tmp_path / 'python3.12').touch(mode=0o755)
    assert 'PYTHON=python3.12`, which is here' in refusal((2, 7), [str(tmp_path)])


@pytest.mark.parametrize('line, text', [
    ('  Downloading torch-2.13.0-cp311-manylinux.whl (190.2 MB)', 'downloading torch (190.2 MB)'),
    ('Collecting ros-rclpy==7.1.6 (from -r x)', 'looking for ros-rclpy'),
    ('Processing /opt/wheels/sympy-1.14.0-py3-none-any.whl', 'reading sympy'),
    ('Starting >>> tf2_msgs', 'building tf2_msgs'), ('Unpacking g++ (4:12) ...', 'installing g++'),
    ('  Building editable for sqap_vla_ros (pyproject.toml)', 'building sqap_vla_ros'),
    ('WARNING: nothing', '')])
def test_what_pip_and_colcon_are_at_is_read_from_their_output(set_up, line, text):
    assert set_up.display.doing(line) == text


def test_packages_are_counted_while_pip_installs_them(set_up, wheels):
    output, site = wheels.root / 'output', wheels.environment / 'lib/python3.11/site-packages'
    output.write_text('Installing collected packages: a, b, c\n')
    follower = set_up.display.Follower(output, 0, wheels.environment)
    assert follower.now() == 'installing 0 of 3 packages'
    (site / 'a.dist-info').mkdir(parents=True)
    (site / 'a.dist-info/RECORD').touch()
    assert follower.now() == 'installing 1 of 3 packages'
    with output.open('a') as file:
        file.write('Collecting d\n')
    assert follower.now() == 'looking for d'


def test_a_terminal_shows_what_is_going_on_and_a_log_only_beginnings_and_ends(
        set_up, capsys, monkeypatch):
    display = set_up.display.Display()
    with display.progress('[1/2] PyTorch'), display.doing(lambda: 'downloading torch'):
        display.show()
    assert capsys.readouterr().out == '[1/2] PyTorch ...\n[1/2] PyTorch: 0 s\n'
    monkeypatch.setattr(set_up.display.Display, 'is_live', True)
    with display.progress('[1/2] PyTorch'), display.doing(lambda: 'downloading torch'):
        display.show()
    assert '[1/2] PyTorch 0 s: downloading torch' in capsys.readouterr().out


def test_a_set_up_that_is_complete_writes_nothing(set_up, wheels, monkeypatch):
    """As in an image whose user may not write."""
    monkeypatch.setattr(set_up.program, 'choose_target', lambda *_: wheels)
    monkeypatch.setattr(set_up.program, 'package_steps', lambda target: [])
    monkeypatch.setattr(set_up.program, 'workspace_steps', lambda target: [])
    monkeypatch.setattr(set_up.machine, 'RENDERING', {})
    monkeypatch.setattr(sys, 'argv', ['set_up'])
    monkeypatch.setattr(set_up.program.signal, 'signal', lambda *_: None)
    assert set_up.program.main() == 0
    assert [path.name for path in wheels.root.iterdir()] == ['.venv']


@pytest.mark.parametrize('error, status, text', [
    (PermissionError(errno.EACCES, 'Permission denied', '/a'), 1, '/a: Permission denied; it is'),
    (KeyboardInterrupt(), 130, 'interrupted; the next run goes on')])
def test_whatever_ends_the_set_up_is_told_without_a_traceback(
        set_up, monkeypatch, capsys, error, status, text):
    def fail(*_):
        raise error
    monkeypatch.setattr(set_up.program, 'choose_target', fail)
    monkeypatch.setattr(sys, 'argv', ['set_up'])
    monkeypatch.setattr(set_up.program.signal, 'signal', lambda *_: None)
    assert set_up.program.main() == status
    assert text in capsys.readouterr().err
