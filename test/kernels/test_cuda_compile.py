# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""GPU kernels are compiled without a GPU: all for one card, the largest for another."""
from importlib.util import find_spec
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    find_spec('triton') is None,
    reason='the GPU kernels are written in triton, which is not installed: pip install triton')
PROGRAM = Path(__file__).resolve().parents[1] / 'compile_kernels.py'
KINDS = {90: (227, 'wgmma.mma_async'), 87: (163, 'mma.sync.aligned.m16n8k32')}


def test_kernels_compile_without_spills_and_once_for_all_prompts(tmp_path):
    """Integers are special to Triton where they are 1 or multiples of 16."""
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    environment['TRITON_CACHE_DIR'] = str(tmp_path)  # in which triton is no interpreter
    runs = {card: subprocess.Popen([sys.executable, str(PROGRAM), str(card), *names], text=True,
                                   env=environment, stdout=subprocess.PIPE)
            for card, names in ((90, ()), (87, ('largest tile',)))}
    for card, run in runs.items():
        found = json.loads(run.communicate()[0].splitlines()[-1])
        assert len(found) == (10 if card == 90 else 1)
        shared_kib, instruction = KINDS[card]
        for name, kernel in found.items():
            assert kernel['keys'] == 1, (card, name, kernel)
            assert kernel.get('local', 0) == 0, (card, name, kernel)
            assert kernel.get('shared', 0) <= shared_kib * 1024, (card, name, kernel)
        assert any('s32.s8.s8' in one and one.startswith(instruction)
                   for one in found['largest tile']['matrix']), (card, found)
