# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are written tensor by tensor, and how much memory a conversion takes."""
import re
import subprocess
import sys
import time

import golden_data
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.formats.tensor_file import tensor_bytes, TensorFile
from sqap_vla_ros.formats.tensors import forget_pages, SafetensorsReader
from sqap_vla_ros.support.memory import PeakMemory
import torch

MIB = 2 ** 20


def test_a_file_written_in_any_order_is_what_safetensors_reads(tmp_path):
    tensors = {
        'odd': torch.arange(3, dtype=torch.uint8), 'wide': torch.randn(5, 7),
        'half': torch.randn(3, 3).bfloat16(), 'int': torch.tensor([[-8, 7]], dtype=torch.int8),
        'long': torch.tensor([2 ** 40]), 'none': torch.zeros(0, 4), 'scalar': torch.tensor(2.5)}
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    file = TensorFile(tmp_path / 'model.safetensors', layout)
    assert file.is_new
    for name in reversed(tensors):
        file.write(name, tensors[name])
    before = file.checksum(tensors)
    file.close()
    found = load_file(tmp_path / 'model.safetensors')
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    again = TensorFile(tmp_path / 'model.safetensors', layout)
    assert not again.is_new and again.checksum(tensors) == before
    with pytest.raises(ValueError, match='the layout has'):
        again.write('wide', torch.zeros(7, 5))
    other = TensorFile(tmp_path / 'model.safetensors', {'wide': layout['wide']})
    assert other.is_new and other.size < again.size


def test_pages_that_are_let_go_of_are_read_again():
    reader = SafetensorsReader(golden_data.openvla())
    name = max(reader.shapes, key=lambda name: tensor_bytes(
        reader.dtypes[name], reader.shapes[name]))
    tensor = reader.read(name)
    before = tensor.clone()
    forget_pages(tensor)
    assert torch.equal(reader.read(name), before)


def test_the_peak_is_seen():
    with PeakMemory(interval_s=0.001) as peak:
        before = peak.anonymous
        block = torch.ones(64 * MIB)
        assert block.sum() == 64 * MIB
        give_up_s = time.monotonic() + 120  # a busy machine lets the sampling thread wait
        while peak.anonymous - before <= 200 * MIB and time.monotonic() < give_up_s:
            time.sleep(0.01)
    assert peak.anonymous - before > 200 * MIB
    assert peak.resident >= peak.anonymous


def peak_mib(source, out):
    """Convert in a process of its own and return the peak that it prints."""
    command = [sys.executable, '-m', 'sqap_vla_ros.cli', 'convert', source, out,
               '--unnorm-key', golden_data.KEY, '--tokenizer', golden_data.openvla()]
    shown = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                           check=True).stdout
    return float(re.search(r'peak memory (\S+) GiB of its own', shown)[1]) * 1024


@pytest.fixture(scope='module')
def smallest_peak_mib(tmp_path_factory):
    """Return what a conversion takes however small the checkpoint is."""
    return peak_mib(golden_data.openvla(), tmp_path_factory.mktemp('small') / 'out')


@pytest.mark.parametrize('kind', ['openvla', 'cogact'])
def test_a_conversion_holds_one_part_at_a_time(kind, smallest_peak_mib, tmp_path):
    # of 50 million values in an encoder a block has 3; the allocator keeps up to 30 MiB more
    source, sizes = tmp_path / 'source', {'dino': (512, 16, 8, 2048)}
    getattr(golden_data.recipe(), f'write_{kind}')(source, golden_data.recipe().Sizes(**sizes))
    size = sum(file.stat().st_size for file in source.rglob('*') if file.is_file()) / MIB
    assert size > 190
    assert peak_mib(source, tmp_path / 'out') - smallest_peak_mib < 0.4 * size


def test_info_shows_what_was_done_and_the_bits_on_disk_and_in_memory(tmp_path, capsys):
    assert main(['convert', str(golden_data.openvla()), str(tmp_path / 'out'), '--int8', 'vision',
                 '--qk-bits', '8']) == 0
    capsys.readouterr()
    assert main(['info', str(tmp_path / 'out')]) == 0
    shown = capsys.readouterr().out
    for text in ('w4a8 (on disk: bfloat16, float32, int8, uint8)', '(openvla), bfloat16',
                 'vision w8a8', 'hadamard rotation', 'Q and K at 8 bits', 'rounded to nearest',
                 'bits a weight on disk with their scales', 'in memory (backend',
                 'MiB of weights in a process', 'a patch is 40.0 x 30.0 px',
                 'choose one of bridge_orig'):
        assert text in shown, text
    values = dict(re.findall(r'(\w+) +([\d.]+) M values', shown))
    assert main(['info', str(golden_data.openvla())]) == 0
    assert dict(re.findall(r'(\w+) +([\d.]+) M values', capsys.readouterr().out)) == values
