# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Conversions that are killed, disturbed or out of room: nothing loads, and they go on."""
import errno
import json
import os
import shutil
import signal
import subprocess
import sys

from calibration_data import write_calibration
import golden_data
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.convert.conversion import convert, Task
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.tensor_file import TensorFile
from sqap_vla_ros.loading.stream import Stream
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import QuantScheme
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.support.files import MIB
from tiny_checkpoint import save_tiny_checkpoint

KILLED = """
import os, signal, sys
from sqap_vla_ros.cli import main
from sqap_vla_ros.formats.tensor_file import TensorFile
left, whole = int(sys.argv[1]), TensorFile.write
def write(self, name, tensor):
    global left
    left -= 1
    if not left:
        whole(self, name, tensor * 0)  # what a cut write may leave
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, name, tensor)
TensorFile.write = write
main(['convert', *sys.argv[2:]])
"""


@pytest.fixture
def tiny(tmp_path):
    save_tiny_checkpoint(tmp_path / 'tiny')
    return tmp_path / 'tiny'


@pytest.fixture
def converted(monkeypatch):
    """Return a list that fills with the units that are computed."""
    seen, plain = [], Stream.convert
    monkeypatch.setattr(Stream, 'convert', lambda self, unit, *rest: (
        seen.append(unit.name), plain(self, unit, *rest))[1])
    return seen


def task_of(path, *options):
    return Task(open_checkpoint(path).with_key(None), QuantScheme(*options or ('w4a4',)))


def assert_equal_files(first, second):
    assert sorted(os.listdir(first)) == sorted(os.listdir(second))
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


