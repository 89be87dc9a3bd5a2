# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The reader of .pt files against torch.load, and what it refuses."""
from collections import OrderedDict
import contextlib
import os
import pickle
import resource
import subprocess
import sys
import zipfile

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.errors import CheckpointError
from sqap_vla_ros.formats.pickles import PickleReader
import torch


def save(path, tensors, **others):
    torch.save({'model': {'part': tensors}, **others}, path)
    return path


def test_every_tensor_of_a_checkpoint_is_what_torch_loads():
    path = next(golden_data.cogact(dtype='bfloat16').glob('checkpoints/*.pt'))
    reader = PickleReader(path)
    expected = torch.load(path, weights_only=True)['model']
    names = {f'{group}.{name}' for group, tensors in expected.items() for name in tensors}
    assert names == reader.shapes.keys()
    for group, tensors in expected.items():
        for name, tensor in tensors.items():
            found = reader.read(f'{group}.{name}')
            assert found.dtype == tensor.dtype == reader.dtypes[f'{group}.{name}']
            assert torch.equal(found, tensor)


def test_views_shared_storages_parameters_and_empty_tensors(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    tensors = OrderedDict(
        base=base, turned=base.t(), part=base[1:3, ::2], row=base[2], number=torch.tensor(3),
        none=torch.zeros(0, 5), spread=torch.ones(1).expand(3, 4), half=base.half(),
        parameter=torch.nn.Parameter(base.clone()))
    reader = PickleReader(save(tmp_path / 'x.pt', tensors, optimizer={
        'step': 3, 'type': torch.float32, 'size': base.shape, 'state': [base, (1, 'a', None)]}))
    for name, tensor in tensors.items():
        assert torch.equal(reader.read(f'part.{name}'), tensor), name
    before = reader.read('part.base')
    before.zero_()
    assert torch.equal(reader.read('part.base'), base)


def test_a_file_larger_than_the_memory_is_read(tmp_path):
    """Linux refuses to map it writable, as torch.load does; here the limit is the process's."""
    if not hasattr(torch.serialization, 'skip_data'):
        pytest.skip('torch before 2.6 cannot save a file without its values')
    path = tmp_path / 'x.pt'
    with torch.serialization.skip_data():
        torch.save({'model': {'part': {
            f'{i}': torch.empty(2 ** 26) for i in range(32)}, 'end': {'x': torch.ones(3)}}}, path)
    assert os.stat(path).st_size > 2 ** 33
    code = ('import sys; from sqap_vla_ros.formats.pickles import PickleReader;'
            'reader = PickleReader(sys.argv[1]);'
            'print(len(reader.shapes), reader.read("part.31").sum().item())')
    limit = 6 * 2 ** 30
    shown = subprocess.run(
        [sys.executable, '-c', code, str(path)], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))).stdout
    assert shown.split() == ['33', '0.0']


class Code:
    """What must not run."""

    def __reduce__(self):
        return os.getpid, ()


@pytest.mark.parametrize('content', [Code(), {'part': Code()}, {'part': {'x': Code()}}])
def test_names_that_tensors_do_not_need_are_refused(content, tmp_path):
    torch.save({'model': content}, tmp_path / 'x.pt')
    with pytest.raises(CheckpointError, match=r'posix.getpid'):
        PickleReader(tmp_path / 'x.pt')


def rewritten(path, entry, change):
    """Write the zip file again with another content of one entry, or without it for None."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents[f'x/{entry}'] = change(contents[f'x/{entry}'])
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)
    return path


@pytest.mark.parametrize('entry, change', [
    ('data/0', lambda data: None), ('data/0', lambda data: data[:-1]),
    ('byteorder', lambda data: b'big'), ('data.pkl', lambda data: None),
    ('data.pkl', lambda data: data[:50])])
def test_damage_is_found_when_the_file_is_opened(entry, change, tmp_path):
    path = save(tmp_path / 'x.pt', {'a': torch.ones(10)})
    PickleReader(path)
    with pytest.raises(CheckpointError, match='truncated or damaged'):
        PickleReader(rewritten(path, entry, change))


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = save(tmp_path / 'x.pt', {'a': torch.ones(10)})
    with pytest.raises(CheckpointError, match='does not fit its Storage'):
        PickleReader(rewritten(
            path, 'data.pkl', lambda data: data.replace(b'K\n\x85', b'K\x0b\x85')))


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    path = save(tmp_path / 'x.pt', {'a': torch.ones(1000)})
    reader = PickleReader(path)
    os.truncate(path, 2000)
    with pytest.raises(CheckpointError, match='ends early'):
        reader.read('part.a')


def test_a_bare_pickle_is_refused(tmp_path):
    (tmp_path / 'x.pt').write_bytes(pickle.dumps({'model': Code()}))
    with pytest.raises(CheckpointError, match='not a zip file'):
        PickleReader(tmp_path / 'x.pt')


class Changed:
    """A tensor whose description is changed after it was made, past every check."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce_ex__(self, protocol):
        function, arguments = self.tensor.__reduce_ex__(protocol)[:2]
        return function, arguments, {'offset': -40, 'shape': (100,)}


@pytest.mark.parametrize('tensor, message', [
    (torch._neg_view(torch.ones(3)), "'neg': True"), (Changed(torch.ones(10)), 'changes a Entry')])
def test_tensors_that_are_more_than_their_values_are_refused(tensor, message, tmp_path):
    torch.save({'model': {'part': {'x': tensor}}}, tmp_path / 'x.pt')
    with pytest.raises(CheckpointError, match=message):
        PickleReader(tmp_path / 'x.pt')


def test_any_flipped_byte_gives_the_same_tensors_or_a_clear_error(tmp_path):
    path = save(tmp_path / 'x.pt', {'a': torch.ones(10), 'b': torch.ones(2, 3).t()})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 400):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            reader = PickleReader(path)
            for name in reader.shapes:
                reader.read(name)
