# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The source archive and the wheel hold what they need, and an installed wheel finds it."""
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from types import SimpleNamespace
import zipfile

import pytest
from sqap_vla_ros import __version__

ROOT = Path(__file__).resolve().parents[2]
NAME = f'sqap_vla_ros-{__version__}'
TREES = ('action', 'config', 'constraints', 'interfaces', 'launch', 'models', 'msg', 'rviz',
         'urdf')
BUILD = 'import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])("..")'


def repository() -> set[str]:
    """Return the repository's files: those that git tracks, without git what MANIFEST.in names."""
    if (ROOT / '.git').exists():
        listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, check=True, text=True,
                                capture_output=True).stdout.split('\0')
        return {name for name in listed if (ROOT / name).is_file()}
    lines = [line.split() for line in (ROOT / 'MANIFEST.in').read_text().splitlines()]
    trees = [ROOT / line[1] for line in lines if line and line[0] == 'graft']
    named = [name for line in lines if line and line[0] == 'include' for name in line[1:]]
    return {'MANIFEST.in', 'pyproject.toml', 'setup.py', *named, *(
        str(path.relative_to(ROOT)) for tree in trees for path in tree.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts)}


FILES = repository()


def files_below(*trees: str) -> set[str]:
    return {name for name in FILES if name.split('/')[0] in trees}


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Build the archive from a copy, and the wheel from nothing but the archive."""
    directory = tmp_path_factory.mktemp('built')
    copy = directory / 'copy'
    for name in FILES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run([sys.executable, '-c', BUILD, 'build_sdist'], cwd=copy, check=True,
                   capture_output=True)
    with tarfile.open(directory / f'{NAME}.tar.gz') as archive:
        archive.extractall(directory)
        source = {str(Path(name).relative_to(NAME)) for name in archive.getnames()}
    subprocess.run([sys.executable, '-c', BUILD, 'build_wheel'], cwd=directory / NAME, check=True,
                   capture_output=True)
    wheel = next(directory.glob('*.whl'))
    with zipfile.ZipFile(wheel) as archive:
        return SimpleNamespace(source=source, wheel=wheel, names=set(archive.namelist()))


def test_the_source_archive_holds_the_repository(built):
    assert FILES - built.source == set()


def test_the_wheel_holds_the_code_and_what_lies_beside_it(built):
    share = f'{NAME}.data/data/share/sqap_vla_ros/'
    beside = {share + name for name in {'package.xml', 'LICENSE', *files_below(*TREES)}}
    assert (beside | files_below('sqap_vla_ros')) - built.names == set()
    for name in ('sqap_vla_ros/sim/panda.urdf', 'sqap_vla_ros/kernels/native/level.cpp',
                 share + 'models/libero_goal/model.safetensors',
                 share + 'models/libero_goal_w4/model.safetensors', share + 'config/fastdds.xml'):
        assert name in built.names
    assert not [name for name in built.names if '__pycache__' in name or name.startswith('test')]


def test_an_installed_wheel_finds_its_models_and_configurations(built, tmp_path):
    environment = tmp_path / 'environment'
    bare = {'PATH': os.environ['PATH'], 'HOME': str(tmp_path)}  # nothing else is found
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', environment], check=True)
    subprocess.run([sys.executable, '-m', 'pip', '--python', environment, 'install', '--no-deps',
                    '--no-index', '--no-compile', '--quiet', built.wheel], check=True,
                   cwd=tmp_path, env=bare)
    site = next(environment.glob('lib/python*/site-packages'))
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))  # torch and the like

    def shown(*command: str) -> str:
        run = subprocess.run(
            [environment / 'bin' / command[0], *command[1:]], cwd=tmp_path, text=True,
            env=bare, capture_output=True)
        assert run.returncode == 0, run.stderr
        return run.stdout
    assert 'put the bowl on the stove' in shown('sqap-vla', 'info', 'libero_goal')
    found = shown('python', '-c', 'from sqap_vla_ros.support import resources; '
                  'print(resources.config_file("fastdds.xml"), resources.__file__)').split()
    assert found[0] == str(environment / 'share/sqap_vla_ros/config/fastdds.xml')
    assert Path(found[1]).is_relative_to(environment)