def test_a_killed_conversion_leaves_nothing_that_loads_and_goes_on(tiny, tmp_path, converted):
    out = tmp_path / 'out'
    killed = subprocess.run([sys.executable, '-c', KILLED, '40', str(tiny), str(out)],
                            capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(CheckpointError, match='config.json'):
        load_policy(f'{out}.partial')
    done = json.loads((tmp_path / 'out.partial' / 'progress.json').read_text())['done']
    assert done
    assert main(['convert', str(tiny), str(out)]) == 0
    assert converted and not set(converted) & set(done)
    assert not (tmp_path / 'out.partial').exists()
    assert main(['convert', str(tiny), str(tmp_path / 'whole')]) == 0
    assert_equal_files(out, tmp_path / 'whole')


@pytest.mark.parametrize('renames_first', [False, True])
def test_a_conversion_killed_in_its_last_steps_loads_only_when_it_is_whole(
        renames_first, tiny, tmp_path, monkeypatch):
    out, rename = tmp_path / 'out', os.rename

    def stop(*names):
        if renames_first:
            rename(*names)
        raise KeyboardInterrupt
    monkeypatch.setattr(os, 'rename', stop)
    with pytest.raises(KeyboardInterrupt):
        convert(task_of(tiny), out)
    monkeypatch.undo()
    for path in (out, tmp_path / 'out.partial'):
        with pytest.raises(CheckpointError):
            load_policy(path)
    if renames_first:
        with pytest.raises(ConfigError, match='complete now'):
            convert(task_of(tiny), out)
    else:
        convert(task_of(tiny), out)
    load_policy(out)
    convert(task_of(tiny), tmp_path / 'whole')
    assert_equal_files(out, tmp_path / 'whole')


def test_gptq_goes_on_with_what_reached_the_next_block(tmp_path, converted):
    data = read_samples(write_calibration(tmp_path / 'data'), 2)
    source = open_checkpoint(golden_data.openvla()).with_key(golden_data.KEY)
    task = Task(source, QuantScheme('w4a4'), calibration=data)
    convert(task, tmp_path / 'whole')
    interrupt_after(task, tmp_path / 'out', 'llm.layers.1')
    assert (tmp_path / 'out.partial' / 'inputs-2.safetensors').is_file()
    converted.clear()
    convert(task, tmp_path / 'out')
    assert converted[:2] == ['llm.layers.2', 'llm.layers.3']
    assert_equal_files(tmp_path / 'out', tmp_path / 'whole')
    interrupt_after(task, tmp_path / 'again', 'llm.layers.1')
    (tmp_path / 'again.partial' / 'inputs-2.safetensors').unlink()
    converted.clear()
    convert(task, tmp_path / 'again')
    assert converted[:2] == ['llm.layers.0', 'llm.layers.1']
    assert_equal_files(tmp_path / 'again', tmp_path / 'whole')


def interrupt_after(task, out, name):
    def stop(unit, _):
        if unit.name == name:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        convert(task, out, stop)


def test_a_damaged_part_is_made_again(tiny, tmp_path, converted):
    task = task_of(tiny)
    interrupt_after(task, tmp_path / 'out', 'llm.layers.1')
    file = tmp_path / 'out.partial' / 'model.safetensors'
    content = bytearray(file.read_bytes())
    header = int.from_bytes(content[:8], 'little')
    entry = json.loads(content[8:8 + header])['llm.layers.0.mlp.up_proj.weight']
    content[8 + header + entry['data_offsets'][0]] ^= 0xFF
    file.write_bytes(content)
    converted.clear()
    convert(task, tmp_path / 'out')
    assert 'llm.layers.0' in converted and 'llm.layers.1' not in converted
    convert(task, tmp_path / 'whole')
    assert_equal_files(tmp_path / 'out', tmp_path / 'whole')


@pytest.mark.parametrize('damage', ['cut', 'gone', 'no progress'])
def test_a_damaged_unfinished_directory_is_begun_anew(damage, tiny, tmp_path, converted):
    task = task_of(tiny)
    interrupt_after(task, tmp_path / 'out', 'llm.layers.1')
    file = tmp_path / 'out.partial' / 'model.safetensors'
    if damage == 'cut':
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == 'gone':
        file.unlink()
    else:
        (tmp_path / 'out.partial' / 'progress.json').write_text('{"task": ')
    converted.clear()
    convert(task, tmp_path / 'out')
    assert 'llm.layers.0' in converted
    convert(task, tmp_path / 'whole')
    assert_equal_files(tmp_path / 'out', tmp_path / 'whole')


def test_other_options_or_another_original_are_refused(tiny, tmp_path):
    interrupt_after(task_of(tiny), tmp_path / 'out', 'llm.layers.0')
    with pytest.raises(ConfigError, match="precision 'w4a4' before, 'w8a8' now.*remove that"):
        convert(task_of(tiny, 'w8a8'), tmp_path / 'out')
    os.utime(tiny / 'model.safetensors', (1, 1))
    with pytest.raises(ConfigError, match='source'):
        convert(task_of(tiny), tmp_path / 'out')


def test_two_processes_do_not_write_one_directory(tiny, tmp_path):
    task = task_of(tiny)

    def second(_, __):
        with pytest.raises(ConfigError, match='another process'):
            convert(task, tmp_path / 'out')
    convert(task, tmp_path / 'out', second)
    load_policy(tmp_path / 'out')


def test_a_disk_that_is_too_small_is_known_before_anything_is_written(tiny, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=50 * MIB))
    with pytest.raises(ConfigError, match=r'No space left .*takes 64 MiB and the disk has 50: '
                                          r'free 1[45] MiB'):
        convert(task_of(tiny), tmp_path / 'out')
    assert os.listdir(tmp_path) == ['tiny']


@pytest.mark.parametrize('place, left', [('posix_fallocate', []), ('write', ['out.partial'])])
def test_a_full_disk_is_told_and_leaves_nothing_that_loads(
        place, left, tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    owner = os if place == 'posix_fallocate' else TensorFile
    with monkeypatch.context() as patched:
        patched.setattr(owner, place, full)
        with pytest.raises(ConfigError, match='No space left .*free .* MiB and start the same'):
            convert(task_of(tiny), tmp_path / 'out')
    assert sorted(os.listdir(tmp_path)) == sorted([*left, 'tiny'])
    with pytest.raises(CheckpointError):
        load_policy(tmp_path / 'out')
    convert(task_of(tiny), tmp_path / 'out')
    load_policy(tmp_path / 'out')


def test_an_existing_directory_is_never_touched(tiny, tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    assert main(['convert', str(tiny), str(tmp_path / 'out')]) == 1
    assert 'exists: choose another name' in capsys.readouterr().err
    assert not os.listdir(tmp_path / 'out')
    assert main(['convert', str(tiny), '.']) == 1


def test_a_place_where_no_directory_can_be_is_named(tiny, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert main(['convert', str(tiny), str(tmp_path / 'file' / 'out')]) == 1
    assert 'cannot be made' in capsys.readouterr().err
