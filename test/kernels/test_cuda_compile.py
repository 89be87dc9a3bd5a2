# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every GPU kernel is compiled without a GPU: all for two cards, some for each of the others."""
from importlib.util import find_spec
import json
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest
from sqap_vla_ros.kernels.cuda.ahead import CARDS, main, Report
from sqap_vla_ros.kernels.cuda.capability import GENERATIONS

pytestmark = pytest.mark.skipif(
    find_spec('triton') is None,
    reason='the GPU kernels are written in triton, which is not installed: pip install triton')
UNKNOWN = "is not defined for option 'gpu-name'"  # an older Triton's assembler of a newer card
# as ahead.py prints what capability.py's table has
INSTRUCTIONS = {'mma.sync': 'mma.m16n8k32.s32.s8.s8', 'wgmma': 'wgmma.mma_async.m64'}


def start(tmp_path, *arguments):
    """Start a program in a process of its own, where triton is no interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    environment['TRITON_CACHE_DIR'] = str(tmp_path)
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_kernels_compile_for_every_card_to_the_instructions_of_the_table(tmp_path):
    tool = '-m', 'sqap_vla_ros.kernels.cuda.ahead'
    runs = [start(tmp_path, *tool, '--cards', '87', '90'),
            start(tmp_path, *tool, '--first', '--cards', '80', '86', '110', '120'),
            start(tmp_path, *tool, '--only', 'int_gemm w8', '--cards', '89', '100', '103', '121')]
    text = ''.join(run.communicate()[0] for run in runs)
    lines = [line for line in text.splitlines() if line.startswith('sm_')]
    compiled = [line for line in lines if UNKNOWN not in line]
    assert {int(line.split()[0][3:]) for line in lines} == set(CARDS), text
    assert {'sm_80', 'sm_86', 'sm_87', 'sm_89', 'sm_90'} <= {line.split()[0] for line in compiled}
    for line in compiled:  # nothing stands behind the seconds: no spills, no lack of memory
        assert re.search(r' \d+\.\d s\s*$', line), line
    instructions = {f'sm_{known.card}': INSTRUCTIONS[known.int8] for known in GENERATIONS
                    if known.int8}
    for line in compiled:
        assert 'int_gemm' not in line or instructions[line.split()[0]] in line, line


def test_no_length_of_a_prompt_makes_triton_compile_again(tmp_path):
    """Integers are special to Triton where they are 1 or multiples of 16."""
    program = Path(__file__).resolve().parents[1] / 'kernel_specializations.py'
    run = start(tmp_path, str(program))
    found = json.loads(run.communicate()[0].splitlines()[-1])
    assert len(found['kernels']) == 11 and set(found['kernels'].values()) == {1}, found
    assert found['wrong'] == []


def test_a_card_for_which_nothing_is_compiled_is_an_error(capsys):
    assert main(['--cards', '87', '110', '--only', 'no such kernel']) == 1
    text = capsys.readouterr().out
    assert 'sm_87 has no kernel' in text and 'sm_110 has no kernel' in text
    with pytest.raises(SystemExit):
        main(['--cards', '75'])
    assert 'invalid choice: 75' in capsys.readouterr().err


@pytest.mark.parametrize('local, shared_kib, error, problem', [
    (0, 99, '', ''), (8, 99, '', '8 bytes of local memory a thread'),
    (0, 100, '', 'the card has 101376'), (0, 0, 'PTXASError: no', 'not compiled: PTXASError')])
def test_spills_too_much_shared_memory_and_errors_are_problems(
        local, shared_kib, error, problem):
    report = Report('int_gemm', 86, 64, local, shared_kib * 1024, '', 0.0, error)
    assert problem in report.problem and bool(report.problem) == bool(problem)
