# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The package as pip, colcon and Python see it."""
from pathlib import Path
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from sqap_vla_ros import __version__, cli
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.support import resources
from sqap_vla_ros.support.ros_environment import built_prefixes, ros_environment

ROOT = Path(__file__).resolve().parents[2]
IMPORT_MESSAGES = """
import sqap_vla_ros.errors, sqap_vla_ros.support.resources
from sqap_vla_ros.msg import ActionChunk, TokenSelection
print(sqap_vla_ros.errors.__file__)
"""


def python(code: str, directory: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=directory, env=environment, capture_output=True,
        text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.ros
@pytest.mark.parametrize('where', ['repository root', 'elsewhere'])
@pytest.mark.parametrize('source_first', [True, False])
def test_messages_and_source_tree_import_together(where, source_first, tmp_path):
    environment = ros_environment()
    path = environment['PYTHONPATH'].split(':')
    both = [str(ROOT), *path] if source_first else [*path, str(ROOT)]
    environment['PYTHONPATH'] = ':'.join(both)
    directory = ROOT if where == 'repository root' else tmp_path
    assert python(IMPORT_MESSAGES, directory, environment)


@pytest.mark.ros
def test_the_installed_package_works_without_the_source_tree_on_the_path(tmp_path):
    if not (ROOT / 'install').exists():
        pytest.skip('needs the build of make setup')
    environment = ros_environment()
    environment['PYTHONPATH'] = ':'.join(
        entry for entry in environment['PYTHONPATH'].split(':') if Path(entry) != ROOT)
    assert python(IMPORT_MESSAGES, tmp_path, environment)


def test_importing_the_package_and_its_command_is_cheap(tmp_path):
    code = ('import sys, sqap_vla_ros, sqap_vla_ros.cli, sqap_vla_ros.support.ros_environment;'
            "print(sorted({'torch', 'numpy', 'rclpy', 'mujoco', 'transformers'}"
            ' & set(sys.modules)))')
    assert python(code, tmp_path, ros_environment()) == '[]'


def test_every_subcommand_exists_and_shows_its_help_without_heavy_imports(tmp_path):
    code = ('import sys, importlib, argparse; from sqap_vla_ros.cli import COMMANDS\n'
            'for module, _ in COMMANDS.values():\n'
            '    importlib.import_module(module).add_arguments(argparse.ArgumentParser())\n'
            "print(sorted({'rclpy', 'mujoco', 'transformers'} & set(sys.modules)))")
    assert python(code, tmp_path, ros_environment()) == '[]'


def test_a_user_error_is_one_line_and_another_error_keeps_its_traceback(monkeypatch, capsys):
    class Module:

        @staticmethod
        def add_arguments(parser):
            parser.add_argument('--fail', choices=['user', 'bug'])

        @staticmethod
        def run(args):
            raise ConfigError('say what to do') if args.fail == 'user' else KeyError('bug')

    monkeypatch.setattr(cli, 'import_module', lambda name: Module)
    assert cli.main(['info', '--fail', 'user']) == 1
    assert capsys.readouterr().err == 'sqap-vla info: say what to do\n'
    with pytest.raises(KeyError):
        cli.main(['info', '--fail', 'bug'])


def test_the_version_is_the_same_everywhere():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    set_up = re.search(r"version='([\d.]+)'", (ROOT / 'setup.py').read_text()).group(1)
    changelog = re.search(r'^([\d.]+) \(', (ROOT / 'CHANGELOG.rst').read_text(), re.M).group(1)
    assert {manifest.findtext('version'), set_up, changelog} == {__version__}


def test_every_message_file_is_built():
    built = set(re.findall(r'"(msg/\w+\.msg)"', (ROOT / 'CMakeLists.txt').read_text()))
    assert built == {f'msg/{path.name}' for path in (ROOT / 'msg').glob('*.msg')}


def test_every_python_package_has_its_init_file():
    without = {path.parent for path in (ROOT / 'sqap_vla_ros').rglob('*.py')
               if not (path.parent / '__init__.py').is_file()}
    assert without == set()


def test_resources_are_found_and_unknown_ones_name_those_that_are_there():
    assert resources.config_file('fastdds.xml').is_file()
    with pytest.raises(ConfigError, match=r"no file 'robot.yaml' .*fastdds\.xml"):
        resources.config_file('robot.yaml')
    with pytest.raises(CheckpointError, match="no bundled model 'nothing'"):
        resources.model_directory('nothing')


@pytest.mark.parametrize('name', ['config/fastdds.xml', 'package.xml'])
def test_colcon_installs_the_files_beside_the_code(name):
    shares = [prefix / 'share' / 'sqap_vla_ros' for prefix in built_prefixes()]
    assert any((share / name).is_file() for share in shares)


@pytest.mark.ros
@pytest.mark.parametrize('node', ['vla_node', 'libero_sim_node'])
def test_ros2_run_finds_executables_with_an_interpreter_that_exists(node):
    files = [prefix / 'lib/sqap_vla_ros' / node for prefix in built_prefixes()]
    executable = next(path for path in files if path.is_file())
    assert executable.stat().st_mode & 0o111
    first_line = executable.read_text().splitlines()[0]
    assert first_line.startswith('#!/') and Path(first_line[2:]).exists()


@pytest.mark.skipif(shutil.which('cmake') is None, reason='needs cmake')
@pytest.mark.parametrize('place', ['plain', 'a place', 'long' * 30])
def test_an_executable_starts_by_an_interpreter_in_any_place(tmp_path, place):
    """The kernel cuts the first line of a script at a space, and at 127 bytes."""
    python = tmp_path / place / 'python'
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    block = re.search(r'set\(FIRST_LINE .*?endif\(\)', (ROOT / 'CMakeLists.txt').read_text(), re.S)
    script, node = tmp_path / 'script.cmake', tmp_path / 'node'
    script.write_text(f'{block.group()}\nfile(WRITE "{node}" "${{FIRST_LINE}}\\n")')
    subprocess.run(['cmake', f'-DPython3_EXECUTABLE={python}', '-P', script], check=True)
    with node.open('a') as file:
        file.write('"""Documentation."""\nimport sys\nprint(sys.argv[1:], sys.executable)\n')
    node.chmod(0o755)
    shown = subprocess.run([node, 'a b', 'c'], capture_output=True, text=True, check=True).stdout
    assert shown == f"['a b', 'c'] {python}\n"
