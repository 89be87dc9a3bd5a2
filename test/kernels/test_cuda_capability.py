# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of CUDA devices, the paths chosen for them, and the warnings."""
from importlib import import_module
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.cuda.capability import (
    announce, Capability, capability, describe, find_generation, GENERATIONS, main, paths, table)
from sqap_vla_ros.numerics.precision import PRECISIONS
import torch

module = import_module('sqap_vla_ros.kernels.cuda.capability')  # the package has the function
BELOW_HOPPER = ((8, 0), (8, 6), (8, 7), (8, 9))
INTEGER = ('w8a8', 'w4a8', 'w4a4')


@pytest.fixture(autouse=True)
def with_triton(monkeypatch):
    monkeypatch.setattr(module, 'missing_triton', lambda: '')


def device(*number):
    generation, warning = find_generation(number)
    return Capability('Test', number, generation, warning=warning)


@pytest.fixture
def fake_cuda(monkeypatch):
    """Return a function that puts a device of a compute capability into this machine."""
    def put(major, minor, **facts):
        properties = SimpleNamespace(name=f'Test {major}.{minor}', major=major, minor=minor,
                                     multi_processor_count=16, total_memory=2 ** 36, **facts)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: properties)
        capability.cache_clear()
        announce.cache_clear()
    yield put
    capability.cache_clear()
    announce.cache_clear()


def test_the_table_is_in_order_and_names_the_robots_computers():
    numbers = [known.number for known in GENERATIONS]
    assert numbers == sorted(set(numbers))
    assert {(8, 7): 'Jetson Orin', (11, 0): 'Jetson Thor'}.items() <= {
        known.number: known.examples for known in GENERATIONS}.items()
    text = table().splitlines()
    assert len(text) == 2 + len(GENERATIONS)
    assert len({line.count('|') for line in text}) == 1


@pytest.mark.parametrize('known', GENERATIONS, ids=lambda known: known.label)
def test_every_device_has_a_path_and_a_reason_for_every_precision(known):
    found = paths(device(*known.number))
    assert set(found) == {f'{phase}_{name}' for phase in ('prefill', 'decode')
                          for name in PRECISIONS}
    assert all(path.reason and path.arithmetic for path in found.values())
    assert found['prefill_fp'].backend == 'torch'


@pytest.mark.parametrize('known', [known for known in GENERATIONS if known.number >= (8, 0)],
                         ids=lambda known: known.label)
def test_integers_are_multiplied_in_int8_on_every_supported_card(known):
    found = paths(device(*known.number))
    for precision in INTEGER:
        path = found[f'prefill_{precision}']
        assert path.backend == 'triton' and path.arithmetic.startswith(f'int8 {known.int8}')
    assert 'Triton has no int4 MMA' in found['prefill_w4a4'].reason
    assert ('CUTLASS' in found['prefill_w4a4'].reason) == (known.number in BELOW_HOPPER)
    assert 'bfloat16' in found['prefill_w4a16'].arithmetic


def test_hopper_has_no_int4_units_and_ampere_no_fp8():
    by_number = {known.number: known.mma for known in GENERATIONS}
    assert all('int4' in by_number[number] for number in ((7, 5), *BELOW_HOPPER))
    assert all('int4' not in mma for number, mma in by_number.items() if number >= (9, 0))
    assert [number for number in by_number if 'fp8' in by_number[number]][0] == (8, 9)


@pytest.mark.parametrize(('number', 'like', 'message'), [
    ((8, 8), (8, 7), 'treated as 8.7'), ((10, 1), (10, 0), 'treated as 10.0'),
    ((13, 0), (12, 1), 'treated as 12.1'), ((11, 0), (11, 0), 'not by this chip')])
def test_a_device_that_is_not_quite_known_runs_with_a_warning(number, like, message):
    found = device(*number)
    assert found.generation.number == like and message in found.warning
    assert paths(found)['prefill_w4a4'].backend == 'triton'


@pytest.mark.parametrize('number', [(7, 5), (7, 0), (6, 1)])
def test_an_old_device_gets_torchs_products_and_float16_with_a_warning(number):
    found = device(*number)
    assert found.float_type == torch.float16
    by_name = paths(found)
    assert by_name['prefill_fp'].arithmetic == 'float16 cuBLAS'
    assert all(path.backend == 'torch' for path in by_name.values())
    assert by_name['prefill_w4a16'].arithmetic == by_name['decode_w4a16'].arithmetic
    assert by_name['prefill_w4a16'].arithmetic == 'float16 cuBLAS'
    for name in ('prefill_w8a8', 'decode_w4a4'):
        assert by_name[name].arithmetic.startswith('int8 cuBLASLt')
        assert ('float64' in by_name[name].arithmetic) == (number != (7, 5))
    assert "torch's own products (cuBLASLt)" in found.warning and "'fp'" in found.warning
    assert ('reference' in found.warning) == (number != (7, 5))


def test_only_devices_that_are_not_served_well_have_a_warning():
    for known in GENERATIONS:
        has_warning = known.number == (7, 5) or (10, 0) <= known.number <= (11, 0)
        assert bool(find_generation(known.number)[1]) == has_warning


def test_a_device_is_described_by_what_the_driver_says(fake_cuda):
    fake_cuda(8, 7, shared_memory_per_block_optin=160 * 1024)
    found = capability('cuda')
    assert found.shared_bytes == 160 * 1024 and found.float_type == torch.bfloat16
    text = describe(found)
    assert '64.0 GiB' in text and '160 KiB' in text
    assert len(text.splitlines()) == 1 + 2 * len(PRECISIONS)


def test_without_the_drivers_word_shared_memory_is_the_tables(fake_cuda):
    fake_cuda(9, 0)
    assert capability('cuda').shared_bytes == 227 * 1024


def test_the_choice_is_printed_once_and_a_warning_is_never_silent(fake_cuda, caplog):
    fake_cuda(7, 5)
    with caplog.at_level(logging.INFO):
        announce('cuda')
        announce('cuda')
    assert [record.levelname for record in caplog.records] == ['INFO', 'WARNING']
    assert "torch's own products" in caplog.records[1].getMessage()


def test_the_command_prints_the_table_and_this_machines_paths(fake_cuda, capsys):
    fake_cuda(8, 7)
    main()
    printed = capsys.readouterr().out
    assert printed.startswith(table()) and describe(capability()) in printed


def test_a_missing_triton_takes_the_kernels_away_and_says_so(fake_cuda, monkeypatch):
    monkeypatch.setattr(module, 'missing_triton', lambda: 'triton is not installed')
    fake_cuda(9, 0)
    found = capability('cuda')
    assert found.warning == 'triton is not installed'
    assert paths(found)['prefill_w4a4'].backend == 'torch'
    assert paths(found)['prefill_w4a16'].arithmetic == 'bfloat16 cuBLAS'


def test_a_cpu_has_no_compute_capability(monkeypatch):
    with pytest.raises(ConfigError, match='no NVIDIA CUDA device'):
        capability('cpu')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match='nvidia-smi'):
        capability('cuda:7')


def test_neither_module_imports_triton():
    code = ('import sys; import sqap_vla_ros.kernels.cuda.capability, '
            'sqap_vla_ros.kernels.cuda.tuning; sys.exit("triton" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
