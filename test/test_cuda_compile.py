# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every GPU kernel is compiled for the cards it is for, without one."""
from importlib.util import find_spec
import os
import re
import subprocess
import sys

import pytest
from sqap_vla_ros.kernels.cuda.ahead import Report

pytestmark = pytest.mark.skipif(
    find_spec('triton') is None,
    reason='the GPU kernels are written in triton, which is not installed: pip install triton')


def start(tmp_path, *arguments):
    """Start the tool in a process of its own, where triton is no interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    environment['TRITON_CACHE_DIR'] = str(tmp_path)
    return subprocess.Popen(
        [sys.executable, '-m', 'sqap_vla_ros.kernels.cuda.ahead', *arguments],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_all_kernels_compile_without_spills_and_fit_into_shared_memory(tmp_path):
    runs = [start(tmp_path, '--cards', '90'), start(tmp_path, '--cards', '80'),
            start(tmp_path, '--first', '--cards', '86', '87', '89', '100')]
    texts = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], '\n'.join(texts)
    lines = ''.join(texts).splitlines()
    wanted = {'sm_90': 'wgmma.mma_async.m64', 'sm_100': 'm16n8k32.s32.s8.s8|tcgen05.*kind::i8'}
    for line in lines:
        if 'int_gemm' in line:
            assert re.search(wanted.get(line.split()[0], 'mma.m16n8k32.s32.s8.s8'), line), line
    assert len({line.split()[0] for line in lines}) == 6


@pytest.mark.parametrize('local, shared_kib, problem', [
    (0, 99, ''), (8, 99, '8 bytes of local memory a thread'), (0, 100, 'the card has 101376')])
def test_spills_and_too_much_shared_memory_are_problems(local, shared_kib, problem):
    report = Report('int_gemm', 86, 64, local, shared_kib * 1024, '', 0.0)
    assert problem in report.problem and bool(report.problem) == bool(problem)
