# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An original whose disk fails: what is done stays, the message says how to go on."""
import json
import os

from calibration_data import write_calibration
from failing_disk import failing_disk  # noqa: F401
import golden_data
import pytest
from safetensors import safe_open
from sqap_vla_ros.cli import main
from sqap_vla_ros.convert.conversion import convert, Task
from sqap_vla_ros.errors import CheckpointError, UnreadableError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.stream import Stream
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import QuantScheme
from sqap_vla_ros.samples.reading import read_samples
from tiny_checkpoint import save_tiny_checkpoint


@pytest.fixture
def converted(monkeypatch):
    """Return a list that fills with the units that are made."""
    seen, plain = [], Stream.convert

    def watched(self, unit, *rest):
        made = plain(self, unit, *rest)
        seen.append(unit.name)
        return made
    monkeypatch.setattr(Stream, 'convert', watched)
    return seen


def source_of(kind, tmp_path):
    """Return a checkpoint's directory, its largest file and options of `convert`."""
    if kind == 'own':
        save_tiny_checkpoint(tmp_path / 'tiny')
        path, options = tmp_path / 'tiny', []
    else:
        path = golden_data.copy_of(kind, tmp_path)
        options = ['--unnorm-key', golden_data.KEY, '--tokenizer', str(golden_data.openvla())]
    file = max((file for file in path.rglob('*') if file.is_file()),
               key=lambda file: file.stat().st_size)
    return path, file, options


@pytest.mark.parametrize('kind', ['own', 'cogact'])
def test_what_is_done_stays_and_the_same_command_goes_on(
        kind, tmp_path, converted, failing_disk, capsys):  # noqa: F811
    path, file, options = source_of(kind, tmp_path)
    command = ['convert', str(path), str(tmp_path / 'out'), *options]
    place = int(0.9 * file.stat().st_size)
    failing_disk(file, range(place, place + 512))
    assert main(command) == 1
    text = capsys.readouterr().err.splitlines()[-1]
    done = json.loads((tmp_path / 'out.partial' / 'progress.json').read_text())['done']
    assert converted and set(done) == set(converted)
    assert f'{file} cannot be read (Input/output error)' in text
    assert f'{len(done)} of ' in text and f'parts are done and stay in {tmp_path}' in text
    assert 'start the same command again' in text and 'cp -p' in text
    with pytest.raises(CheckpointError):
        load_policy(tmp_path / 'out')

    failing_disk(file)
    converted.clear()
    assert main(command) == 0
    assert converted and not set(converted) & set(done)
    assert main(['convert', str(path), str(tmp_path / 'whole'), *options]) == 0
    for made in (tmp_path / 'out').iterdir():
        assert made.read_bytes() == (tmp_path / 'whole' / made.name).read_bytes()


def test_a_disk_that_fails_under_gptq_leaves_what_reached_the_next_block(
        tmp_path, converted, failing_disk):  # noqa: F811
    path, _, _ = source_of('openvla', tmp_path)
    source = open_checkpoint(path).with_key(golden_data.KEY)
    task = Task(source, QuantScheme('w4a8'), calibration=read_samples(
        write_calibration(tmp_path / 'data'), 2))
    name = 'llm.layers.2.mlp.down_proj.weight'
    file, first, _ = source.tensors._reader._places[source.tensors.theirs(name)]
    failing_disk(file, range(first, first + 1))
    with pytest.raises(UnreadableError, match='2 of .* parts are done'):
        convert(task, tmp_path / 'out')
    failing_disk(file)
    assert converted == ['llm.layers.0', 'llm.layers.1']
    convert(task, tmp_path / 'out')
    assert converted[2:4] == ['llm.layers.2', 'llm.layers.3']


def test_a_disk_that_fails_at_once_is_told_without_a_conversion(
        tmp_path, failing_disk, capsys):  # noqa: F811
    for kind in ('own', 'cogact'):
        path, file, options = source_of(kind, tmp_path)
        size, before = file.stat().st_size, sorted(os.listdir(tmp_path))
        # a header stands in front of the values, a table of contents behind them
        for bad in (range(8), range(100, 101)) if kind == 'own' else (range(size - 9, size),):
            failing_disk(file, bad)
            assert main(['convert', str(path), str(tmp_path / 'out'), *options]) == 1
            assert f'{file} cannot be read (Input/output error)' in capsys.readouterr().err
            assert sorted(os.listdir(tmp_path)) == before


def test_a_file_that_is_cut_while_it_is_read_is_told_and_ends_no_process(tmp_path):
    path, file, _ = source_of('own', tmp_path)
    tensors = open_checkpoint(path).tensors
    name = max(tensors.shapes, key=lambda name: tensors._reader._places[name][1])
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(CheckpointError, match='has changed meanwhile'):
        tensors.read(name)


def test_a_tensor_is_where_the_header_says(tmp_path):
    _, file, _ = source_of('own', tmp_path)
    reader = open_checkpoint(file.parent).tensors._reader
    with safe_open(file, framework='pt') as tensors:
        for name in tensors.keys():
            path, first, last = reader._places[name]
            content = path.read_bytes()[first:last]
            assert content == tensors.get_tensor(name).numpy().tobytes(), name
