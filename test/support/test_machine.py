# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of the processor."""
from pathlib import Path

import pytest
from sqap_vla_ros.support import machine
from sqap_vla_ros.support.machine import has_fast_bfloat16


@pytest.mark.parametrize('flags, has_it', [
    ('fpu avx2 fma', False), ('avx512f avx512_vnni', False), ('avx512f avx512_bf16', True),
    ('avx2 amx_tile amx_bf16', True), ('avx2 avx512_bf16x', False), ('', False)])
def test_bfloat16_is_fast_with_amx_or_avx512_bf16(flags, has_it, monkeypatch, tmp_path):
    content = f'processor\t: 0\nmodel name\t: Some\nflags\t\t: {flags}\n\nprocessor\t: 1\n'
    (tmp_path / 'cpuinfo').write_text(content)
    monkeypatch.setattr(machine, 'Path', lambda place: tmp_path / Path(place).name)
    assert machine.processor_flags() == frozenset(flags.split())
    assert has_fast_bfloat16() is has_it


def test_without_cpuinfo_nothing_is_known_of_the_processor(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, 'Path', lambda place: tmp_path / Path(place).name)
    assert machine.processor_flags() == frozenset() and not has_fast_bfloat16()
